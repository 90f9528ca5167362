"""Writing to one of the process's own streams: escaped, in colour where that is wanted."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from batchcore.errors import EnvironmentNotReady
from batchcore.report.text import ASCII, UNICODE, Marks, printable

_COLOURS = {"good": "32", "bad": "31", "note": "33"}


class Screen:
    """Standard output or standard error.

    A `tolerant` one loses what it is given once its reader has gone: news must not stop a run.
    The other one raises `BrokenPipeError` then.
    """

    def __init__(
        self, stream: TextIO | None, environ: Mapping[str, str], *, tolerant: bool = False
    ) -> None:
        """Find out what the stream can show; a process may have been started without it."""
        self.stream = stream
        self.interactive = bool(stream and stream.isatty()) and environ.get("TERM") != "dumb"
        self.colour = _wants_colour(environ, interactive=self.interactive)
        self.encoding = (stream.encoding if stream else None) or "ascii"
        self.marks = _marks(self.encoding)
        self._tolerant = tolerant

    @property
    def width(self) -> int | None:
        """The columns of the terminal; None where the text goes to a file or a program."""
        return shutil.get_terminal_size().columns if self.interactive else None

    def line(self, text: str, tone: str = "") -> None:
        """Write a line, or several; `tone` colours the first word: good, bad or note."""
        safe = "\n".join(map(printable, text.split("\n")))
        self.write(self._coloured(safe, tone) + "\n")

    def write(self, text: str) -> None:
        """Write text as it is; what the stream's encoding does not have is escaped."""
        self.bytes(text.encode(self.encoding, "backslashreplace"))

    def spelled(self, text: str) -> str:
        """Return a text as `write` shows it."""
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def json(self, text: str) -> None:
        """Write JSON, which is UTF-8 wherever it goes."""
        self.bytes(text.rstrip("\n").encode() + b"\n")

    def bytes(self, data: bytes) -> None:
        """Write bytes as they are, at once."""
        if self.stream is None:
            return
        buffer = getattr(self.stream, "buffer", None)
        try:
            if buffer is None:
                self.stream.write(data.decode(errors="backslashreplace"))
            else:
                self.stream.flush()
                buffer.write(data)
                buffer.flush()
        except OSError as exc:
            self._failed(exc)

    def silence(self) -> None:
        """Point the stream at nothing, so that the interpreter's own last flush succeeds."""
        if self.stream is None:
            return
        with suppress(OSError, ValueError, io.UnsupportedOperation):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.stream.fileno())
            os.close(nothing)

    def _failed(self, exc: OSError) -> None:
        self.silence()
        if self._tolerant:
            return
        if isinstance(exc, BrokenPipeError):
            raise exc
        raise EnvironmentNotReady(
            f"standard output cannot be written: {exc.strerror}", hint="send it somewhere else"
        ) from exc

    def _coloured(self, text: str, tone: str) -> str:
        if not (self.colour and tone):
            return text
        word, space, rest = text.partition(" ")
        return f"\x1b[{_COLOURS[tone]}m{word}\x1b[0m{space}{rest}"


def _wants_colour(environ: Mapping[str, str], *, interactive: bool) -> bool:
    if environ.get("NO_COLOR"):
        return False
    return interactive or environ.get("FORCE_COLOR", "0") not in ("", "0")


def _marks(encoding: str) -> Marks:
    try:
        "".join(getattr(UNICODE, name) for name in UNICODE.__struct_fields__).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE
