"""What can be said of a plan before anything is submitted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batchcore.backend import Check
from batchcore.errors import Problem
from batchcore.local import beyond_disk
from batchcore.plan import Plan
from batchcore_slurm.commands import Slurm
from batchcore_slurm.options import Options, task_options
from batchcore_slurm.settings import SlurmSettings
from batchcore_slurm.submit import largest_array

_MOST_ASKED = 20


def check_plan(slurm: Slurm, plan: Plan, settings: SlurmSettings) -> Check:
    """Ask Slurm whether it would take such jobs; nothing is submitted."""
    largest_array(slurm.config)
    problems = [
        *_stand_ins(plan, settings),
        *_containers(plan, settings),
        *beyond_disk(plan),
        *_refused(slurm, plan, settings),
    ]
    notes = []
    if settings.containers == "none" and any(task.image for task in plan.tasks):
        notes.append(
            "slurm runs the commands on the nodes as they are, not in an image; its options "
            "containers and image_paths say otherwise"
        )
    return Check(problems=problems, notes=notes)


def _refused(slurm: Slurm, plan: Plan, settings: SlurmSettings) -> Iterator[Problem]:
    """Try each kind of task with ``sbatch --test-only``; of very many kinds the first."""
    first: dict[Options, int] = {}
    for index, task in enumerate(plan.tasks):
        first.setdefault(task_options(task, settings), index)
    for options, index in list(first.items())[:_MOST_ASKED]:
        reason = slurm.problem(options)
        if reason is not None:
            yield Problem(
                code="BC2501",
                reason=f"Slurm would refuse task {plan.tasks[index].id!r}: {reason}",
                hint="it was asked for: sbatch " + " ".join(options),
                key=f"tasks[{index}]",
            )


def _stand_ins(plan: Plan, settings: SlurmSettings) -> Iterator[Problem]:
    for inside, here in settings.image_paths.items():
        if not (Path(plan.base) / here).exists():
            yield Problem(
                code="BC2400",
                reason=f"{inside} is said to be {here!r} on the shared file system, and that "
                "does not exist",
                hint=f"relative paths start at {plan.base}",
                key=f"backend.slurm.image_paths.{inside}",
            )


def _containers(plan: Plan, settings: SlurmSettings) -> Iterator[Problem]:
    """Find GPUs that would stay outside: Docker's daemon knows nothing of Slurm's choice."""
    for index, task in enumerate(plan.tasks):
        if settings.containers == "docker" and task.image and task.requirements.gpus:
            yield Problem(
                code="BC2501",
                reason="a task asks for gpus, and slurm cannot hand them to a Docker container",
                hint='write containers = "apptainer", or leave out requirements.gpus',
                key=f"tasks[{index}].requirements.gpus",
            )
            return
