"""Whether one machine can give what a task asks for; asked before anything is started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from batchcore import units
from batchcore.errors import Problem
from batchcore.plan import Plan


def beyond_capacity(
    plan: Plan, *, processors: int, memory: int, least_memory: int = 1, who: str
) -> Iterator[Problem]:
    """Yield a problem for each request that `who` cannot meet; memory is in bytes, 0 is unknown.

    `least_memory` is the smallest limit that can be set.
    """
    for index, task in enumerate(plan.tasks):
        wanted = task.requirements
        if wanted.cpus is not None and wanted.cpus > processors > 0:
            yield _problem(index, "cpus", f"{wanted.cpus:g}", f"{who} has {processors}")
        if wanted.memory_bytes is None:
            continue
        shown = units.show_bytes(wanted.memory_bytes)
        if wanted.memory_bytes > memory > 0:
            yield _problem(index, "memory", shown, f"{who} has {units.show_bytes(memory)}")
        elif wanted.memory_bytes < least_memory:
            least = units.show_bytes(least_memory)
            yield _problem(index, "memory", shown, f"{who} gives {least} at least")


def beyond_disk(plan: Plan) -> Iterator[Problem]:
    """Yield a problem for each task that asks for more disk than is free here now.

    A directory cannot be limited, so this is all that a backend of this machine can do.
    """
    free = shutil.disk_usage(Path.cwd()).free
    for index, task in enumerate(plan.tasks):
        wanted = task.requirements.disk_bytes
        if wanted is not None and wanted > free:
            shown = units.show_bytes(wanted)
            yield _problem(index, "disk", shown, f"{units.show_bytes(free)} are free here")


def _problem(index: int, name: str, wanted: str, there: str) -> Problem:
    return Problem(
        code="BC2501",
        reason=f"a task asks for {name} = {wanted}, and {there}",
        hint="change it, or choose another backend",
        key=f"tasks[{index}].requirements.{name}",
    )
