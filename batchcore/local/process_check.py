"""What `local-process` can say of a plan before it starts anything."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from batchcore.backend import Check
from batchcore.errors import Problem
from batchcore.local import secretfiles
from batchcore.local.capacity import beyond_capacity, beyond_disk
from batchcore.local.settings import LocalProcessSettings
from batchcore.plan import Plan, PlannedTask


def command_here(
    command: tuple[str, ...], base: Path, settings: LocalProcessSettings
) -> tuple[str, ...]:
    """Return a command with paths inside the image replaced by those of this machine."""
    mapped = {inside: str(base / here) for inside, here in settings.image_paths.items()}
    return tuple(mapped.get(word, word) for word in command)


def check_plan(plan: Plan, settings: LocalProcessSettings) -> Check:
    """Find what this machine lacks, and fingerprint the files that stand in for the image.

    Raises `EnvironmentNotReady` where secrets would have to lie in a place open to others.
    """
    if any(task.secrets for task in plan.tasks):
        secretfiles.place(os.environ)
    base = Path(plan.base)
    problems = [*_missing_stand_ins(base, settings), *_too_large(plan), *beyond_disk(plan)]
    fingerprint = {}
    if not problems:
        for inside, here in sorted(settings.image_paths.items()):
            fingerprint[inside] = _digest(base / here)
    notes = []
    images = {task.image for task in plan.tasks if task.image}
    if images:
        notes.append("local-process runs the commands on this machine, not in an image")
    problems += _missing_files(plan, base, settings)
    return Check(problems=problems, notes=notes, fingerprint=fingerprint)


def _missing_stand_ins(base: Path, settings: LocalProcessSettings) -> Iterator[Problem]:
    for inside, here in settings.image_paths.items():
        if not (base / here).exists():
            yield Problem(
                code="BC2400",
                reason=f"{inside} is said to be {here!r} on this machine, and that does not exist",
                hint=f"relative paths start at {base}",
                key=f"backend.local-process.image_paths.{inside}",
            )


def _too_large(plan: Plan) -> Iterator[Problem]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return beyond_capacity(plan, processors=os.cpu_count() or 1, memory=memory, who="this machine")


def _missing_files(plan: Plan, base: Path, settings: LocalProcessSettings) -> list[Problem]:
    """Find commands that name an absolute file of an image that is not on this machine."""
    seen: set[tuple[str, ...]] = set()
    problems = []
    for index, task in enumerate(plan.tasks):
        if task.command in seen:
            continue
        seen.add(task.command)
        problems += [
            Problem(
                code="BC2201",
                reason=f"{word!r} is not on this machine; is it a file of the image?",
                hint="say where it is here: [backend.local-process] image_paths = "
                f'{{ "{word}" = "{Path(word).name}" }}, or use --backend local-docker',
                key=f"tasks[{index}].command",
            )
            for word in _absent_words(task, base, settings)
        ]
    return problems


def _absent_words(task: PlannedTask, base: Path, settings: LocalProcessSettings) -> list[str]:
    """Return the program if it is not here, and the script that an interpreter is given."""
    program, *arguments = command_here(task.command, base, settings)
    absent = []
    if program.startswith("/") and not Path(program).exists():
        absent.append(program)
    if "/" not in program and not _program_exists(program, task.env.get("PATH")):
        absent.append(program)
    is_interpreter = Path(program).name.startswith(("python", "Rscript", "perl", "bash", "sh"))
    script = arguments[0] if is_interpreter and arguments else ""
    if script.startswith("/") and not Path(script).exists():
        absent.append(script)
    return absent


def _digest(path: Path) -> str:
    """Hash a file, or a directory's names and contents."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def default_search_path() -> str:
    """Return where commands are looked for: beside this interpreter first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def _program_exists(program: str, path: str | None) -> bool:
    return shutil.which(program, path=path or default_search_path()) is not None
