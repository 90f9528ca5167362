"""What one command knows of the process it runs in."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchcore.cli.screen import Screen
    from batchcore.clock import Clock


class Session:
    """The words of the command, the two streams, the clock.

    `program` are the words before them, as they would be typed again.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        program: Sequence[str] = ("batchcore",),
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Keep the words; the streams are looked at when they are first used."""
        self.argv = tuple(argv)
        self.program = tuple(program)
        self.environ = os.environ if environ is None else environ
        self._clock = clock

    @cached_property
    def out(self) -> Screen:
        """Standard output: data and nothing else."""
        from batchcore.cli.screen import Screen

        return Screen(sys.stdout, self.environ)

    @cached_property
    def err(self) -> Screen:
        """Standard error: everything that is said to a person."""
        from batchcore.cli.screen import Screen

        return Screen(sys.stderr, self.environ, tolerant=True)

    @cached_property
    def clock(self) -> Clock:
        """The clock that waits and ages go by."""
        from batchcore.clock import SystemClock

        return self._clock or SystemClock()

    @property
    def wants_json(self) -> bool:
        """Whether stdout must be JSON; an error in the other words leaves that true."""
        return self._has("--json")

    @property
    def wants_traceback(self) -> bool:
        """Whether a bug shows its traceback."""
        return self._has("--traceback") or self.environ.get("BATCHCORE_RAISE", "0") not in ("", "0")

    @property
    def may_ask(self) -> bool:
        """Whether somebody sits at a terminal who can answer."""
        return bool(sys.stdin and sys.stdin.isatty()) and self.err.interactive

    def agrees(self, question: str) -> bool:
        """Ask on the terminal; a no is answered with a word."""
        import click

        agreed = click.confirm(question, err=True)
        if not agreed:
            self.err.line("nothing was done")
        return agreed

    @property
    def same_command(self) -> str:
        """The line that goes on with what this command began."""
        return shlex.join([*self.program, *(word for word in self.argv if word != "--fresh")])

    def _has(self, option: str) -> bool:
        words = self.argv[: self.argv.index("--")] if "--" in self.argv else self.argv
        return option in words
