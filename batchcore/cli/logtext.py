"""Logs as text: the last lines, and a form that is safe on a terminal."""

from __future__ import annotations

import codecs
import io
from collections import deque
from collections.abc import Iterable

from batchcore.report.text import printable


class Escaper:
    """Turns the bytes of one log, as they come, into text that cannot act on a terminal.

    A carriage return, with which progress bars overwrite themselves, becomes the end of a line.
    """

    def __init__(self) -> None:
        """Begin at the start of a log."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="backslashreplace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Return the text of the next bytes; part of a character waits for the rest."""
        # typeshed has the parameter of the inner decoder as text.
        text: str = self._decoder.decode(data, final)  # type: ignore[arg-type, unused-ignore]
        return printable(text, keep="\n\t")


def tail_offset(chunks: Iterable[bytes], lines: int) -> int:
    """Return where the last `lines` lines begin; keeps no more than that many numbers."""
    starts: deque[int] = deque([0], maxlen=lines + 1)
    size = 0
    for chunk in chunks:
        at = chunk.find(b"\n")
        while at >= 0:
            starts.append(size + at + 1)
            at = chunk.find(b"\n", at + 1)
        size += len(chunk)
    if starts[-1] == size and len(starts) > 1:
        starts.pop()
    if not lines:
        return size
    return starts[-lines] if len(starts) >= lines else starts[0]
