"""What the user writes: Job, Task, Resource, Output, Requirements. Frozen values, no I/O.

Every value is plain data: it can be written as JSON or TOML and read back equal. Each check that
needs neither the file system nor the other tasks happens here, when the value is built, and
raises `JobError` with the key, the reason and a suggestion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

from msgspec import Meta, Struct, field
from msgspec.structs import force_setattr, replace

from batchcore import paths, units
from batchcore.command import SHELL, normalise_command
from batchcore.credentials import is_secret_value
from batchcore.errors import JobError
from batchcore.names import (
    TASK_ID as TASK_ID,  # noqa: PLC0414 - still this module's name for it
)
from batchcore.names import (
    check_env,
    check_image,
    check_job_name,
    check_labels,
    check_secrets,
    check_task_id,
)
from batchcore.shape import conform, listed

if TYPE_CHECKING:
    from batchcore.run import Run

_MODE = re.compile(r"0?[0-7]{3}")
_LISTS = ("resources", "outputs", "mounts", "secrets", "depends_on", "tasks")
_NONE: tuple[()] = ()

When = Literal["success", "failure", "always"]


class _Value(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of the model's values."""

    def __post_init__(self) -> None:
        """Refuse fields of another type; every subclass goes on from there."""
        conform(self)


class Resource(_Value, frozen=True, gc=False):
    """A file, or a tree of files, placed in the task's working directory before it starts.

    `path` is where it lands, relative to the working directory. Exactly one of these says what:

    - `source`: a file, a directory, a glob (``data/*.csv``) or any fsspec URL. For a directory
      and a glob `path` is a directory, and the files keep their names below it. Relative sources
      start at the job file's directory, or at the current one for a job built in Python;
    - `text`: the content itself, written as UTF-8;
    - `content`: the content itself as bytes (base64 in JSON and TOML).

    `mode` is the file mode as octal text, default ``"0644"``; a local source that its owner may
    execute defaults to ``"0755"``.
    """

    path: str
    source: str | None = None
    text: str | None = None
    content: bytes | None = None
    mode: str | None = None

    def __post_init__(self) -> None:
        """Check the path, the mode, and that exactly one origin is given."""
        super().__post_init__()
        force_setattr(self, "path", paths.safe_path(self.path, "path"))
        given = [n for n in ("source", "text", "content") if getattr(self, n) is not None]
        if len(given) != 1:
            raise JobError.of(
                "BC2202",
                f"resource {self.path!r} needs exactly one of source, text and content"
                + (f", not {' and '.join(given)}" if given else ""),
                hint=f'write source = "{self.path}"' if not given else f"keep {given[0]} alone",
                key="source",
            )
        if self.source is not None and not self.source.strip():
            raise JobError.of("BC2202", f"resource {self.path!r} has an empty source", key="source")
        _refuse_credential(f"resource {self.path!r}", self.source)
        if self.mode is not None and not _MODE.fullmatch(self.mode):
            raise JobError.of(
                "BC2001", f"{self.mode!r} is not a file mode", hint='write "0644"', key="mode"
            )


class Output(_Value, frozen=True, gc=False):
    """A file, or a pattern of files, collected from the working directory when the task ends.

    A `path` without a wildcard names one file, and `to` is its name below the run's ``outputs/``;
    with a wildcard `to` is a directory, and the files keep their names below it, relative to the
    pattern's fixed part. Default `to`: ``<task id>/<path>`` or ``<task id>``. `when` says after
    which end it is collected; a `required` output that is missing fails a task that exited 0.
    """

    path: str
    to: str | None = None
    when: When = "success"
    required: bool = True

    def __post_init__(self) -> None:
        """Check the pattern and the destination."""
        super().__post_init__()
        force_setattr(self, "path", paths.safe_pattern(self.path, "path"))
        if self.to is not None:
            force_setattr(self, "to", paths.safe_path(self.to, "to"))
            if paths.has_wildcard(self.to):
                raise JobError.of(
                    "BC2101",
                    f"{self.to!r} has a wildcard, but a destination names one place",
                    hint="write a file name, or a directory for a pattern",
                    key="to",
                )


class Requirements(_Value, frozen=True, kw_only=True):
    """What one task needs of a machine: processors, memory and disk (bytes or ``"2GiB"``), GPUs.

    None means the backend's own default.
    """

    cpus: float | None = None
    memory: int | str | None = None
    disk: int | str | None = None
    gpus: int | None = None

    def __post_init__(self) -> None:
        """Turn sizes into bytes and refuse what no machine can give."""
        super().__post_init__()
        for name in ("memory", "disk"):
            value = getattr(self, name)
            if value is not None:
                force_setattr(self, name, units.size_in_bytes(value, f"requirements.{name}"))
        if self.cpus is not None and not 0 < self.cpus < 10_000:  # noqa: PLR2004 - a sane ceiling
            raise JobError.of(
                "BC2001",
                f"{self.cpus!r} is not a number of processors",
                hint="write cpus = 1",
                key="requirements.cpus",
            )
        if self.gpus is not None and self.gpus < 0:
            raise JobError.of(
                "BC2001", f"{self.gpus!r} is not a number of GPUs", key="requirements.gpus"
            )

    @property
    def disk_bytes(self) -> int | None:
        """The disk in bytes."""
        return cast("int | None", self.disk)

    @property
    def memory_bytes(self) -> int | None:
        """The memory in bytes."""
        return cast("int | None", self.memory)


class Mount(_Value, frozen=True):
    """A directory or a store prefix made visible to the worker at an absolute path.

    `source` is a directory of this machine or a store URL; read-only unless `read_only` is false.
    """

    path: str
    source: str
    read_only: bool = True

    def __post_init__(self) -> None:
        """Refuse a place that is not an absolute, plain path, and a mount of nothing."""
        super().__post_init__()
        parts = self.path.split("/")
        odd = {"..", "."} & set(parts) or ":" in self.path or not self.path.isprintable()
        if not self.path.startswith("/") or not self.path.strip("/") or odd:
            raise JobError.of(
                "BC2100",
                f"{self.path!r} is not an absolute path to mount at",
                hint='write a path such as "/data"',
                key="path",
            )
        # Spelt in one way, so that two mounts at one place are seen to be.
        force_setattr(self, "path", "/" + "/".join(part for part in parts if part))
        if not self.source.strip():
            raise JobError.of(
                "BC2202",
                f"the mount at {self.path!r} has an empty source",
                hint="name a directory or a store URL",
                key="source",
            )
        _refuse_credential(f"the mount at {self.path!r}", self.source)


class Dependency(_Value, frozen=True):
    """Another task that must end first; `on` is ``"success"`` or ``"any"`` end."""

    task: str
    on: Literal["success", "any"] = "success"


class Shared(_Value, frozen=True, kw_only=True):
    """What a task says for itself and a job for all of its tasks.

    For a single value the task's own wins; `env` and `labels` are merged key by key; `resources`,
    `outputs` and `mounts` are joined, the task's replacing the job's with the same `path`;
    `secrets` are joined.

    - `image`: the container image; `command`: argv, or one plain line without shell syntax;
      `shell`: a line for ``/bin/sh -c`` instead of a command.
    - `env`: variables for the worker; `secrets`: names of variables of the controller whose
      values the worker may read, never stored.
    - `timeout`: seconds, or ``"30m"``, from the start of the command; `grace`: the time between
      TERM and KILL (default 10 s).
    - `retries`: further attempts after the task's own failure (default 0); `interruptions`: after
      a failure that is not its fault (default 5).
    - `user`: ``"caller"`` (default; the auto-user on Azure) or ``"root"``.
    """

    image: str | None = None
    command: Sequence[str] | str | None = None
    shell: str | None = None
    env: dict[str, str] = {}
    requirements: Requirements = Requirements()
    timeout: float | str | None = None
    grace: float | str | None = None
    retries: Annotated[int, Meta(ge=0, le=100)] | None = None
    interruptions: Annotated[int, Meta(ge=0, le=100)] | None = None
    resources: Sequence[Resource] = ()
    outputs: Sequence[Output | str] = ()
    mounts: Sequence[Mount] = ()
    secrets: Sequence[str] = ()
    labels: dict[str, str] = {}
    user: Literal["caller", "root"] | None = None

    def __post_init__(self) -> None:
        """Normalise lists, times and the command, and check names."""
        force_setattr(self, "command", normalise_command(self.command, self.shell))
        check_env(self.env)
        fields = self.__struct_fields__
        lists = [n for n in _LISTS if n in fields and getattr(self, n) is not _NONE]
        for name in lists:
            force_setattr(self, name, listed(getattr(self, name), name))
        super().__post_init__()
        for name in ("timeout", "grace"):
            if (value := getattr(self, name)) is not None:
                force_setattr(self, name, units.seconds(value, name))
        for name in lists:
            force_setattr(self, name, tuple(getattr(self, name)))
        if self.command is not None:
            force_setattr(self, "command", tuple(self.command))
        outputs = tuple(Output(o) if isinstance(o, str) else o for o in self.outputs)
        force_setattr(self, "outputs", outputs)
        check_image(self.image)
        check_labels(self.labels)
        check_secrets(self.secrets, self.env)

    @property
    def argv(self) -> tuple[str, ...] | None:
        """The command as argv, a shell line included; None where neither is given."""
        if self.shell is not None:
            return (*SHELL, self.shell)
        return cast("tuple[str, ...] | None", self.command)

    @property
    def output_values(self) -> tuple[Output, ...]:
        """The outputs; a plain string has become an `Output`."""
        return cast("tuple[Output, ...]", self.outputs)


class Task(Shared, frozen=True, gc=False):
    """One command in one container image, with its resources and outputs.

    `id` is 1 to 64 of ``A-Z a-z 0-9 _ -`` and unique in the job ignoring case. `depends_on` lists
    ids, or `Dependency` values, of tasks that must end before this one starts.
    """

    id: str
    depends_on: Sequence[Dependency | str] = field(default=())

    def __post_init__(self) -> None:
        """Check the id and normalise the dependencies."""
        super().__post_init__()
        check_task_id(self.id)
        links = tuple(Dependency(d) if isinstance(d, str) else d for d in self.depends_on)
        force_setattr(self, "depends_on", links)

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The dependencies; a plain id has become a `Dependency` on success."""
        return cast("tuple[Dependency, ...]", self.depends_on)


class Job(Shared, frozen=True):
    """The plain-data description of tasks and what they share.

    `tasks` in the order of the results. All other task fields given here are defaults for every
    task. `backend_options` (in a file: ``[backend.NAME]``) go to that backend alone, strictly
    checked. `max_parallel` limits how many tasks run at once; `fail_fast` stops submitting after
    the first failure.
    """

    name: str
    tasks: Sequence[Task] = ()
    backend_options: dict[str, dict[str, Any]] = field(default_factory=dict, name="backend")
    max_parallel: Annotated[int, Meta(ge=1)] | None = field(default=None)
    fail_fast: bool = field(default=False)

    def __post_init__(self) -> None:
        """Check the name; ids are compared when the job is planned."""
        super().__post_init__()
        check_job_name(self.name)

    def with_task(self, id: str, **fields: Any) -> Self:  # noqa: A002 - the model's own word
        """Return a job with one more task; for thousands of tasks give `tasks` a list instead."""
        return self.with_tasks([Task(id, **fields)])

    def with_tasks(self, tasks: Iterable[Task]) -> Self:
        """Return a job with these tasks added at the end."""
        added = replace(self, tasks=tuple(tasks)).tasks
        job = copy(self)  # not `replace`, which would look at every earlier task again
        force_setattr(job, "tasks", (*self.tasks, *added))
        return job

    def run(self, backend: str = "", **options: Any) -> Run:
        """Run the job on a backend and return its `Run`; see `batchcore.run_job`."""
        from batchcore.life.start import run_job

        return run_job(self, backend=backend, **options)

    def _repr_mimebundle_(self, **_wanted: Any) -> dict[str, str]:
        """Return the job as a notebook shows it, short whatever its size."""
        from batchcore.report.notebook import job_bundle

        return job_bundle(self)

    def _repr_html_(self) -> str:
        """Return the same as HTML, for what asks for nothing else."""
        return self._repr_mimebundle_()["text/html"]


def _refuse_credential(what: str, source: str | None) -> None:
    """Refuse a source with a signature or a password in it; the value is never shown."""
    if is_secret_value(source):
        raise JobError.of(
            "BC2401",
            f"the source of {what} carries a credential, and a job is written to disk",
            hint="take it out of the URL and give it to the fsspec package by its own variables",
            key="source",
        )
