"""What is different between the files and logs of a task then and now."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

from batchcore.replay.model import Difference, LogChange, OutputChange
from batchcore.replay.resources import digest_of
from batchcore.results import OutputFile
from batchcore.run import Run
from batchcore.transfer.files import CHUNK

SMALL = 1 << 20
_TAIL_BYTES = 1 << 14
_TAIL_LINES = 10
_LONGEST = 200
_STREAMS = ("stdout", "stderr")


def compare_outputs(
    then: Sequence[OutputFile], now: Sequence[OutputFile]
) -> tuple[OutputChange, ...]:
    """Compare collected files by their path in the task: those of then first, in their order."""
    before = {output.path: output for output in then}
    after = {output.path: output for output in now}
    paths = dict.fromkeys([*before, *after])
    return tuple(_compare(path, before.get(path), after.get(path)) for path in paths)


def _compare(path: str, then: OutputFile | None, now: OutputFile | None) -> OutputChange:
    if then is None or now is None:
        return OutputChange(
            path=path,
            change="new" if then is None else "missing",
            size_then=then.size if then else None,
            size_now=now.size if now else None,
            sha256_then=then.sha256 if then else "",
            sha256_now=now.sha256 if now else "",
        )
    same = (then.size, then.sha256) == (now.size, now.sha256)
    return OutputChange(
        path=path,
        change="same" if same else "different",
        size_then=then.size,
        size_now=now.size,
        sha256_then=then.sha256,
        sha256_now=now.sha256,
        first=None if same else _first_difference(then, now),
    )


def _first_difference(then: OutputFile, now: OutputFile) -> Difference | None:
    """Return where two files part; None where one is not any more what its task wrote."""
    try:
        if digest_of(then.file) != then.sha256 or digest_of(now.file) != now.sha256:
            return None
        with then.file.open("rb") as before, now.file.open("rb") as after:
            byte = _first_byte(before, after)
        if max(then.size, now.size) > SMALL:
            return Difference(byte=byte)
        return _in_text(byte, then.file, now.file)
    except OSError:
        return None


def _first_byte(before: BinaryIO, after: BinaryIO) -> int:
    """Return the offset of the first byte that differs, or of the end of the shorter file."""
    offset = 0
    while (one := before.read(CHUNK)) == (other := after.read(CHUNK)) and one:
        offset += len(one)
    pairs = enumerate(zip_longest(one, other))
    return offset + next((at for at, (left, right) in pairs if left != right), 0)


def _in_text(byte: int, then: Path, now: Path) -> Difference:
    """Add the line to a difference where both files are text, and the line shows it."""
    before, after = then.read_bytes(), now.read_bytes()
    try:
        lines = [data.decode().split("\n") for data in (before, after)]
    except UnicodeDecodeError:
        return Difference(byte=byte)
    if b"\0" in before or b"\0" in after:
        return Difference(byte=byte)
    number = before[:byte].count(b"\n")
    left, right = (text[number][:_LONGEST] if number < len(text) else "" for text in lines)
    if left == right:
        return Difference(byte=byte)
    return Difference(byte=byte, line=number + 1, then=left, now=right)


def compare_logs(then: Run, now: Run, task_id: str) -> tuple[LogChange, ...]:
    """Return the last lines of each stream that is another one now, of the last attempts."""
    return tuple(_log_changes(then, now, task_id))


def _log_changes(then: Run, now: Run, task_id: str) -> Iterator[LogChange]:
    for stream in _STREAMS:
        (digest_then, tail_then), (digest_now, tail_now) = (
            _read_log(run.log_chunks(task_id, stream)) for run in (then, now)
        )
        if digest_then != digest_now:
            yield LogChange(stream=stream, then=tail_then, now=tail_now)


def _read_log(chunks: Iterable[bytes]) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a log and its last lines; memory stays at one chunk."""
    digest, tail = hashlib.sha256(), b""
    for chunk in chunks:
        digest.update(chunk)
        tail = (tail + chunk)[-_TAIL_BYTES:]
    text = codecs.decode(tail, errors="backslashreplace")
    lines = [line[-_LONGEST:] for line in text.splitlines()]
    return digest.hexdigest(), tuple(lines[-_TAIL_LINES:])
