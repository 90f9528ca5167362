"""What the seeds of every backend have in common, and `local-process`, where that is all."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .drawing import Drawn, Fault

SLOTS = "4"


class World:
    """A directory in which a seed is played, and what its commands find around them.

    `environment` is for the commands, `program` what they begin with. `strike` carries out a
    fault and returns whether there was anything to hit; `calm` ends all of them.
    """

    program: Sequence[str] = (sys.executable, "-m", "batchcore")
    #: Whether an attempt may start a second time under its number.
    restarts = False

    def __init__(self, here: Path, drawn: Drawn) -> None:
        self.here = here
        self.drawn = drawn
        self.directory = here / "run"
        self.starts_file = here / "shared" / "starts"
        self.starts_file.parent.mkdir()
        self.environment: dict[str, str] = {"BATCHCORE_LOCAL_PROCESS_SLOTS": SLOTS}
        self._hit: Counter[object] = Counter()

    def fields(self) -> Mapping[str, Any]:
        """What the job has here beside what was drawn."""
        return {"env": {"STARTS": str(self.starts_file)}}

    def starts(self) -> Counter[str]:
        """How often each attempt of each task was started."""
        with suppress(FileNotFoundError):
            return Counter(self.starts_file.read_text().split())
        return Counter()

    def strike(self, fault: Fault) -> bool:
        """Kill a task with all that it has started: it can leave no exit code."""
        places = self.choice(self._running(), fault)
        if places is None:
            return False
        task, pid = places
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self._hit[task] += 1
        return True

    def _running(self) -> list[tuple[str, int]]:
        found = []
        for file in sorted(self.directory.glob("work/*/*/control/pid")):
            task = file.parents[2].name
            text = file.read_text().strip()
            if text and not file.with_name("exit").exists() and self._is_task(int(text)):
                found.append((task, int(text)))
        return found

    def _is_task(self, pid: int) -> bool:
        with suppress(OSError):
            return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(self.directory)
        return False

    def choice(self, found: Sequence[tuple[str, Any]], fault: Fault) -> tuple[str, Any] | None:
        """Return what a fault is to hit: no task more than twice, as each time it waits longer."""
        left = [one for one in found if self._hit[one[0]] < 2]
        return left[int(fault.pick * len(left))] if left else None

    def unmet(self) -> list[str]:
        """Return the kinds of faults that waited for something to hit, and none came."""
        return []

    def pending(self) -> bool:
        """Return whether a fault still waits for something to hit."""
        return False

    def calm(self) -> None:
        """Let nothing go wrong any more."""

    def left(self, run_id: str) -> Iterator[str]:
        """Name what is left of a run that has been cleaned up."""
        yield from ()
