"""The tables: what was tried more than once, and the tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batchcore.history import AttemptHistory, History, TaskHistory
from batchcore.report.html import words
from batchcore.report.html.markup import Html, element
from batchcore.report.text import cut, plural
from batchcore.states import TaskState
from batchcore.units import show_bytes

MOST_ATTEMPTS = 300
MOST_TASKS = 1000
_LONGEST = 160
_BAD = (TaskState.FAILED, TaskState.CANCELED)
_TASKS = ("Task", "State", "Attempt", "Waited", "Ran", "Node or slot", "Collected", "Detail")
_ATTEMPTS = ("Task", "Attempt", "Ended", "Ran", "Node or slot", "Detail")


def attempts(history: History) -> Html | None:
    """Return the section of tasks with several attempts, None where there is none."""
    again = [task for task in history.tasks if len(task.attempts) > 1]
    rows = [_attempt(task, one) for task in again for one in task.attempts]
    if not rows:
        return None
    return element(
        "section",
        element("h2", "Retries and interruptions"),
        _table("attempts", _ATTEMPTS, rows[:MOST_ATTEMPTS]),
        _left_out(len(rows), MOST_ATTEMPTS, "attempts"),
        aria_label="Retries and interruptions",
    )


def tasks(history: History) -> Html:
    """Return the section of tasks: failed ones first, then those that run, then the longest."""
    ordered = sorted(history.tasks, key=_rank)
    return element(
        "section",
        element("h2", "Tasks"),
        _table("tasks", _TASKS, [_task(task) for task in ordered[:MOST_TASKS]]),
        _left_out(len(ordered), MOST_TASKS, "tasks"),
        aria_label="Tasks",
    )


def _rank(task: TaskHistory) -> tuple[int, float]:
    last = task.last
    length = (last.duration or 0.0) if last else 0.0
    if task.state in _BAD:
        return _BAD.index(task.state), -length
    return (3 if task.state is TaskState.SUCCEEDED else 2), -length


def _task(task: TaskHistory) -> Html:
    last = task.last
    collected = f"{plural(task.files, 'file')}, {show_bytes(task.size)}"
    return _row(
        task.state,
        _named(task.id),
        _why(words.why(task.state, task.reason, task.exit_code)),
        _figure(words.value(last.attempt if last else None), last.attempt if last else 0),
        _time(last.waiting if last else None),
        _time(last.duration if last else None),
        _cell(last.node if last else words.NOTHING),
        _figure(collected if task.files else words.NOTHING, task.size),
        _detail(task.detail),
    )


def _attempt(task: TaskHistory, one: AttemptHistory) -> Html:
    return _row(
        one.state,
        _named(task.id),
        _figure(words.value(one.attempt), one.attempt),
        _why(words.why(one.state, one.reason, one.exit_code)),
        _time(one.duration),
        _cell(one.node or words.NOTHING),
        _detail(one.detail),
    )


def _row(state: TaskState, *cells: Html) -> Html:
    return element("tr", *cells, class_="bad" if state is TaskState.FAILED else None)


def _named(task_id: str) -> Html:
    return element("th", task_id, scope="row")


def _cell(text: str) -> Html:
    return element("td", text)


def _why(text: str) -> Html:
    return element("td", text, class_="why")


def _detail(text: str) -> Html:
    return element("td", cut(text, _LONGEST), class_="detail")


def _figure(text: str, value: float) -> Html:
    return element("td", text, class_="n", data_value=value)


def _time(seconds: float | None) -> Html:
    value = -1.0 if seconds is None else seconds
    return element("td", words.duration(seconds), class_="n", data_value=f"{value:.3f}")


def _table(name: str, heads: Sequence[str], rows: Iterable[Html]) -> Html:
    head = element("tr", *(element("th", text, scope="col") for text in heads))
    table = element(
        "table", element("thead", head), element("tbody", *rows), id=name, class_="sorted"
    )
    return element("div", table, class_="wide", tabindex="0", role="group", aria_label=name)


def _left_out(count: int, most: int, what: str) -> Html | None:
    if count <= most:
        return None
    text = f"The first {most:,} of {count:,} {what}; all of them are in trace.csv and report.json."
    return element("p", text, class_="note")
