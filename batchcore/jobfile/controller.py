"""A job from a Python script: the script runs once, as ``python controller.py`` would run it."""

from __future__ import annotations

import contextlib
import runpy
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any

from msgspec.structs import replace

from batchcore.errors import BatchcoreError, JobError, Problem
from batchcore.jobfile.credentials import option_problems
from batchcore.jobfile.text import failure, unreadable
from batchcore.model import Job

RUN_NAME = "__batchcore__"

_FUNCTIONS = ("job", "build_job")
_HINT = "write job = batchcore.Job(…) at module level, or a function job() that returns one"

#: The jobs captured so far while a controller is being read; None outside of that.
loading: ContextVar[list[Job] | None] = ContextVar("loading", default=None)


class ControllerReached(BaseException):
    """A controller that is being read has reached `batchcore.main`; `job` is what it built.

    A `BaseException`, so that a controller's own ``except Exception`` lets it through.
    """

    def __init__(self, job: Job) -> None:
        """Carry the job to the reader."""
        super().__init__(f"job {job.name!r} is complete")
        self.job = job


def capture(job: Job) -> None:
    """Hand a job to the reader of this controller, by `ControllerReached`; else do nothing.

    Raises `JobError` (permanent) for what is no job.
    """
    if not isinstance(job, Job):
        raise JobError.of(
            "BC2001",
            f"batchcore.main wants a Job, not {type(job).__name__}",
            hint='write batchcore.main(batchcore.Job("name", …))',
        )
    captured = loading.get()
    if captured is not None:
        captured.append(job)
        raise ControllerReached(job)


def read_controller(path: Path) -> Job:
    """Return the job that a script builds.

    The script runs as a module named ``__batchcore__``, so that an ``if __name__ == "__main__":``
    part does not run; with its directory first on `sys.path`, ``sys.argv == [path]`` and its
    standard output on standard error, where it cannot mix with data. The job is what reaches
    `batchcore.main`, else the module's `job`, else what its `job()` or `build_job()` returns.
    The interpreter's state is put back afterwards; not safe in several threads at once.

    Raises `JobError` (permanent): BC2300 with the line where the script raised or exited, or where
    there is no job; problems of the job itself keep their code. Other errors of batchcore pass.
    """
    try:
        path.open("rb").close()
    except OSError as exc:
        raise unreadable(path, exc, code="BC2300") from exc
    captured: list[Job] = []
    token = loading.set(captured)
    try:
        with _as_script(path) as module:
            job = _run(path, module, captured)
    finally:
        loading.reset(token)
    if problems := option_problems(job.backend_options):
        raise JobError(replace(problem, file=str(path)) for problem in problems)
    return job


def _run(path: Path, module: ModuleType, captured: list[Job]) -> Job:
    try:
        names = runpy.run_path(str(path), run_name=RUN_NAME)
        # What a function of the script looks up by module name must still be there.
        module.__dict__.update(names)
        sys.modules[RUN_NAME] = module
        return captured[0] if captured else _find(names, path)
    except ControllerReached as reached:
        return reached.job
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        # The script may have caught the way out and then left by one of its own.
        if captured:
            return captured[0]
        if isinstance(exc, BatchcoreError) and not isinstance(exc, JobError):
            raise
        raise JobError(_problems(path, exc)) from exc


def _find(names: dict[str, Any], path: Path) -> Job:
    found = names.get("job")
    if isinstance(found, Job):
        return found
    for name in _FUNCTIONS:
        function = names.get(name)
        if callable(function):
            return _call(name, function, path)
    others = [name for name, value in names.items() if isinstance(value, Job)]
    hint = f"rename {' or '.join(others)} to job" if others else _HINT
    raise failure("BC2300", "the controller has no job", hint=hint, file=str(path))


def _call(name: str, function: Callable[[], object], path: Path) -> Job:
    job = function()
    if isinstance(job, Job):
        return job
    reason = f"{name}() returned {type(job).__name__}, not a Job"
    raise failure("BC2300", reason, hint="return the batchcore.Job", file=str(path))


def _problems(path: Path, error: BaseException) -> list[Problem]:
    place = _place(path, error)
    if isinstance(error, JobError):
        return [replace(p, file=p.file or place) for p in error.problems]
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    reason = f"the controller raised {type(error).__name__}" + (f": {text}" if text else "")
    hint = f"run python {path} to see the whole traceback"
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"install {error.name}, or run batchcore with the Python that has it"
    if isinstance(error, SystemExit):
        reason = f"the controller ended with sys.exit({error.code!r}) before it gave a job"
        hint = 'put what exits below if __name__ == "__main__":'
    return [Problem(code="BC2300", reason=reason, hint=hint, file=place)]


def _place(path: Path, error: BaseException) -> str:
    """Return the file and the last line of the script that took part in an error."""
    line = None
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{path}:{line}" if line else str(path)


@contextlib.contextmanager
def _as_script(path: Path) -> Iterator[ModuleType]:
    argv, sys_path, module = sys.argv, sys.path, sys.modules.get(RUN_NAME)
    sys.argv = [str(path)]
    sys.path = [str(path.resolve().parent), *sys_path]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield ModuleType(RUN_NAME)
    finally:
        sys.argv, sys.path = argv, sys_path
        sys.modules.pop(RUN_NAME, None)
        if module is not None:
            sys.modules[RUN_NAME] = module
