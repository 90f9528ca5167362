"""What a run would do, as text."""

from __future__ import annotations

import shlex

from batchcore.life.start import Prepared
from batchcore.plan import Plan
from batchcore.report.text import plural, printable
from batchcore.units import show_bytes


def dry_run_text(prepared: Prepared, place: str, *, exists: bool) -> str:
    """Return what would be created, uploaded and run, in a few lines."""
    plan = prepared.plan
    verb = "continue" if exists else "create"
    lines = [
        f"would {verb:8}  run {prepared.run_id} on {prepared.spec.name}, in {printable(place)}",
        f"would upload    {_files(plan)}",
        f"would run       {_tasks(plan)}",
    ]
    if image := image_text(plan):
        lines.append(f"image           {image}")
    lines += [f"note            {printable(note)}" for note in prepared.check.notes]
    return "\n".join(lines)


def image_text(plan: Plan) -> str:
    """Return the image of all tasks, or how many there are; empty where there is none."""
    images = sorted({task.image for task in plan.tasks if task.image})
    if len(images) == 1:
        return printable(images[0])
    return plural(len(images), "image") if images else ""


def _files(plan: Plan) -> str:
    files = {file.key: file for task in plan.tasks for file in task.files}
    sizes = [file.size for file in files.values() if file.size is not None]
    unknown = len(files) - len(sizes)
    more = f" and {plural(unknown, 'URL')} of unknown size" if unknown else ""
    return f"{plural(len(sizes), 'file')}, {show_bytes(sum(sizes))}{more}"


def _tasks(plan: Plan) -> str:
    if not plan.tasks:
        return "0 tasks"
    first = plan.tasks[0]
    different = len({task.command for task in plan.tasks}) > 1
    return f"{plural(len(plan.tasks), 'task')}: {printable(shlex.join(first.command))}" + (
        f"   (the first, {first.id})" if different else ""
    )
