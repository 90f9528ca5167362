"""The contract between the core and a backend: the place that executes tasks.

A backend is asked in bulk, answers in bounded time and repeats itself without harm. It never
prints, never sees the command line, never invents an id, and never loops waiting on the user's
behalf: the driver is the only loop. Everything a user finds comfortable is built above this.

Errors: a backend raises only this project's errors. `BackendError` with ``transient=True`` means
"the same call may succeed later" and the driver repeats it, bounded; every other error ends the
command. What goes wrong with one task is not an exception but a `TaskUpdate` that says `failed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import fsspec
from fsspec.spec import AbstractFileSystem
from msgspec import Struct

from batchcore.errors import Problem
from batchcore.plan import Plan, PlannedTask
from batchcore.states import FailureReason, TaskState

__all__ = [
    "API_VERSION",
    "EMULATED",
    "FEATURES",
    "NATIVE",
    "Backend",
    "BackendSpec",
    "Capability",
    "Check",
    "Finding",
    "LogChunk",
    "RunContext",
    "Shell",
    "Snapshot",
    "Stream",
    "TaskFiles",
    "TaskSubmission",
    "TaskUpdate",
    "unsupported",
]

API_VERSION = 1

Stream = Literal["stdout", "stderr"]

FEATURES: dict[str, str] = {
    "containers": "the command runs in the task's image",
    "dependencies": "a task waits for others",
    "time_limit": "a task is stopped after its timeout",
    "retries": "a failed task gets further attempts",
    "cpu_limit": "a task cannot use more processors than it asked for",
    "memory_limit": "a task cannot use more memory than it asked for",
    "disk": "a task's request for disk is honoured",
    "gpus": "a task gets GPUs",
    "mounts": "directories and store prefixes appear at absolute paths",
    "secrets": "named secrets reach the worker and are never stored",
    "root_user": "the command may run as root",
    "live_logs": "stdout and stderr can be read while the task runs",
    "out_of_memory_reason": "running out of memory is told apart from an exit code",
    "interruptions": "a task that lost its machine is told apart from one that failed",
    "survives_controller": "a running task goes on when the controller is killed",
}


class Capability(Struct, frozen=True):
    """How a backend provides a feature: itself, by the core, or not at all and why."""

    level: Literal["native", "emulated", "unsupported"]
    reason: str = ""


NATIVE = Capability("native")
EMULATED = Capability("emulated", "done by batchcore itself")


def unsupported(reason: str) -> Capability:
    """Return the capability for a feature that a backend does not have."""
    return Capability("unsupported", reason)


class BackendSpec(Struct, frozen=True, kw_only=True):
    """What a plugin registers: enough to show and choose a backend without importing its SDK.

    `name` equals the entry point's name. `factory` is ``"package.module:callable"``, imported on
    first use and called with the settings value. `settings` is ``"package.module:Type"``, a
    frozen `msgspec.Struct` whose fields, all with defaults, are the backend's options. The type
    may have two class variables: `aliases`, from an environment variable to the option that it
    gives where nothing else does, and `credentials`, the names that are no options because the
    backend reads them from the environment itself, as ``BATCHCORE_<BACKEND>_<NAME>``.
    `capabilities` has one entry per name in `FEATURES`; a missing one counts as unsupported.
    `api_version` is the `API_VERSION` the backend was written for. `doctor`, where there is one, is
    ``"package.module:function"``, imported by ``batchcore doctor`` alone: called with the settings
    value, it yields a `Finding` for each thing it has looked at, and leaves nothing behind. It
    raises `EnvironmentNotReady` where the engine or service cannot be reached at all.
    `finds_orphans` says that the backend has a `Backend.release_orphans` of its own. `remote`
    says that tasks run on machines of a service and go on when this one is off: a command that
    leaves a run leaves it to the service, and hands that of any other backend to a process.
    `schemes` are those of the URLs that `Backend.store` gives, such as ``az``: by them
    ``batchcore attach`` knows whose a URL is.
    """

    name: str
    summary: str
    factory: str
    settings: str
    capabilities: Mapping[str, Capability]
    api_version: int = API_VERSION
    doctor: str = ""
    finds_orphans: bool = False
    remote: bool = False
    schemes: tuple[str, ...] = ()

    def capability(self, feature: str) -> Capability:
        """Return how a feature is provided; a feature that is not declared is unsupported."""
        return self.capabilities.get(feature) or unsupported(f"{self.name} does not declare it")


class Check(Struct, frozen=True, kw_only=True):
    """What a backend found before anything was created.

    `problems` stop the run; `notes` are shown and do not. `fingerprint` names what the result
    depends on beside the plan, such as the digest behind an image's tag: a change in it makes
    the same job a new run.
    """

    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    fingerprint: Mapping[str, str] = {}


class Finding(Struct, frozen=True):
    """One thing that a doctor has looked at.

    A ``problem`` keeps tasks from running, a ``warning`` may spoil a run or make it slow. `what`
    says what was found, on one line; `fix` is what to type, empty where nothing is to be done.
    """

    level: Literal["ok", "warning", "problem"]
    what: str
    fix: str = ""


class RunContext(Struct, frozen=True, kw_only=True):
    """A run as a backend sees it.

    `run_id` is unique and safe as a name (``[a-z0-9-]{1,63}``); everything the backend creates
    carries it. `directory` is the run directory, absolute; a local backend may use its ``work/``
    and nothing else. `store` is the URL that `Backend.store` gave ("" before that). `notify`
    takes one line of news for people, such as the progress of an image pull.
    """

    run_id: str
    plan: Plan
    directory: Path
    store: str = ""
    notify: Callable[[str], None] = lambda _line: None


class TaskSubmission(Struct, frozen=True):
    """One attempt to execute one task; `attempt` counts from 1."""

    task: PlannedTask
    attempt: int


class TaskUpdate(Struct, frozen=True, kw_only=True):
    """What a backend says of one attempt.

    `state` is never `pending`. `succeeded` is a claim that the command exited 0; the driver
    believes it once the outputs are collected and verified. `failed` has a `reason` and, where
    the command ran, its `exit_code` (None is never success; 128 and its number for a signal). A
    command that was stopped at its time limit has failed, whatever it exited with. `retryable`
    false says that another attempt cannot help, whatever the budgets hold. `native` is the
    backend's own code or id. Times are seconds since the epoch; the end of a command that ran has
    both. An end stands: what is said of the attempt later is the same.
    """

    task_id: str
    attempt: int
    state: TaskState
    reason: FailureReason | None = None
    exit_code: int | None = None
    detail: str = ""
    native: str = ""
    node: str = ""
    retryable: bool = True
    started_at: float | None = None
    ended_at: float | None = None


class Snapshot(Struct, frozen=True, kw_only=True):
    """What changed since a cursor; `cursor` is opaque and goes into the next `poll`."""

    updates: Sequence[TaskUpdate] = ()
    cursor: str = ""


class LogChunk(Struct, frozen=True):
    """Bytes of a log from the asked offset; `complete` when they end it and it will not grow."""

    data: bytes
    complete: bool


class TaskFiles(Struct, frozen=True, kw_only=True):
    """Where what an ended attempt left can be read.

    `tree` is the URL of a directory that holds at least what the task's output patterns match.
    A ``file:`` tree is the working directory itself and is read as hostile: no link out of it is
    followed. `stdout` and `stderr` are URLs of the logs, None where there is none.
    """

    tree: str
    stdout: str | None = None
    stderr: str | None = None


class Shell(Struct, frozen=True, kw_only=True):
    """A program of this machine that opens a shell where an attempt would run its command.

    `argv` is started on the terminal in `directory`; `env` is its whole environment, None for
    that of this process.
    """

    argv: Sequence[str]
    directory: Path
    env: Mapping[str, str] | None = None


class Backend(ABC):
    """The nine methods of a backend; those that are not abstract are there, and few replace them.

    Every method may be called again after a crash at any point, from a process that has only the
    run context; `poll` and `cancel` then know the attempts that it has submitted again. None
    blocks for more than a minute, but for a first `submit` that must fetch an image.
    """

    notifies: ClassVar[bool] = False
    """Whether `poll` itself waits for news. If false the driver waits between its calls."""

    @abstractmethod
    def check(self, plan: Plan) -> Check:
        """Say whether the plan can run here; creates nothing and may be called at any time.

        A declared feature that a task asks for and cannot have here, such as more disk than there
        is, is a problem.

        Raises `EnvironmentNotReady` where the engine or the service cannot be used at all, and
        `BackendError` (transient) where it did not answer.
        """

    @abstractmethod
    def store(self, run: RunContext) -> str:
        """Return the fsspec URL under which this run's resources are staged.

        The same URL for the same run id, always. On return the place is writable. Secrets are
        not part of the URL. Transient: the store did not answer.
        """

    def filesystem(self, url: str) -> tuple[AbstractFileSystem, str]:
        """Return the file system and the path in it for a URL of `store` or `outputs`.

        Here what fsspec makes of the URL by its own settings and environment; a backend that has
        credentials of its own gives an instance that uses those and no others. It is called, and
        what it returns is used, in several threads at once; listings are not cached. Used are
        ``put_file``, ``pipe_file``, ``get_file``, ``find`` and ``info``, and ``makedirs`` where a
        store needs directories; an entry of ``find`` or ``info`` may have the ``content_md5`` of
        an object, 16 bytes, and then what arrives is compared with it, as it is with the size. An
        instance with a true ``verifies`` compares by itself, and is not asked for ``info`` first.
        An error of this project is raised as it is, every other one is taken for transient.
        Nothing is asked of a ``file:`` URL.
        """
        filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
        return filesystem, path

    @abstractmethod
    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Accept attempts for execution, in this order.

        On return every attempt is known to the backend and appears in `poll`. Idempotent: an
        attempt that is known already, from an earlier process too, is adopted and not started
        again. A task that cannot start becomes a `failed` update. Transient: nothing, or an
        unknown part, was accepted; the driver submits all of them again.
        """

    @abstractmethod
    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        """Return what changed since `cursor`; ``""`` asks for every attempt that is known.

        A backend with `notifies` returns as soon as something changed and at the latest after
        `wait` seconds; all others return at once. One answer for the whole run, never a call per
        task. Updates may repeat. Transient: the service did not answer.
        """

    @abstractmethod
    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        """Return bytes of a log from `offset` on, at most 1 MiB, while it runs and until release.

        An attempt that has written nothing gives empty data, and so does an offset beyond the
        end. Transient: could not be read now.
        """

    @abstractmethod
    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        """Ask for tasks to stop: TERM, the grace time, KILL.

        Returns when the request is accepted; the end is seen in `poll` as `canceled`. Nothing
        happens to a task that has ended or is not known, or to an attempt that is submitted
        later. Transient: not accepted yet.
        """

    @abstractmethod
    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Return where the files of an ended attempt are; readable until `release`.

        Each attempt has files of its own. A backend that itself carries outputs away takes
        regular files alone, and links to those inside the working directory; what it cannot take
        ends the attempt as `failed` with ``output_unsafe`` or ``output_upload``. Transient: they
        cannot be reached now.
        """

    @abstractmethod
    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        """Delete what this run created, and nothing else; returns a line for each thing.

        With `dry_run` nothing is deleted and the same lines are returned. Attempts that still
        run are stopped. Idempotent. The run's results and logs in the run directory stay.
        """

    def settle(self, run: RunContext) -> None:
        """Clear up after a full success, when every result is verified and on this machine's disk.

        Here all that the run created is released. A backend whose remains cost next to nothing
        may keep them until `release` is asked for. Idempotent. Transient: not all is deleted yet.
        """
        self.release(run, dry_run=False)

    def release_orphans(self, keep: Collection[str], *, dry_run: bool) -> Sequence[str]:  # noqa: ARG002 - for those that have some
        """Delete what runs have left whose run directory is gone; a line for each thing.

        Nothing of the runs whose ids are in `keep`, nothing that another machine may have made,
        and nothing where it cannot be told. With `dry_run` nothing is deleted and the same lines
        are returned. Idempotent. Here nothing is known of such runs.
        """
        return ()

    def explain(
        self,
        run: RunContext,  # noqa: ARG002 - for those that know something
        attempts: Sequence[TaskSubmission],  # noqa: ARG002 - as above
    ) -> Mapping[str, Sequence[str]]:
        """Say why these attempts, submitted and at most 20, have not ended: lines for people.

        By the task's id, and under ``""`` what holds for all of them, such as the state of the
        machines. Asked by another process than the one that drives the run; changes nothing and
        asks little. Here nothing is known but what is in the run's record. Transient: the service
        did not answer.
        """
        return {}

    def shell(
        self,
        run: RunContext,  # noqa: ARG002 - for those that run tasks on this machine
        attempt: TaskSubmission,  # noqa: ARG002 - as above
    ) -> Shell | None:
        """Prepare an attempt as `submit` would, and say how to open a shell in its place.

        Its resources are staged. The command is not started; what was prepared, and what runs of
        it, is deleted by `release`. Here None: there is no place on this machine.
        """
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of connections and threads; running tasks go on. Idempotent.

        Where `survives_controller` is unsupported they may be stopped instead, as `node_lost`.
        The one thread that fsspec has for all of a process stays, as others may use it.
        """


Settings = Any
