"""Commands as a user gives them: each has a deadline, and exit codes that are right."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from batchcore.crash import VARIABLE

SECONDS = 300.0
ENDED = frozenset({0, 3})
REFUSED = 9
# Not ready, and failed after retries: right while something goes wrong, and then again is enough.
GIVEN_UP = frozenset({6, 7})
_LINES = 60


class WrongError(Exception):
    """What a seed did that it must not do."""


@dataclass(frozen=True)
class Command:
    """A command that was started; `errors` has what it says.

    `troubled` says whether something went wrong when it was started, or was still to come.
    """

    child: subprocess.Popen[bytes]
    words: Sequence[str]
    errors: Path
    troubled: bool

    def signal(self, number: int, after: float) -> None:
        """Signal it so many seconds later, unless it has ended by then."""
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(timeout=after)
        if self.child.poll() is None:
            self.child.send_signal(number)

    def wrong(self, what: str) -> WrongError:
        """Return the error with its last words."""
        lines = self.errors.read_text(errors="replace").splitlines()[-_LINES:]
        return WrongError("\n".join([f"{' '.join(self.words)} {what}", *lines]))


class Commands:
    """Starts the commands of a seed, all of them to end before its time is over.

    `is_troubled` says whether something goes wrong now.
    """

    def __init__(
        self,
        here: Path,
        program: Sequence[str],
        environment: Mapping[str, str],
        is_troubled: Callable[[], bool],
    ) -> None:
        self._here = here
        self._program = program
        self._environment = environment
        self._is_troubled = is_troubled
        self._deadline = time.monotonic() + SECONDS
        self._count = 0

    def pause(self, seconds: float) -> None:
        if time.monotonic() > self._deadline:
            raise WrongError("hang: the time of the seed is over")
        time.sleep(seconds)

    def start(self, words: Sequence[str], crash: str = "") -> Command:
        """Start a command, which is to be killed at the point `crash`."""
        self._count += 1
        errors = self._here / "errors" / f"{self._count:02}"
        troubled = self._is_troubled()
        with errors.open("wb") as file:
            child = subprocess.Popen(
                [*self._program, *words],
                cwd=self._here,
                env={**self._environment, **({VARIABLE: crash} if crash else {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )
        return Command(child, words, errors, troubled)

    def finish(self, command: Command, also: Collection[int] = ()) -> int:
        """Wait for a command's end and return its exit code; `also` are further right ones.

        Raises `WrongError` where it hangs, with its stacks, or ends as it must not.
        """
        child = command.child
        try:
            code = child.wait(timeout=max(1.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGABRT)
            child.wait()
            raise command.wrong("hangs") from None
        right = {*ENDED, *also, *(GIVEN_UP if command.troubled else ())}
        # Before batchcore has put its own answer in place, Python's to Ctrl-C is a traceback.
        traced = "Traceback" in command.errors.read_text(errors="replace")
        if code not in right or (traced and code != -signal.SIGINT):
            raise command.wrong(f"exited {code}")
        return code

    def run(self, words: Sequence[str], crash: str = "", also: Collection[int] = ()) -> int:
        """Run a command to its end."""
        return self.finish(self.start(words, crash), also)


def environment(here: Path, given: Mapping[str, str], mark: tuple[str, str]) -> dict[str, str]:
    """Return the variables of all commands; by `mark` their processes are found."""
    names = ("PATH", "LANG", "NO_PROXY")
    known = {name: os.environ[name] for name in names if name in os.environ}
    own = {"HOME": str(here / "home"), "TMPDIR": str(here / "tmp"), "PYTHONFAULTHANDLER": "1"}
    return {**known, **given, **own, mark[0]: mark[1]}
