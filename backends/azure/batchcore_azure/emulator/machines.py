"""The nodes as the emulator runs them: a directory, and the tasks that run there now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import Struct

from batchcore_azure.emulator.execution import Control
from batchcore_azure.emulator.places import NodePlace
from batchcore_azure.emulator.records import Task


class RunSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the emulator's nodes behave; times are in seconds."""

    #: From the order of a node until it starts; the service takes about a minute.
    boot_seconds: float = 0
    #: From a preemption until the node is there again.
    refill_seconds: float = 0
    #: How often autoscale formulas are evaluated; the service takes 5 minutes or longer.
    autoscale_seconds: float = 1
    #: What a task has between TERM and KILL.
    grace_seconds: float = 5
    #: Run nothing: each task succeeds at once.
    instant: bool = False
    #: Such a task leaves an empty file for each output that it names; a blob takes some 4 ms.
    empty_files: bool = True
    #: Resource ids of managed identities; nodes have them all, with the rights of the storage key.
    identities: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Run:
    """One run of a task: `number` is the service's, so that its answer counts only while it may."""

    task: Task
    number: int
    slots: int
    control: Control = field(default_factory=Control)


@dataclass(eq=False, slots=True)
class Machine:
    """One node while it lives; a preempted one comes back as another machine of the same id."""

    place: NodePlace
    runs: set[Run] = field(default_factory=set)
    start: Control = field(default_factory=Control)

    def used(self) -> int:
        """Return how many of its slots are taken."""
        return sum(run.slots for run in self.runs)


class Threads:
    """The threads of an emulator: all end when it stops."""

    def __init__(self) -> None:
        """Start none."""
        self.closing = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Do some work in a thread; nothing once the emulator stops."""
        thread = threading.Thread(name=name, target=self._do, args=[work], daemon=True)
        with self._lock:
            if self.closing.is_set():
                return
            self._threads.add(thread)
            thread.start()

    def pause(self, seconds: float) -> bool:
        """Wait; returns whether the emulator still goes on."""
        return not self.closing.wait(seconds)

    def join(self) -> None:
        """Let no more threads start, and wait for those that run."""
        with self._lock:
            self.closing.set()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def _do(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
