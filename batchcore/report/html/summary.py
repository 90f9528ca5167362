"""The head of the page: how the run stands, in a few numbers."""

from __future__ import annotations

from collections.abc import Iterator

from batchcore.history import History
from batchcore.report.html import words
from batchcore.report.html.markup import Html, element
from batchcore.report.html.spans import bars, extent
from batchcore.report.text import plural
from batchcore.states import TaskState
from batchcore.units import show_bytes

_ORDER = (
    TaskState.SUCCEEDED,
    TaskState.FAILED,
    TaskState.CANCELED,
    TaskState.FINALIZING,
    TaskState.RUNNING,
    TaskState.PREPARING,
    TaskState.QUEUED,
    TaskState.PENDING,
    TaskState.UNKNOWN,
)


def header(history: History) -> Html:
    """Return the title, the state, and how many tasks are in each."""
    about = f"{history.run} on {history.backend}, begun {words.moment(history.created_at)}"
    return element(
        "header",
        element(
            "h1", history.job, " ", element("span", history.state, class_=f"state {history.state}")
        ),
        element("p", about, class_="note"),
        _share_bar(history),
        _counts(history),
        *_notes(history),
    )


def summary(history: History) -> Html:
    """Return the section of numbers."""
    return element(
        "section",
        element("h2", "Summary"),
        element(
            "dl",
            *(
                element("div", element("dt", name), element("dd", text), about and _small(about))
                for name, text, about in _numbers(history)
            ),
            class_="tiles",
        ),
        aria_label="Summary",
    )


def _small(text: str) -> Html:
    return element("dd", text, class_="small")


def _numbers(history: History) -> Iterator[tuple[str, str, str]]:
    shown = bars(history)
    begin, end = extent(history, shown)
    spans = [span for bar in shown for span in bar.spans if span.phase == "running"]
    total = sum(span.end - span.begin for span in spans)
    tasks = history.tasks
    if spans:
        till = "until now" if history.state == "running" else "from the command to the last end"
        yield "Wall time", words.duration(end - begin), till
        yield "Sum of task time", words.duration(total), f"in {plural(len(spans), 'attempt')}"
        yield "Speed-up", f"{total / (end - begin):.1f}x", "the one divided by the other"
    retries, interruptions = (
        sum(task.retries for task in tasks),
        sum(task.interruptions for task in tasks),
    )
    yield "Retries", f"{retries:,}", "paid by the tasks' own budgets"
    yield "Interruptions", f"{interruptions:,}", "attempts lost without the tasks' fault"
    files, size = sum(task.files for task in tasks), sum(task.size for task in tasks)
    yield "Collected", plural(files, "file"), show_bytes(size)


def _share_bar(history: History) -> Html:
    whole, left, rects = sum(history.counts.values()) or 1, 0.0, []
    for state in _ORDER:
        width = 1000 * history.counts.get(state, 0) / whole
        if width:
            rects.append(
                element("rect", class_=f"of {state}", x=left, y=0.0, width=width, height=10.0)
            )
            left += width
    return element(
        "svg",
        *rects,
        viewBox="0 0 1000 10",
        preserveAspectRatio="none",
        class_="share",
        aria_hidden="true",
    )


def _counts(history: History) -> Html:
    items = [
        element(
            "li",
            element("span", class_=f"key of {state}"),
            element("b", f"{history.counts[state]:,}"),
            f" {state.value}",
        )
        for state in _ORDER
        if history.counts.get(state)
    ]
    whole = element("li", "of ", plural(sum(history.counts.values()), "task"))
    return element("ul", *items, whole, class_="legend")


def _notes(history: History) -> Iterator[Html]:
    if history.state == "running":
        at = f"This is how the run stood at {words.moment(history.read_at)}; make the page again "
        command = element("code", f"batchcore report {history.name}")
        yield element("p", at, "with ", command, ".", class_="notice")
    for note in history.notes:
        yield element("p", note, class_="notice")
