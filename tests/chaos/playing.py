"""Plays a seed: disturbed commands one after the other, faults meanwhile, and a last command."""

from __future__ import annotations

import json
import os
import signal
import uuid
from contextlib import suppress
from pathlib import Path

from batchcore.errors import BatchcoreError
from batchcore.record.rundir import is_driven, owner_of
from batchcore.run import Run

from .commands import ENDED, GIVEN_UP, REFUSED, Command, Commands, WrongError, environment
from .drawing import SHARED, Drawn, Step
from .gremlin import Gremlin
from .world import World

COMMANDS = 15
MARK = "BC_CHAOS_SEED"
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}


class Player:
    """Plays one seed in a world. `happened` is what became of the commands.

    `rounds` counts the commands that may have tried again what had failed for good.
    """

    def __init__(self, world: World, drawn: Drawn) -> None:
        self.world = world
        self.drawn = drawn
        self.here = world.here
        self.directory = world.directory
        self.mark = uuid.uuid4().hex
        self.rounds = 1
        self.happened: list[str] = []
        self.gremlin = Gremlin(world, drawn.faults)
        variables = environment(self.here, world.environment, (MARK, self.mark))
        self._commands = Commands(self.here, world.program, variables, self.gremlin.is_about)

    def play(self) -> None:
        """Write the job, disturb what runs it, and go on until it has ended.

        Raises `WrongError` where a command hangs, or ends as it must not.
        """
        self._prepare()
        self.gremlin.start()
        try:
            for step in self.drawn.steps:
                if not self._has_ended():
                    self._take(step)
            self._to_the_end()
        finally:
            self.gremlin.stop()
        code = self._commands.run(self._go_on())
        ends = {one.state for one in self.drawn.expected.values()}
        if code != (0 if ends == {"succeeded"} else 3):
            raise WrongError(f"the last command exited {code}, and tasks are to end as {ends}")

    def end(self) -> None:
        """Kill what still runs of a seed that went wrong."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> dict[int, str]:
        """Return the processes of the commands and of the tasks, each with its words."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                marked = f"{MARK}={self.mark}".encode() in (place / "environ").read_bytes()
                if marked or (place / "cwd").readlink().is_relative_to(self.directory):
                    words = (place / "cmdline").read_bytes().replace(b"\0", b" ")
                    if words:  # a zombie has none
                        found[int(place.name)] = words.decode(errors="replace")
        return found

    def clean(self) -> None:
        """Clean up after the run."""
        if code := self._commands.run(("clean", str(self.directory), "--yes")):
            raise WrongError(f"clean exited {code}")

    def _prepare(self) -> None:
        (self.here / SHARED).write_text(self.drawn.shared)
        job = {**self.drawn.job, **self.world.fields()}
        (self.here / "job.json").write_text(json.dumps(job))
        for name in ("home", "tmp", "errors"):
            (self.here / name).mkdir()

    def _has_ended(self) -> bool:
        with suppress(BatchcoreError):
            return Run.load(self.directory).has_ended
        return False

    def _is_driven(self) -> bool:
        return (self.directory / "job.json").exists() and is_driven(self.directory)

    def _go_on(self) -> tuple[str, ...]:
        """Return the command that goes on: `run` would try again what failed for good."""
        failed = self._has_ended() and Run.load(self.directory).state == "failed"
        if failed or self._is_driven():
            return ("wait", str(self.directory))
        return self._job("run")

    def _job(self, verb: str) -> tuple[str, ...]:
        place = ("--backend", self.drawn.backend, "--dir", str(self.directory))
        return (verb, "job.json", *place)

    def _take(self, step: Step) -> None:
        if step.how == "cold":
            self._kill_driver(signal.SIGKILL)
        if step.how == "submit" and not self._is_driven():
            self._leave_to_background(step)
        elif step.end == "rival":
            self._rival(step)
        elif step.end == "crash":
            self._crash(step)
        else:
            self._signal(step)

    def _leave_to_background(self, step: Step) -> None:
        crash = step.point if step.end == "crash" else ""
        self.happened.append(f"submit@{crash}" if crash else "submit")
        # Either the command comes to the point or its driver, perhaps before it says a word.
        also = {-signal.SIGKILL, *GIVEN_UP} if crash else set()
        self._commands.run(self._job("submit"), crash, also)
        if step.end in {"kill", "term"}:
            self._commands.pause(step.after)
            self._kill_driver(SIGNALS[step.end])

    def _crash(self, step: Step) -> None:
        code = self._commands.run(self._go_on(), step.point, {-signal.SIGKILL})
        if code == -signal.SIGKILL:
            self.happened.append(f"crash@{step.point}")

    def _signal(self, step: Step) -> None:
        number = SIGNALS[step.end]
        command = self._commands.start(self._go_on())
        command.signal(number, step.after)
        # A command that has not put its own answer in place ends by the signal.
        if self._commands.finish(command, {-number, 128 + number}) not in ENDED:
            self.happened.append(step.end)

    def _rival(self, step: Step) -> None:
        """Start a second controller: of the two one drives, and the other is refused."""
        first = self._commands.start(self._go_on())
        self._commands.pause(step.after)
        if first.child.poll() is not None or self._has_ended():
            self._commands.finish(first)
            return
        second: Command = self._commands.start(self._job("run"))
        self.happened.append("rival")
        codes = [self._commands.finish(one, {REFUSED}) for one in (second, first)]
        # The first may have ended just before, and the second then tries again what failed.
        self.rounds += codes == [3, 3]
        if codes == [REFUSED, REFUSED]:
            raise WrongError("two controllers have both been refused")

    def _to_the_end(self) -> None:
        """Go on until all tasks have ended; the same command again must be enough."""
        for _ in range(COMMANDS):
            if self._has_ended():
                return
            if self._commands.run(self._go_on()) in GIVEN_UP:
                self._commands.pause(0.5)
        raise WrongError(f"the run has not ended after {COMMANDS} more commands")

    def _kill_driver(self, number: int) -> None:
        """Signal what drives in the background, and wait until it has gone."""
        owner = owner_of(self.directory) if self._is_driven() else None
        if owner is None:
            return
        with suppress(ProcessLookupError):
            os.kill(owner.pid, number)
        self.happened.append("driver killed" if number == signal.SIGKILL else "driver left")
        while self._is_driven():
            self._commands.pause(0.05)
