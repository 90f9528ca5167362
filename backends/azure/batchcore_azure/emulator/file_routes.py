"""Answers about the files of tasks and nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from batchcore_azure.emulator import bodies
from batchcore_azure.emulator.bodies import Answer
from batchcore_azure.emulator.call import Call
from batchcore_azure.emulator.records import FileFact, Node, Refusal, Task

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@contextmanager
def _not_found() -> Iterator[None]:
    """Refuse a request for what is not there, is no file, or vanishes while it is answered."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise Refusal(404, "FileNotFound", "The specified file does not exist.") from None


def list_files(call: Call) -> Answer:
    """GET …/files: those at the top, or, `recursive`, all."""
    recursive = call.query.get("recursive", "").lower() == "true"
    found = call.context.files.listing(_owner(call), recursive=recursive)
    entries = [
        (number, bodies.file(fact, _url(call, fact.name)))
        for number, fact in enumerate(found, start=1)
    ]
    return call.listed("files", entries, frozenset({"name"}))


@_not_found()
def get_file(call: Call) -> Answer:
    """GET or HEAD …/files/{path}: the file, or the part of it that `ocp-range` names, with 200."""
    owner, fact = _found(call)
    headers = bodies.file_headers(fact, _url(call, fact.name))
    if call.method == "HEAD":
        return Answer(200, None, headers | {"Content-Length": str(fact.size)})
    if fact.is_directory:
        raise FileNotFoundError(fact.name)
    start, end = _range(call, fact.size)
    return Answer(200, call.context.files.read(owner, fact.name, start, end), headers)


@_not_found()
def delete_file(call: Call) -> Answer:
    """DELETE …/files/{path}."""
    owner, fact = _found(call)
    recursive = call.query.get("recursive", "").lower() == "true"
    call.context.files.delete(owner, fact.name, recursive=recursive)
    return Answer(200)


def _owner(call: Call) -> Task | Node:
    if "task" in call.ids:
        return call.state.task(call.ids["job"], call.ids["task"])
    return call.state.node(call.ids["pool"], call.ids["node"])


def _found(call: Call) -> tuple[Task | Node, FileFact]:
    owner = _owner(call)
    return owner, call.context.files.fact(owner, call.ids["file"])


def _url(call: Call, name: str) -> str:
    base = call.path.partition("/files")[0]
    return f"{call.state.url}{base}/files/{quote(name)}"


def _range(call: Call, size: int) -> tuple[int, int]:
    text = call.headers.get("ocp-range") or call.headers.get("range")
    if text is None:
        return 0, size
    found = _RANGE.fullmatch(text)
    if found is None or int(found[1]) >= size:
        raise Refusal(416, "InvalidRange", "The range specified is invalid for this file.")
    return int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
