"""Writing the report of a run: the page, and beside it the attempts and all of it as data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from batchcore.errors import UsageError
from batchcore.history import History
from batchcore.report.data import json_text
from batchcore.report.html import GENERATOR, page_text
from batchcore.report.trace import HEADS, trace_text
from batchcore.transfer.files import write_error, write_whole

NAME = "report.html"
_BEGINNING = 1000


def history_json(history: History) -> str:
    """Return a history as JSON."""
    data = msgspec.structs.asdict(history)
    return json_text(data.pop("schema"), data)


def write_report(history: History, target: Path) -> Path:
    """Write the page, and ``trace.csv`` and ``report.json`` beside it; return where the page is.

    `target` is a file, or a directory that is there. Each file is replaced whole, only its owner
    can read it, and one that is no report is not replaced: that raises `UsageError` before
    anything is written. Raises `EnvironmentNotReady` or `TransferError` where they cannot be
    written.
    """
    page = (target / NAME if target.is_dir() else target).absolute()
    schema = history.schema.partition("/")[0]
    wanted: tuple[tuple[Path, str, Callable[[History], str]], ...] = (
        (page, GENERATOR, page_text),
        (page.with_name("trace.csv"), ",".join(HEADS[:4]), trace_text),
        (page.with_name("report.json"), f'"{schema}/', history_json),
    )
    if page.name in {path.name for path, *_ in wanted[1:]}:
        raise UsageError(
            f"{page.name} is a file beside the page", hint="call the page otherwise: report.html"
        )
    for path, mark, _ in wanted:
        _require_own(path, mark)
    for path, _, text_of in wanted:
        write_whole(path, text_of(history).encode("utf-8", "backslashreplace"), mode=0o600)
    return page


def _require_own(path: Path, mark: str) -> None:
    """Raise where a file is in the way that is none of a report."""
    try:
        with path.open("rb") as stream:
            beginning = stream.read(_BEGINNING)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise write_error(path, exc) from exc
    if mark.encode() not in beginning:
        raise UsageError(
            f"{path} is there already, and it is no file of a report",
            hint="choose another place: --output DIRECTORY/report.html",
            where=str(path),
        )
