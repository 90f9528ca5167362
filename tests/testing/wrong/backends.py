"""Backends that break the contract, each in one way, and the test of the kit that must see it.

`Right` is `local-process` under another name and keeps it.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace

from batchcore.backend import (
    Check,
    LogChunk,
    RunContext,
    Snapshot,
    Stream,
    TaskFiles,
    TaskSubmission,
    TaskUpdate,
)
from batchcore.local.backend import LocalBackend
from batchcore.local.process import ProcessRunner
from batchcore.local.runner import Attempt, Exit
from batchcore.local.settings import LocalProcessSettings
from batchcore.plan import Plan
from batchcore.states import FailureReason, TaskState
from batchcore.transfer import remove_tree


class Right(LocalBackend):
    """Keeps the contract.

    `seconds` is how long a test may wait; what a wrong backend never does need not be waited for
    as long. `by_waiting` says that it is caught because something never happens.
    """

    runner: ClassVar[type[ProcessRunner]] = ProcessRunner
    caught_by: ClassVar[str] = ""
    seconds: ClassVar[float] = 3.0
    by_waiting: ClassVar[bool] = False

    def __init__(self, settings: LocalProcessSettings) -> None:
        super().__init__(self.runner(settings), settings.slots)


class DropsATask(Right):
    caught_by = "test_an_attempt_is_known_when_submit_returns"

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        super().submit(run, tasks[: max(1, len(tasks) - 1)])


class RunsAgain(Right):
    """Starts an attempt again that was submitted a second time."""

    caught_by = "test_an_attempt_that_is_submitted_again_after_its_end_stays_ended"

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        for task in tasks:
            self._engine._known.discard((task.task.id, task.attempt))
            remove_tree(run.directory / "work" / task.task.id)
        super().submit(run, tasks)


class ForgetsOtherProcesses(Right):
    """Starts again what an earlier process has started."""

    caught_by = "test_a_running_task_goes_on_and_is_adopted"

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        for task in tasks:
            if (task.task.id, task.attempt) not in self._engine._known:
                remove_tree(run.directory / "work" / task.task.id)
        super().submit(run, tasks)


class ForgetsTheTimeLimit(Right):
    caught_by = "test_a_task_that_takes_too_long_fails_with_timeout"
    by_waiting = True

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        super().submit(run, [replace(s, task=replace(s.task, timeout=None)) for s in tasks])


class KeepsSecrets(Right):
    """Writes the values of secrets into the run directory."""

    caught_by = "test_a_secret_is_nowhere_else_and_goes_with_the_attempt"

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        values = [os.environ.get(name, "") for task in tasks for name in task.task.secrets]
        (run.directory / "work" / "notes").write_text(str(values))
        super().submit(run, tasks)


class Retells(Right):
    """Says something else than what happened."""

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        told = super().poll(run, cursor, wait)
        return replace(told, updates=[u for update in told.updates for u in self.retell(update)])

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        raise NotImplementedError


class SucceedsWhatever(Retells):
    caught_by = "test_a_failure_has_a_reason_and_the_exit_code"

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        return [_as_success(update) if update.state is TaskState.FAILED else update]


class SaysNoExitCode(Retells):
    caught_by = "test_a_success_has_exit_code_0_and_no_reason"

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        return [replace(update, exit_code=None)]


class ForgetsTheSignal(Retells):
    """Calls 128 + n, the end by a signal, n."""

    caught_by = "test_death_by_a_signal_is_128_and_the_signal"

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        return [replace(update, exit_code=(update.exit_code or 0) % 128)]


class BlamesTheTask(Retells):
    """Calls a lost machine an exit code."""

    caught_by = "test_a_task_that_loses_its_machine_is_told_apart"

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        if update.reason is not FailureReason.NODE_LOST:
            return [update]
        return [replace(update, reason=FailureReason.EXIT_CODE, exit_code=137)]


class GoesBackwards(Retells):
    caught_by = "test_the_states_of_an_attempt_only_move_forward"

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        if update.state is not TaskState.RUNNING:
            return [update]
        return [update, replace(update, state=TaskState.QUEUED), update]


class ChangesItsMind(Retells):
    """Says of a failed attempt, asked again, that it succeeded."""

    caught_by = "test_a_poll_without_a_cursor_tells_of_every_attempt"

    def __init__(self, settings: LocalProcessSettings) -> None:
        super().__init__(settings)
        self._told: set[TaskUpdate] = set()

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        if update.state is TaskState.FAILED and update in self._told:
            return [_as_success(update)]
        self._told.add(update)
        return [update]


class CountsMilliseconds(Retells):
    caught_by = "test_times_are_seconds_since_the_epoch_and_in_order"

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        started, ended = update.started_at, update.ended_at
        return [
            replace(
                update,
                started_at=None if started is None else started * 1000,
                ended_at=None if ended is None else ended * 1000,
            )
        ]


class CallsCanceledFailed(Retells):
    caught_by = "test_tasks_that_run_and_tasks_that_wait_are_canceled"

    def retell(self, update: TaskUpdate) -> list[TaskUpdate]:
        if update.state is not TaskState.CANCELED:
            return [update]
        return [replace(update, state=TaskState.FAILED, reason=FailureReason.BACKEND)]


class SkipsNews(Right):
    """Gives a cursor that lies beyond what was told."""

    caught_by = "test_a_cursor_loses_no_news"
    by_waiting = True

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        told = super().poll(run, cursor, wait)
        return replace(told, cursor=str(int(told.cursor) + len(told.updates)))


class HasNoMemory(Right):
    """Tells without a cursor only what is new."""

    caught_by = "test_a_poll_without_a_cursor_tells_of_every_attempt"

    def __init__(self, settings: LocalProcessSettings) -> None:
        super().__init__(settings)
        self._last = ""

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        told = super().poll(run, cursor or self._last, wait)
        self._last = told.cursor
        return told


class TellsOfOneTask(Right):
    caught_by = "test_one_answer_tells_of_all_tasks"

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        told = super().poll(run, cursor, wait)
        first = [u for u in told.updates if u.task_id == told.updates[0].task_id]
        if cursor or not first:
            return told
        return replace(told, updates=first)


class LosesOutputs(Right):
    """Claims success, and shows a directory in which nothing is."""

    caught_by = "test_outputs_arrive_byte_for_byte"

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        empty = run.directory / "work" / "empty"
        empty.mkdir(exist_ok=True)
        return replace(super().outputs(run, attempt), tree=f"file://{empty}")


class LosesLogs(Right):
    caught_by = "test_a_log_can_be_read_from_any_offset"

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        return LogChunk(b"", complete=True)


class MixesTheStreams(Right):
    caught_by = "test_a_log_can_be_read_from_any_offset"

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        return super().read_log(run, attempt, "stdout", offset)


class ReadsFromTheStart(Right):
    """Takes every offset for the first but the last."""

    caught_by = "test_a_log_can_be_read_from_any_offset"

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        chunk = super().read_log(run, attempt, stream, offset)
        return super().read_log(run, attempt, stream, 0) if chunk.data else chunk


class ShowsLogsAtTheEnd(Right):
    caught_by = "test_a_log_can_be_read_while_the_task_runs"
    by_waiting = True

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        chunk = super().read_log(run, attempt, stream, offset)
        ended = chunk.complete or len(chunk.data) == 1 << 20
        return chunk if ended else LogChunk(b"", complete=False)


class SendsAllAtOnce(Right):
    """Answers with more of a log than a chunk may have."""

    caught_by = "test_a_long_log_comes_whole_in_chunks"

    def read_log(
        self, run: RunContext, attempt: TaskSubmission, stream: Stream, offset: int
    ) -> LogChunk:
        first = super().read_log(run, attempt, stream, offset)
        second = super().read_log(run, attempt, stream, offset + len(first.data))
        return LogChunk(first.data + second.data, second.complete)


class IgnoresCancel(Right):
    caught_by = "test_tasks_that_run_and_tasks_that_wait_are_canceled"
    by_waiting = True

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        pass


class CancelsEverything(Right):
    caught_by = "test_the_tasks_beside_a_canceled_one_go_on"

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        super().cancel(run, [task.id for task in run.plan.tasks])


class CannotCancelTheUnknown(Right):
    caught_by = "test_canceling_a_task_that_is_not_known_does_nothing"

    def cancel(self, run: RunContext, task_ids: Sequence[str]) -> None:
        known = {task_id for task_id, _ in self._engine._known}
        if unknown := set(task_ids) - known:
            raise KeyError(*unknown)
        super().cancel(run, task_ids)


class LeaksADirectory(Right):
    caught_by = "test_after_a_success_release_leaves_the_results_and_nothing_else"

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        lines = super().release(run, dry_run=dry_run)
        (run.directory / "work").mkdir(exist_ok=True)
        return lines


class DeletesInADryRun(Right):
    caught_by = "test_a_dry_run_names_what_is_then_deleted_and_deletes_nothing"
    by_waiting = True

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        return super().release(run, dry_run=False)


class DeletesInSilence(Right):
    caught_by = "test_a_dry_run_names_what_is_then_deleted_and_deletes_nothing"

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        super().release(run, dry_run=dry_run)
        return []


class DeletesOtherRuns(Right):
    caught_by = "test_another_run_of_the_same_job_is_left_alone"

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        for other in run.directory.parent.glob("*/work"):
            shutil.rmtree(other, ignore_errors=True)
        return super().release(run, dry_run=dry_run)


class LeavesTasksRunning(Right):
    caught_by = "test_a_task_that_runs_is_stopped_by_another_process"

    def release(self, run: RunContext, *, dry_run: bool) -> Sequence[str]:
        asked = run.directory / "asked"
        if dry_run or asked.exists():  # the second time, for the sake of who runs this
            return super().release(run, dry_run=dry_run)
        asked.touch()
        return super().release(run, dry_run=True)


class LeavesAThread(Right):
    caught_by = "test_no_thread_outlives_a_run"
    seconds = 30.0

    def __init__(self, settings: LocalProcessSettings) -> None:
        super().__init__(settings)
        threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()


class ClosesOnce(Right):
    caught_by = "test_a_backend_can_be_closed_twice"

    def __init__(self, settings: LocalProcessSettings) -> None:
        super().__init__(settings)
        self._open = [True]

    def close(self) -> None:
        super().close()
        self._open.pop()


class ChecksByDoing(Right):
    caught_by = "test_check_creates_nothing_and_may_be_asked_again"

    def check(self, plan: Plan) -> Check:
        (Path(plan.base) / "run").mkdir(exist_ok=True)
        return super().check(plan)


class ForgetsModes(Right):
    caught_by = "test_a_resource_has_its_mode"

    def _fill(self, attempt: Attempt) -> None:
        super()._fill(attempt)
        for file in attempt.task.files:
            (attempt.working_directory / file.path).chmod(0o644)


class LeavesItsOwnFiles(Right):
    caught_by = "test_the_working_directory_holds_the_resources_and_nothing_else"

    def _fill(self, attempt: Attempt) -> None:
        super()._fill(attempt)
        (attempt.working_directory / ".backend").touch()


class KeepsTheOldDirectory(Right):
    """Starts a further attempt among what the one before it has left."""

    caught_by = "test_every_attempt_starts_afresh"

    def _fill(self, attempt: Attempt) -> None:
        super()._fill(attempt)
        before = attempt.directory.parent / str(attempt.number - 1) / "task" / "wd"
        if before.exists():
            shutil.copytree(before, attempt.working_directory, dirs_exist_ok=True)


class _SharesTheEnvironment(ProcessRunner):
    def _environment(self, attempt: Attempt, secrets: Path | None) -> dict[str, str]:
        return {**os.environ, **super()._environment(attempt, secrets)}


class SharesTheEnvironment(Right):
    runner = _SharesTheEnvironment
    caught_by = "test_the_controllers_environment_is_not_passed_on"


class _UsesAShell(ProcessRunner):
    def argv(self, attempt: Attempt) -> Sequence[str]:
        return ["sh", "-c", " ".join(super().argv(attempt))]


class UsesAShell(Right):
    runner = _UsesAShell
    caught_by = "test_the_words_of_a_command_arrive_as_given"


class _KillsAtOnce(ProcessRunner):
    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        super().stop(attempt, kill=True)


class KillsAtOnce(Right):
    runner = _KillsAtOnce
    caught_by = "test_a_task_that_takes_too_long_is_asked_to_stop_first"


class _NeverKills(ProcessRunner):
    def stop(self, attempt: Attempt, *, kill: bool) -> None:
        if not kill:
            super().stop(attempt, kill=False)


class NeverKills(Right):
    runner = _NeverKills
    caught_by = "test_a_task_that_ignores_term_is_killed_after_its_grace"
    by_waiting = True


class _RunsEverything(ProcessRunner):
    def start(self, attempt: Attempt) -> Exit | None:
        found = super().start(attempt)
        return Exit(code=0) if found is not None else None


class PretendsToStart(Right):
    """Says that a program which does not exist ended well."""

    runner = _RunsEverything
    caught_by = "test_a_program_that_does_not_exist_is_a_failure_of_its_task"


class DeclaresWhatItCannot(Right):
    """Declares a limit on memory, and has none."""

    caught_by = "test_a_task_cannot_use_more_memory_than_it_asked_for"


WRONG = (
    DropsATask,
    RunsAgain,
    ForgetsOtherProcesses,
    ForgetsTheTimeLimit,
    KeepsSecrets,
    SucceedsWhatever,
    SaysNoExitCode,
    ForgetsTheSignal,
    BlamesTheTask,
    GoesBackwards,
    ChangesItsMind,
    CountsMilliseconds,
    CallsCanceledFailed,
    SkipsNews,
    HasNoMemory,
    TellsOfOneTask,
    LosesOutputs,
    LosesLogs,
    MixesTheStreams,
    ReadsFromTheStart,
    ShowsLogsAtTheEnd,
    SendsAllAtOnce,
    IgnoresCancel,
    CancelsEverything,
    CannotCancelTheUnknown,
    LeaksADirectory,
    DeletesInADryRun,
    DeletesInSilence,
    DeletesOtherRuns,
    LeavesTasksRunning,
    LeavesAThread,
    ClosesOnce,
    ChecksByDoing,
    ForgetsModes,
    LeavesItsOwnFiles,
    KeepsTheOldDirectory,
    SharesTheEnvironment,
    UsesAShell,
    KillsAtOnce,
    NeverKills,
    PretendsToStart,
    DeclaresWhatItCannot,
)


def _as_success(update: TaskUpdate) -> TaskUpdate:
    return replace(update, state=TaskState.SUCCEEDED, reason=None, exit_code=0)
