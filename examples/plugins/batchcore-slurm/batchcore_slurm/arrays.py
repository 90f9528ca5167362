"""What was submitted, remembered on disk: array jobs, their elements, and the marks of these.

Everything lies in ``work/.slurm/<hash>/`` of the run directory: ``intent.json`` names the
attempts of an array job before Slurm is asked to run it, ``job`` holds Slurm's answer,
``<index>.sh`` is what a node executes and ``marks/<index>.*`` what it leaves. Of these the
controller itself makes two: ``canceled`` asks for a stop, ``told`` is the end that was told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from batchcore.backend import RunContext, TaskSubmission, TaskUpdate
from batchcore.errors import BackendError
from batchcore.local import Attempt
from batchcore.transfer import write_error, write_whole
from batchcore_slurm.answers import Row
from batchcore_slurm.outcome import End

Key = tuple[str, int]
_COMMENT = "batchcore:"


class Array(Struct, frozen=True, kw_only=True):
    """An array job: `attempts` are its elements by index, each a task's id and a number."""

    directory: Path
    attempts: tuple[Key, ...]

    @property
    def comment(self) -> str:
        """What the job carries, so that it is found again."""
        return f"{_COMMENT}{self.directory.name}"

    @property
    def marks(self) -> Path:
        """Where its elements leave their marks."""
        return self.directory / "marks"

    @property
    def job(self) -> str | None:
        """Slurm's id of it, None where no answer was written down."""
        return _text(self.directory / "job") or None

    def accept(self, job: str) -> None:
        """Write Slurm's answer down."""
        write_whole(self.directory / "job", job.encode())

    def seen_marks(self) -> frozenset[str]:
        """Return the names of all marks."""
        with reading(self.marks):
            return frozenset(path.name for path in self.marks.iterdir())

    def begun_by(self, index: int | None = None) -> str | None:
        """Return the id of the job that has begun an element, default any of them."""
        if index is not None:
            return _text(self.marks / f"{index}.begun") or None
        names = sorted(name for name in self.seen_marks() if name.endswith(".begun"))
        return next((job for name in names if (job := _text(self.marks / name))), None)

    def end_of(self, index: int) -> End | None:
        """Return how the script of an element says that it ended."""
        path = self.marks / f"{index}.exit"
        code, _, word = _text(path).partition(" ")
        if not word:
            return None
        why = _text(self.marks / f"{index}.why").partition("\n")[0]
        return End(code=int(code), word=word, why=why[:500], at=mtime(path))

    def has_ended(self, index: int) -> bool:
        """Return whether an element has ended by its own word, or was told to have."""
        names = (f"{index}.exit", f"{index}.told")
        return any(mtime(self.marks / name) is not None for name in names)

    def tell(self, index: int, end: TaskUpdate) -> None:
        """Write down how an element is told to have ended, which stands from now on."""
        write_whole(self.marks / f"{index}.told", msgspec.json.encode(end), mode=0o600)

    def told(self, index: int) -> TaskUpdate | None:
        """Return how an element was told to have ended."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(_text(self.marks / f"{index}.told"), type=TaskUpdate)
        return None

    def mark_canceled(self, index: int) -> None:
        """Leave word on the node's side that an element must stop, or not start."""
        path = self.marks / f"{index}.canceled"
        try:
            path.touch()
        except OSError as exc:
            raise write_error(path, exc) from exc


class Book:
    """The array jobs of one run, read from disk once and kept in step with it."""

    def __init__(self, run: RunContext) -> None:
        """Read what earlier processes have submitted."""
        self._root = work(run) / ".slurm"
        self.arrays: dict[str, Array] = {}
        self.places: dict[Key, tuple[Array, int]] = {}
        with reading(self._root):
            intents = {p: p.read_bytes() for p in sorted(self._root.glob("*/intent.json"))}
        for path, text in intents.items():
            attempts = msgspec.json.decode(text, type=tuple[Key, ...])
            self._add(Array(directory=path.parent, attempts=attempts))

    def draft(self, attempts: Sequence[Key]) -> Array:
        """Make the place of a new array job; it counts from `intend` on."""
        text = "\n".join(f"{task} {number}" for task, number in attempts)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        array = Array(directory=self._root / name, attempts=tuple(attempts))
        try:
            array.marks.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise write_error(array.marks, exc) from exc
        return array

    def intend(self, array: Array) -> None:
        """Write down, once its scripts are there, that an array job is about to be submitted."""
        write_whole(array.directory / "intent.json", msgspec.json.encode(array.attempts))
        self._add(array)

    def of_tasks(self, task_ids: Iterable[str]) -> Iterator[tuple[Array, int]]:
        """Yield every attempt of these tasks."""
        wanted = set(task_ids)
        yield from (place for key, place in self.places.items() if key[0] in wanted)

    def has_ended(self, row: Row) -> bool:
        """Return whether what Slurm still lists is an attempt that has ended."""
        array = self.arrays.get(row.comment.removeprefix(_COMMENT))
        return array is not None and array.has_ended(row.index)

    def _add(self, array: Array) -> None:
        self.arrays[array.directory.name] = array
        self.places |= {key: (array, index) for index, key in enumerate(array.attempts)}


def work(run: RunContext) -> Path:
    """Return the directory of a run that is this backend's."""
    return run.directory / "work"


def attempt_of(run: RunContext, submission: TaskSubmission) -> Attempt:
    """Return where an attempt's files are."""
    return Attempt(
        run_id=run.run_id,
        task=submission.task,
        number=submission.attempt,
        directory=work(run) / submission.task.id / str(submission.attempt),
        base=Path(run.plan.base),
    )


def job_name(run_id: str) -> str:
    """Return the name that all jobs of a run have."""
    return f"bc-{run_id}"


def mtime(path: Path) -> float | None:
    """Return when a file was written, None where there is none."""
    with reading(path), suppress(FileNotFoundError):
        return path.stat().st_mtime
    return None


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Raise a transient `BackendError` where the shared file system fails within the block."""
    try:
        yield
    except OSError as exc:
        raise BackendError(
            f"{place} cannot be read: {exc.strerror or exc}",
            hint="see whether the shared file system answers, and run the same command again",
            where=str(place),
            transient=True,
        ) from exc


def _text(path: Path) -> str:
    with reading(path), suppress(FileNotFoundError):
        return path.read_text(errors="replace").strip()
    return ""
