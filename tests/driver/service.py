"""A service that does what the contract of a backend permits, and nobody likes."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from batchcore.backend import Backend, RunContext, Snapshot, Stream, TaskSubmission, TaskUpdate
from batchcore.clock import Clock
from batchcore.delegate import Delegate
from batchcore.errors import BackendError
from batchcore.plan import PlannedTask
from batchcore.states import FailureReason
from batchcore.testing.clock import FakeClock
from batchcore.testing.fault import FaultBackend
from batchcore.testing.fault_settings import FaultSettings
from batchcore.testing.memory import MemoryBackend, Outcome
from batchcore.testing.outcome import Work

Key = tuple[str, int]

ENDS: dict[str, Callable[[bytes], Outcome]] = {
    "well": lambda mark: Outcome(files={"out": mark, "debug": mark}),
    "without its output": lambda mark: Outcome(files={"debug": mark}),
    "with exit code 3": lambda mark: Outcome(exit_code=3, files={"out": mark, "debug": mark}),
    "for good": lambda mark: Outcome(exit_code=4, files={"debug": mark}, retryable=False),
    "preempted": lambda mark: Outcome(
        exit_code=None, reason=FailureReason.PREEMPTED, files={"out": mark}
    ),
    "with its node": lambda mark: Outcome(
        exit_code=None, reason=FailureReason.NODE_LOST, files={"out": mark}
    ),
    "without an image": lambda _mark: Outcome(
        exit_code=None, reason=FailureReason.IMAGE, retryable=False
    ),
}
"""How an attempt may end; what it leaves bears its mark."""

LISTENS, FINISHES, DEAF = TEMPERS = ("listens", "finishes", "deaf")
"""What a command makes of TERM: it ends, it ends well, or nothing."""


class PausingClock(FakeClock):
    """A fake clock that stops whoever sleeps on it."""

    def __init__(self, pause: Callable[[], None]) -> None:
        """Ask `pause` before each sleep."""
        super().__init__()
        self._pause = pause

    def sleep(self, seconds: float) -> None:
        """Stop, then move the hands."""
        self._pause()
        super().sleep(seconds)


class Held:
    """An attempt that goes on until it is said how it ends."""

    def __init__(self, task: PlannedTask, attempt: int, temper: str, fate: str | None) -> None:
        """Begin to wait, unless it is known how it ends."""
        self.mark = f"{task.id} {attempt}".encode()
        self.runs = False
        self._temper = temper
        self._outcome = ENDS[fate](self.mark) if fate else None

    def end(self, how: str) -> None:
        """Say how it ends, unless that is known."""
        self._outcome = self._outcome or ENDS[how](self.mark)

    def start(self, work: Work) -> None:
        """Run."""
        self.runs = True

    def poll(self) -> Outcome | None:
        """Return how it ended."""
        self.runs = self.runs and self._outcome is None
        return self._outcome

    def stop(self, *, kill: bool) -> None:
        """End, as the temper wants it."""
        if kill or self._temper == LISTENS:
            self._outcome = self._outcome or Outcome(exit_code=None, files={"out": self.mark})
        elif self._temper == FINISHES:
            self.end("well")

    def log(self, stream: Stream) -> bytes:
        """Return a log with its mark."""
        return self.mark

    def close(self) -> None:
        """Go on: the service outlives who uses it."""


class _Failure(NamedTuple):
    """A call that goes wrong: `late` is after it was carried out."""

    late: bool
    transient: bool

    def error(self, method: str) -> BackendError:
        return BackendError(f"{method} was not answered", transient=self.transient)


class Service(Delegate):
    """What the controllers of a run see of its backend, one after the other.

    `submitted` are the attempts in the order in which they came first, `told` the ends that were
    told of each. `tempers` and `fates` are those of the attempts, by turns; one that has no fate
    waits for `Held.end`. `on_new` is called with an attempt before it is accepted.
    """

    def __init__(
        self,
        pause: Callable[[], None],
        clock: Clock,
        *,
        slots: int | None = None,
        faults: FaultSettings | None = None,
        tempers: Sequence[str] = (LISTENS,),
        fates: Sequence[str | None] = (None,),
        on_new: Callable[[Key], None] = lambda _key: None,
    ) -> None:
        """Make the backend in memory, and one that goes wrong around it where there are faults."""
        self._pause, self._clock, self._faults = pause, clock, faults
        self._tempers, self._fates, self._on_new = tempers, fates, on_new
        self.memory = MemoryBackend(self._hold, clock, slots)
        self.attempts: dict[Key, Held] = {}
        self.submitted: list[Key] = []
        self.told: dict[Key, list[TaskUpdate]] = defaultdict(list)
        super().__init__(self.memory)
        self.begin()
        self.calm()

    def begin(self) -> None:
        """Be asked by a new process, which knows nothing of what was said to others."""
        self._backend = self._around(self.memory)
        self.notifies = self._backend.notifies  # type: ignore[misc]  # its own
        self._heard = ""
        self._late: list[TaskUpdate] = []
        self._said: list[TaskUpdate] = []

    def _around(self, memory: MemoryBackend) -> Backend:
        if self._faults is None:
            return memory
        fault = FaultBackend(self._faults, self._clock)
        fault._made = memory
        return fault

    def calm(self) -> None:
        """Answer every call from now on, and tell everything in order."""
        self._errors: dict[str, list[_Failure]] = defaultdict(list)
        self._outputs_lost: Counter[str] = Counter()
        self._whims: list[int] = []

    def set_free(self) -> None:
        """Let every attempt end, well where nothing else was said."""
        self._fates = ["well"]
        for held in self.attempts.values():
            held.end("well")

    def fail(self, method: str, *, times: int, late: bool, transient: bool) -> None:
        """Fail the next calls of a method: before they are carried out, or after, if `late`."""
        self._errors[method] = [_Failure(late, transient)] * times

    def lose_outputs(self, task_id: str, times: int) -> None:
        """Fail the next calls that ask where the files of this task are."""
        self._outputs_lost[task_id] = times

    def be_whimsical(self, seed: int, polls: int) -> None:
        """Hold back, mix and repeat what the next polls tell."""
        self._whims = [seed + number for number in range(polls)]

    def _hold(self, task: PlannedTask, attempt: int) -> Held:
        number = len(self.attempts)
        temper = self._tempers[number % len(self._tempers)]
        fate = self._fates[number % len(self._fates)]
        held = Held(task, attempt, temper, fate)
        self.attempts[task.id, attempt] = held
        return held

    def call(self, name: str, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Pass a call on, or fail."""
        self._pause()
        failure = self._errors[name].pop() if self._errors[name] else None
        if failure and not failure.late:
            raise failure.error(name)
        answer = method(*arguments, **named)
        if failure:
            raise failure.error(name)
        self._pause()
        return answer

    def submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        """Pass it on, and remember what was new."""
        self.call("submit", self._submit, run, tasks)

    def _submit(self, run: RunContext, tasks: Sequence[TaskSubmission]) -> None:
        for submission in tasks:
            key = (submission.task.id, submission.attempt)
            if key not in self.submitted:
                self._on_new(key)
                self.submitted.append(key)
        self._backend.submit(run, tasks)

    def poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        """Pass it on, and tell some of the answer."""
        snapshot: Snapshot = self.call("poll", self._poll, run, cursor, wait)
        return snapshot

    def _poll(self, run: RunContext, cursor: str, wait: float) -> Snapshot:
        news = self._backend.poll(run, self._heard, wait)
        self._heard = news.cursor
        self._said += self._as_wished([*self._late, *news.updates])
        updates = self._said[int(cursor or 0) :]
        for update in updates:
            if update.state.final:
                self.told[update.task_id, update.attempt].append(update)
        return Snapshot(updates=updates, cursor=str(len(self._said)))

    def _as_wished(self, updates: Sequence[TaskUpdate]) -> Sequence[TaskUpdate]:
        """Keep some for later, mix the others, repeat some that were told before."""
        self._late = []
        if not self._whims:
            return updates
        chance = random.Random(self._whims.pop())
        told = []
        for update in updates:
            (self._late if chance.random() < 0.4 else told).append(update)
        told += [update for update in [*self._said, *told] if chance.random() < 0.3]
        chance.shuffle(told)
        return told

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> Any:
        """Pass it on; asked in several threads, so what goes wrong hangs on the task."""
        if self._outputs_lost[attempt.task.id]:
            self._outputs_lost[attempt.task.id] -= 1
            raise BackendError("outputs was not answered", transient=True)
        return self._backend.outputs(run, attempt)
