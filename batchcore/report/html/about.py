"""What the tasks asked for, and what exactly ran them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from batchcore.history import History, TaskHistory
from batchcore.report.html import words
from batchcore.report.html.markup import Html, element
from batchcore.report.text import plural
from batchcore.units import show_bytes

_MOST = 20


def resources(history: History) -> Html:
    """Return the section of what was asked for; nothing in a record says what was used."""
    rows = [
        element(
            "tr",
            element("td", words.value(cpus), class_="n"),
            element("td", words.NOTHING if memory is None else show_bytes(memory), class_="n"),
            element("td", f"{count:,}", class_="n"),
            element("td", words.duration(seconds), class_="n"),
            element(
                "td", words.NOTHING if cpus is None else words.duration(cpus * seconds), class_="n"
            ),
        )
        for (cpus, memory), count, seconds in _asked(history.tasks)
    ]
    about = "What the tasks used, no backend tells yet. - is for what is not known."
    heads = ("Processors asked", "Memory asked", "Tasks", "Ran", "Processor time asked")
    return element(
        "section",
        element("h2", "Resources"),
        _table(heads, rows),
        element("p", about, class_="note"),
        aria_label="Resources",
    )


def _asked(
    tasks: Iterable[TaskHistory],
) -> Iterator[tuple[tuple[float | None, int | None], int, float]]:
    count: Counter[tuple[float | None, int | None]] = Counter()
    seconds: dict[tuple[float | None, int | None], float] = {}
    for task in tasks:
        kind = task.cpus, task.memory
        count[kind] += 1
        seconds[kind] = seconds.get(kind, 0) + sum(a.duration or 0 for a in task.attempts)
    for kind, number in count.most_common(_MOST):
        yield kind, number, seconds[kind]


def exactly(history: History) -> Html:
    """Return the section of versions and digests."""
    versions = history.versions
    rows = [
        ("batchcore that made the run", history.version),
        ("batchcore that drove it last", versions.batchcore if versions else words.NOTHING),
        ("backend", f"{history.backend} of {versions.backend}" if versions else history.backend),
        ("Python", versions.python if versions else words.NOTHING),
        ("run directory", str(history.directory)),
    ]
    rows += [(name, digest) for name, digest in sorted(history.images.items())]
    rows += list(_without_digest(history))
    return element(
        "section",
        element("h2", "Versions and images"),
        _table(
            (),
            [
                element("tr", element("th", name, scope="row"), element("td", text, class_="code"))
                for name, text in rows
            ],
        ),
        aria_label="Versions and images",
    )


def _without_digest(history: History) -> Iterator[tuple[str, str]]:
    named = {task.image for task in history.tasks if task.image} - history.images.keys()
    for image in sorted(named)[:_MOST]:
        of_it = plural(sum(task.image == image for task in history.tasks), "task")
        yield image, f"of {of_it}; the backend told no digest"


def _table(heads: Iterable[str], rows: Iterable[Html]) -> Html:
    cells = [element("th", text, scope="col") for text in heads]
    head = element("thead", element("tr", *cells)) if cells else None
    table = element("table", head, element("tbody", *rows))
    return element("div", table, class_="wide")
