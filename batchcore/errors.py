"""Every error that batchcore raises, in one tree.

BatchcoreError                 exit 1   a bug, unless a subclass says otherwise
├── BackendBug                 exit 1   the code of a backend has a bug
├── UsageError                 exit 2   the command line or a call is wrong
│   ├── JobError               exit 2   the job is wrong; carries all of its problems
│   ├── SettingsError          exit 2   a setting is wrong, or a credential stands in a file
│   └── PluginError            exit 2   a plugin is broken or does not fit this version
├── TasksFailed                exit 3   the run ended and some tasks failed
├── RunCanceled                exit 4   the run ended because it was canceled
├── NotFound                   exit 5   no such run, task or backend
├── EnvironmentNotReady        exit 6   a daemon, an interpreter or a directory is missing
├── BackendError               exit 7   a backend or a store failed after its retries
│   └── TransferError          exit 7   a file could not be moved or did not verify
├── WaitTimeout                exit 8   the wait ran out; the run goes on
├── Conflict                   exit 9   another controller, or another job, owns this run
└── Detached                   exit 130 or 143   the user left; the run can be continued

Each error says what happened, where, and what to type next. Its code is stable and has an
entry in ``docs/errors.md``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import force_setattr

__all__ = [
    "BackendBug",
    "BackendError",
    "BatchcoreError",
    "Conflict",
    "Detached",
    "EnvironmentNotReady",
    "JobError",
    "NotFound",
    "PluginError",
    "Problem",
    "RunCanceled",
    "SettingsError",
    "TasksFailed",
    "TransferError",
    "UsageError",
    "WaitTimeout",
    "suggest",
]

LONGEST = 2_000  # characters of one part of a message

CODES: dict[str, str] = {
    "BC1000": "a bug in batchcore or in a plugin",
    "BC1001": "a bug in the code of a backend",
    "BC2000": "wrong use of a command or a call",
    "BC2001": "a value has the wrong type or form",
    "BC2002": "an unknown name where one of a known list is wanted",
    "BC2100": "a path that is not allowed",
    "BC2101": "a file pattern that is not allowed",
    "BC2200": "a name or an id that is not allowed",
    "BC2201": "a command that is not allowed",
    "BC2202": "a field that is missing or contradicts another one",
    "BC2203": "two things that must differ are the same",
    "BC2204": "a dependency that cannot be met",
    "BC2205": "a resource that cannot be read",
    "BC2206": "a secret that is not set",
    "BC2300": "a job file that cannot be read",
    "BC2301": "a key that a job file does not know",
    "BC2302": "a table or matrix of tasks that cannot be expanded",
    "BC2400": "a setting that is wrong",
    "BC2401": "a credential in a file",
    "BC2500": "a plugin that is broken",
    "BC2501": "a backend that cannot do what the job asks for",
    "BC3000": "some tasks failed",
    "BC4000": "the run was canceled",
    "BC5000": "no such run",
    "BC5001": "no such task",
    "BC5002": "no such backend",
    "BC6000": "the environment is not ready",
    "BC6001": "a directory cannot be used",
    "BC7000": "the backend failed",
    "BC7001": "a file could not be transferred",
    "BC7002": "a damaged record",
    "BC8000": "the wait ran out",
    "BC9000": "another controller holds the run",
    "BC9001": "another job owns the run's id",
    "BC9900": "detached: the run can be continued",
}


class Problem(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with what the user wrote.

    `reason` says what is wrong, `hint` what to type instead, `file` and `key` where it stands
    (`key` is a path such as ``tasks[3].outputs[0].path``). Empty strings mean unknown.
    """

    code: str
    reason: str
    hint: str = ""
    file: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        """Shorten what is told: a name in a broken file may be 10 MB long."""
        for name in ("reason", "hint", "key"):
            if len(text := getattr(self, name)) > LONGEST:
                half = LONGEST // 2
                force_setattr(self, name, f"{text[:half]} … {text[-half:]}")

    def __str__(self) -> str:
        """Return the problem as the lines a person reads."""
        place = " ".join(part for part in (self.file, self.key) if part)
        lines = [f"error[{self.code}]: {self.reason}"]
        if place:
            lines.append(f"  --> {place}")
        if self.hint:
            lines.append(f"  help: {self.hint}")
        return "\n".join(lines)


class BatchcoreError(Exception):
    """Root of the tree: something went wrong that has a code, a message and a hint."""

    code: ClassVar[str] = "BC1000"
    exit_code: ClassVar[int] = 1

    def __init__(self, reason: str, *, hint: str = "", where: str = "", code: str = "") -> None:
        """Keep what happened (`reason`), what to type next (`hint`) and the place (`where`)."""
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.where = where
        self.error_code = code or self.code

    @property
    def problems(self) -> Sequence[Problem]:
        """The error as a list of problems; only a `JobError` has more than one."""
        return (Problem(code=self.error_code, reason=self.reason, hint=self.hint, file=self.where),)

    def __str__(self) -> str:
        """Return the error as the lines a person reads."""
        return "\n".join(str(problem) for problem in self.problems)


class BackendBug(BatchcoreError):
    """A backend's code raised what is no error of this tree, or returned what makes no sense."""

    code = "BC1001"


class UsageError(BatchcoreError):
    """The command line or a call is wrong; nothing was done."""

    code = "BC2000"
    exit_code = 2


class JobError(UsageError, ValueError):
    """The job is wrong; `problems` names everything that is, and nothing was created."""

    code = "BC2001"

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep all the problems; there is at least one."""
        self._problems = tuple(problems)
        first = self._problems[0]
        super().__init__(first.reason, hint=first.hint, where=first.file, code=first.code)

    @classmethod
    def of(cls, code: str, reason: str, *, hint: str = "", key: str = "") -> JobError:
        """Return the error for a single problem."""
        return cls([Problem(code=code, reason=reason, hint=hint, key=key)])

    @property
    def problems(self) -> Sequence[Problem]:
        """Everything that is wrong, in the order of the job."""
        return self._problems


class SettingsError(UsageError):
    """A setting is unknown, has the wrong form, or is a credential in a file."""

    code = "BC2400"


class PluginError(UsageError):
    """A plugin cannot be used; the message names its distribution."""

    code = "BC2500"


class TasksFailed(BatchcoreError):
    """The run ended and some tasks failed; everything that succeeded was collected."""

    code = "BC3000"
    exit_code = 3


class RunCanceled(BatchcoreError):
    """The run ended because somebody canceled it."""

    code = "BC4000"
    exit_code = 4


class NotFound(BatchcoreError):
    """There is no such run, task or backend."""

    code = "BC5000"
    exit_code = 5


class EnvironmentNotReady(BatchcoreError):
    """Something outside the job is missing: a daemon, a program, a writable directory."""

    code = "BC6000"
    exit_code = 6


class BackendError(BatchcoreError):
    """A backend or its store failed.

    `transient` is true where the same call may succeed later; the driver then repeats it with
    a bounded, jittered back-off, or after `retry_after` seconds where the service named a time.
    It is always safe to run the same command again.
    """

    code = "BC7000"
    exit_code = 7

    def __init__(
        self,
        reason: str,
        *,
        hint: str = "",
        where: str = "",
        code: str = "",
        transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """Keep whether and when the call may be repeated, beside the usual fields."""
        super().__init__(reason, hint=hint, where=where, code=code)
        self.transient = transient
        self.retry_after = retry_after


class TransferError(BackendError):
    """A file could not be moved, or what arrived is not what was sent."""

    code = "BC7001"


class WaitTimeout(BatchcoreError):
    """The time given to a wait ran out; the run goes on."""

    code = "BC8000"
    exit_code = 8


class Conflict(BatchcoreError):
    """Another controller holds this run, or its id belongs to a different job."""

    code = "BC9000"
    exit_code = 9


class Detached(BatchcoreError):
    """The user left with Ctrl-C (130) or the process was told to end (143)."""

    code = "BC9900"
    exit_code = 130

    def __init__(self, reason: str, *, hint: str = "", signal_exit: int = 130) -> None:
        """Keep the exit code of the signal, 130 or 143."""
        super().__init__(reason, hint=hint)
        self.signal_exit = signal_exit


def exit_code_of(error: BatchcoreError) -> int:
    """Return the process exit code for an error."""
    return error.signal_exit if isinstance(error, Detached) else error.exit_code


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean …?`` for a misspelt word, else the known ones, shortened."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f'did you mean "{close[0]}"?'
    shown = ", ".join(sorted(known)[:8])
    return f"known: {shown}" + (", …" if len(known) > 8 else "")  # noqa: PLR2004 - a short line
