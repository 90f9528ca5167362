"""Logs as text: the last lines, and a form that is safe on a terminal."""

from __future__ import annotations

import codecs
import io
from collections import deque
from collections.abc import Iterable

from batchcore.report.text import printable

LONGEST_LINE = 10_000


class Escaper:
    """Turns the bytes of one log, as they come, into text that cannot act on a terminal.

    A carriage return, with which progress bars overwrite themselves, becomes the end of a line.
    Of a line with over `LONGEST_LINE` characters the rest is left out, and counted.
    """

    def __init__(self) -> None:
        """Begin at the start of a log."""
        self._column = 0
        decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Return the text of the next bytes; part of a character waits for the rest."""
        # typeshed has the parameter of the inner decoder as text.
        text: str = self._decoder.decode(data, final)  # type: ignore[arg-type, unused-ignore]
        first, *others = text.split("\n")
        lines = [self._seen(first)]
        for line in others:
            lines[-1] += self._ended()
            lines.append(self._seen(line))
        return printable("\n".join(lines), keep="\n\t") + (self._ended() if final else "")

    def _seen(self, text: str) -> str:
        """Return what is shown of the next characters of a line."""
        start, self._column = self._column, self._column + len(text)
        return text[: max(LONGEST_LINE - start, 0)]

    def _ended(self) -> str:
        """Return what is shown at a line's end, and begin the next."""
        hidden, self._column = self._column - LONGEST_LINE, 0
        return f" .. {hidden:,} more characters; --raw shows them" if hidden > 0 else ""


def tail_offset(chunks: Iterable[bytes], lines: int) -> int:
    """Return where the last `lines` lines begin; keeps no more than that many numbers."""
    starts: deque[int] = deque([0], maxlen=lines + 1)
    size = 0
    for chunk in chunks:
        found: list[int] = []
        at = len(chunk)
        while len(found) <= lines and (at := chunk.rfind(b"\n", 0, at)) >= 0:
            found.append(size + at + 1)
        starts.extend(reversed(found))
        size += len(chunk)
    if starts[-1] == size and len(starts) > 1:
        starts.pop()
    if not lines:
        return size
    return starts[-lines] if len(starts) >= lines else starts[0]
