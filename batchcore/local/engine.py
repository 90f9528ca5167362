"""Slots: hands attempts to a runner, keeps time limits, remembers how each attempt ended.

One thread per slot takes the next attempt, prepares its directory, lets the runner run it and
writes the end to ``control/exit.json`` before anything of it is removed. An attempt that was
submitted to an earlier process is therefore either adopted by the runner or answered from that
file, and never run twice under the same number.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from batchcore import crash
from batchcore.backend import TaskUpdate
from batchcore.clock import Clock
from batchcore.errors import BackendError, BatchcoreError, EnvironmentNotReady, TransferError
from batchcore.local.ends import end_update, exit_of_error, final_error, read_exit
from batchcore.local.runner import Attempt, Exit, Runner
from batchcore.record.durability import boot_id, is_same_boot
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.files import write_error, write_whole

_KILL_SECONDS = 30.0


class Engine:
    """Runs attempts on at most `slots` processors' worth of slots; safe from any thread."""

    def __init__(
        self, runner: Runner, slots: int, clock: Clock, prepare: Callable[[Attempt], None]
    ) -> None:
        """Start no thread yet; `prepare` fills an attempt's directory and may raise."""
        self._runner = runner
        self._slots = slots
        self._clock = clock
        self._prepare = prepare
        self._changed = threading.Condition()
        self._queue: deque[Attempt] = deque()
        self._free = slots
        self._idle = list(range(slots))[::-1]
        self._active: dict[str, Attempt] = {}
        self._known: set[tuple[str, int]] = set()
        self._started: set[str] = set()
        self._canceled: set[str] = set()
        self._updates: list[TaskUpdate] = []
        self._threads: list[threading.Thread] = []
        self._killers: list[threading.Timer] = []
        self._failure: BatchcoreError | None = None
        self._closing = False

    def submit(self, attempts: Sequence[Attempt]) -> None:
        """Queue attempts in order; one that is known already is left alone."""
        with self._changed:
            for attempt in attempts:
                key = (attempt.task.id, attempt.number)
                if key in self._known:
                    continue
                if (attempt.task.id, attempt.number - 1) in self._known:
                    self._canceled.discard(attempt.task.id)  # that was asked for the one before
                self._known.add(key)
                self._queue.append(attempt)
                self._say(attempt, TaskState.QUEUED)
            self._changed.notify_all()
            while len(self._threads) < min(self._slots, len(self._known)):
                thread = threading.Thread(target=self._work, name="batchcore-slot", daemon=True)
                self._threads.append(thread)
                thread.start()

    def updates(self, position: int, wait: float) -> tuple[Sequence[TaskUpdate], int]:
        """Return what was said since `position`, and the new position; waits for news.

        Raises what keeps the engine from following its attempts; they can be adopted later.
        """
        with self._changed:
            if position >= len(self._updates):
                self._changed.wait_for(
                    lambda: len(self._updates) > position or self._failure, timeout=wait
                )
            if position >= len(self._updates) and self._failure:
                raise self._failure
            return self._updates[position:], len(self._updates)

    def cancel(self, task_ids: Sequence[str]) -> None:
        """Drop queued attempts of these tasks, stop running ones, and start none that comes."""
        wanted = set(task_ids)
        with self._changed:
            self._canceled |= wanted
            kept: deque[Attempt] = deque()
            for attempt in self._queue:
                # One with a directory may run since an earlier controller: its slot must stop it.
                if attempt.task.id in wanted and not attempt.control.exists():
                    self._say(attempt, TaskState.CANCELED)
                else:
                    kept.append(attempt)
            self._queue = kept
            stopping = wanted & self._started
            running = [a for a in self._active.values() if a.task.id in stopping]
            self._changed.notify_all()
        for attempt in running:
            self._terminate(attempt)

    def abandon(self) -> None:
        """Drop what waits, kill what runs, and return when every slot is idle, or after 30 s."""
        with self._changed:
            self._queue.clear()
            running = list(self._active.values())
            self._canceled |= {attempt.task.id for attempt in running}
        for attempt in running:
            self._runner.stop(attempt, kill=True)
        with self._changed:
            self._changed.wait_for(lambda: not self._active, timeout=_KILL_SECONDS)

    def close(self) -> None:
        """End the threads; commands that run go on and can be adopted."""
        with self._changed:
            self._closing = True
            self._queue.clear()
            self._changed.notify_all()
        self._runner.wake()
        for killer in self._killers:
            killer.cancel()
        for thread in (*self._killers, *self._threads):
            thread.join(timeout=_KILL_SECONDS)
        self._runner.close()

    def _terminate(self, attempt: Attempt) -> None:
        """Send TERM now and KILL after the grace time."""
        self._runner.stop(attempt, kill=False)
        killer = threading.Timer(attempt.task.grace, self._kill, [attempt])
        killer.daemon = True
        killer.start()  # first: `close` joins whatever is in the list
        self._killers.append(killer)

    def _kill(self, attempt: Attempt) -> None:
        """Kill what did not listen to TERM; it may have ended, and then nothing happens."""
        if not self._closing and attempt.task.id in self._active:
            with suppress(BatchcoreError):
                self._runner.stop(attempt, kill=True)

    def _work(self) -> None:
        while (attempt := self._next()) is not None:
            end = None
            try:
                end = self._run(attempt)
            except (BackendError, EnvironmentNotReady) as exc:
                end = self._end_without_answer(exc, attempt)
            except OSError as exc:
                place = Path(exc.filename or attempt.directory)
                end = self._end_without_answer(write_error(place, exc), attempt)
            except Exception as exc:  # noqa: BLE001 - a bug must end the task, not the slot
                end = self._give_up(exc, attempt)
            with self._changed:
                self._active.pop(attempt.task.id, None)
                self._started.discard(attempt.task.id)
                self._free += _weight(attempt, self._slots)
                self._idle.append(attempt.slot)
                if end is not None:
                    canceled = attempt.task.id in self._canceled
                    self._updates.append(
                        end_update(attempt, end, canceled=canceled, now=self._clock.now())
                    )
                self._changed.notify_all()

    def _end_without_answer(self, error: BatchcoreError, attempt: Attempt) -> Exit | None:
        """Return the attempt's end, or None where what failed is the machine and not the attempt.

        A runner's engine that stays away or a full disk says nothing of the attempt. It is left
        as it is, for the next command to adopt, and whoever asks for updates gets the error.
        """
        refused = isinstance(error, BackendError) and not error.transient
        if refused and not isinstance(error, TransferError):
            return self._give_up(error, attempt)
        with self._changed:
            self._failure = self._failure or final_error(error)
        return None

    def _give_up(self, error: Exception, attempt: Attempt) -> Exit:
        """Make sure that what could not be followed does not run beside its next attempt."""
        with suppress(Exception):
            self._runner.stop(attempt, kill=True)
            self._runner.remove(attempt)
        return exit_of_error(error)

    def _next(self) -> Attempt | None:
        """Wait for the first attempt in the queue that fits; None when closing."""
        with self._changed:
            while not (self._closing or self._failure):
                if self._queue and _weight(self._queue[0], self._slots) <= self._free:
                    attempt = msgspec.structs.replace(self._queue.popleft(), slot=self._idle.pop())
                    self._free -= _weight(attempt, self._slots)
                    self._active[attempt.task.id] = attempt
                    return attempt
                self._changed.wait()
            return None

    def _run(self, attempt: Attempt) -> Exit | None:
        """Run one attempt to its end; None where the engine is closing and the command goes on."""
        end = read_exit(attempt)
        if end is None and attempt.task.id in self._canceled and not attempt.control.exists():
            return Exit(detail="canceled before it was started")
        if end is None:
            self._tell(attempt, TaskState.PREPARING)
            self._prepare(attempt)
            crash.reach("engine.prepared")
            end = self._runner.start(attempt)
            crash.reach("engine.started")
        if end is None:
            end = self._supervise(attempt)
            if end is None:
                return None
            crash.reach("engine.exited")
        self._keep(attempt, end)
        return end

    def _keep(self, attempt: Attempt, end: Exit) -> None:
        """Write the end down, then let the runner forget the attempt; the end stands anyway."""
        with suppress(BatchcoreError):
            write_whole(attempt.control / "exit.json", msgspec.json.encode(end))
            crash.reach("engine.exit_recorded")
            self._runner.remove(attempt)
            crash.reach("engine.removed")

    def _supervise(self, attempt: Attempt) -> Exit | None:
        """Wait for a started command, and stop it when its time is over."""
        started, spent = _started(attempt, self._clock)
        self._tell(attempt, TaskState.RUNNING, started)
        with self._changed:
            self._started.add(attempt.task.id)
            canceled = attempt.task.id in self._canceled
        if canceled:
            self._terminate(attempt)
        limit = attempt.task.timeout
        end = self._wait(attempt, limit and limit - spent)
        return end or self._stop_late(attempt, limit or 0)

    def _stop_late(self, attempt: Attempt, limit: float) -> Exit | None:
        """Stop a command whose time is over; None where the engine is closing instead."""
        end: Exit | None = None
        for kill, patience in ((False, attempt.task.grace), (True, _KILL_SECONDS)):
            if end is None and not self._closing:
                self._runner.stop(attempt, kill=kill)
                end = self._wait(attempt, patience)
        if end is None and self._closing:
            return None
        return msgspec.structs.replace(
            end or Exit(),
            reason=FailureReason.TIMEOUT,
            detail=f"stopped after its time limit of {limit:g} s"
            + ("" if end else ", and it did not end after KILL"),
        )

    def _wait(self, attempt: Attempt, timeout: float | None) -> Exit | None:
        """Wait for the end at most `timeout` seconds."""
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while not self._closing:
            left = None if deadline is None else deadline - self._clock.monotonic()
            if left is not None and left <= 0:
                return self._runner.wait(attempt, 0)
            end = self._runner.wait(attempt, left)
            if end is not None:
                return end
        return None

    def _tell(self, attempt: Attempt, state: TaskState, started_at: float | None = None) -> None:
        with self._changed:
            self._say(attempt, state, started_at)
            self._changed.notify_all()

    def _say(self, attempt: Attempt, state: TaskState, started_at: float | None = None) -> None:
        self._updates.append(
            TaskUpdate(
                task_id=attempt.task.id,
                attempt=attempt.number,
                state=state,
                node=f"local-{attempt.slot}",
                started_at=started_at,
            )
        )


def _started(attempt: Attempt, clock: Clock) -> tuple[float, float]:
    """Return when the command was started, by an earlier controller perhaps, and how long ago.

    How long ago is told by the clock that only grows, as the other one may have been set since;
    by that one where the machine has stopped in between. A disk that is too full to remember it
    is no reason to stop a command that runs.
    """
    mark = attempt.control / "started"
    boot, now = boot_id(), clock.monotonic()
    try:
        if not mark.exists():
            mark.write_text(f"{boot} {now}")
        when = mark.stat().st_mtime
        then, _, since = mark.read_text().partition(" ")
    except OSError:
        return clock.now(), 0.0
    with suppress(ValueError):
        if is_same_boot(then, boot):
            return when, max(now - float(since), 0.0)
    return when, max(clock.now() - when, 0.0)


def _weight(attempt: Attempt, slots: int) -> int:
    """Return how many slots an attempt takes: one a processor, never more than there are."""
    cpus = attempt.task.requirements.cpus or 1
    return max(1, min(slots, -int(-cpus // 1)))
