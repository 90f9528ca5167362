"""The verb `logs`."""

from __future__ import annotations

from collections.abc import Sequence

import click
from msgspec import Struct

from batchcore.backend import Stream
from batchcore.cli.completion import run_names, task_ids
from batchcore.cli.find import find_run, run_option
from batchcore.cli.logtext import Escaper, tail_offset
from batchcore.cli.options import traceback_option
from batchcore.cli.session import Session
from batchcore.cli.tasklog import LogSource, TaskLog, choose_attempt
from batchcore.errors import BackendError, UsageError, suggest
from batchcore.record.rundir import is_driven
from batchcore.results import TaskResult
from batchcore.run import Run
from batchcore.states import TaskState

_POLL_SECONDS = 0.5
_TRIES = 5
_STREAMS: dict[tuple[bool, bool], tuple[Stream, ...]] = {
    (True, False): ("stdout",),
    (False, True): ("stderr",),
}


class _Asked(Struct, frozen=True, kw_only=True):
    """What of a log is asked for."""

    streams: tuple[Stream, ...]
    attempt: int | None
    lines: int | None
    follow: bool


@click.command(epilog="Example:  batchcore logs sum-of-powers-7f3a seed-1 -n 20")
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.argument("task", metavar="[TASK]", required=False, shell_complete=task_ids)
@click.option("--stdout", is_flag=True, help="Print stdout alone.")
@click.option("--stderr", is_flag=True, help="Print stderr alone.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Print so many last lines.")
@click.option("--failed", is_flag=True, help="Print the logs of all failed tasks.")
@click.option("--attempt", type=click.IntRange(min=1), help="Choose an attempt (default: last).")
@click.option("--raw", is_flag=True, help="Send control characters to the terminal too.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the task ends.")
@run_option
@traceback_option
@click.pass_obj
def logs(
    session: Session,
    /,
    *,
    run: str,
    task: str | None,
    stdout: bool,
    stderr: bool,
    lines: int | None,
    failed: bool,
    attempt: int | None,
    raw: bool,
    follow: bool,
    runs: str | None,
) -> None:
    """Print what tasks wrote to stdout and stderr; both go to stdout.

    Without TASK: of the run's only task. While a task runs, its log is read live.
    """
    found = find_run(run, runs)
    tasks = _chosen(found, task, failed=failed)
    streams = _STREAMS.get((stdout, stderr), ("stdout", "stderr"))
    asked = _Asked(streams=streams, attempt=attempt, lines=lines, follow=follow)
    printer = _Printer(session, headers=len(tasks) * len(streams) > 1, raw=raw)
    with LogSource(found) as source:
        reader = _Reader(session, printer, source, asked)
        for one in tasks:
            reader.print(one)
    printer.end()


def _chosen(run: Run, task_id: str | None, *, failed: bool) -> Sequence[TaskResult]:
    if task_id and failed:
        raise UsageError("TASK and --failed contradict each other", hint="keep one of them")
    if task_id:
        return [run.task(task_id)]
    tasks = run.tasks
    if failed:
        return [task for task in tasks if task.state is TaskState.FAILED]
    if len(tasks) == 1:
        return tasks
    raise UsageError(
        f"run {run.id} has {len(tasks)} tasks, and none is named",
        hint=f"add a task's id, or --failed; {suggest('', [task.id for task in tasks])}",
    )


class _Printer:
    """Writes logs to stdout, each below a header on stderr where there are several."""

    def __init__(self, session: Session, *, headers: bool, raw: bool) -> None:
        self._session = session
        self._headers = headers
        self._escape = session.out.interactive and not raw
        self._escapers: dict[str, Escaper] = {}
        self._last = ""

    def print(self, log: TaskLog) -> bool:
        """Print what is new in a log; return whether there was anything."""
        news = False
        for data in log.read():
            if self._headers and log.title != self._last:
                self._session.err.line(f"== {log.title}")
            self._last = log.title
            self._write(log.title, data)
            news = True
        return news

    def end(self) -> None:
        """Print what was held back, or say that there was nothing."""
        for escaper in self._escapers.values():
            self._session.out.write(escaper.feed(b"", final=True))
        if not self._last:
            self._session.err.line("nothing was written")

    def _write(self, title: str, data: bytes) -> None:
        if self._escape:
            self._session.out.write(self._escapers.setdefault(title, Escaper()).feed(data))
        else:
            self._session.out.bytes(data)


class _Reader:
    """Prints the logs of one task, and with `follow` of its later attempts until it ends."""

    def __init__(
        self, session: Session, printer: _Printer, source: LogSource, asked: _Asked
    ) -> None:
        self._session = session
        self._printer = printer
        self._source = source
        self._asked = asked
        self._failures = 0

    def print(self, task: TaskResult) -> None:
        """Print what there is of a task, and go on where that is asked for."""
        attempt = choose_attempt(self._source.run, task, self._asked.attempt)
        opened = self._open(task.id, attempt)
        for log in opened:
            if self._asked.lines is not None:
                log.offset = tail_offset(log.peek(), self._asked.lines)
            self._printer.print(log)
        if self._asked.follow:
            self._follow(task.id, attempt, opened)

    def _open(self, task_id: str, attempt: int) -> list[TaskLog]:
        return [TaskLog(self._source, task_id, attempt, s) for s in self._asked.streams]

    def _follow(self, task_id: str, attempt: int, opened: list[TaskLog]) -> None:
        run = self._source.run
        while True:
            # Asked before the logs are read: what a task wrote before its end is not missed.
            now = run.task(task_id)
            news = self._news(opened)
            if now.attempt > attempt:
                if self._asked.attempt is not None:
                    return
                attempt = now.attempt
                opened = self._open(task_id, attempt)
            elif now.state.final:
                return
            elif not news and not is_driven(run.directory):
                self._session.err.line(
                    f"no process drives this run now; go on with: batchcore wait {run.directory}"
                )
                return
            self._session.clock.sleep(_POLL_SECONDS)

    def _news(self, opened: list[TaskLog]) -> bool:
        """Print what is new; return whether there was anything, or it could not be known."""
        try:
            news = [self._printer.print(log) for log in opened]
        except BackendError as exc:
            self._failures += 1
            if not exc.transient or self._failures > _TRIES:
                raise
            return True
        self._failures = 0
        return any(news)
