"""What has not succeeded, failures first: why, the end of what it wrote, and what to type next."""

from __future__ import annotations

from collections.abc import Iterator

from batchcore.explain import Group
from batchcore.history import History
from batchcore.report.html.markup import Html, element
from batchcore.report.text import cut, plural
from batchcore.states import TaskState

_NAMED = 40
_LONGEST = 400


def failures(history: History) -> Html | None:
    """Return the section of failed tasks, None where there is none."""
    return _section(history, "Failures", {TaskState.FAILED})


def others(history: History) -> Html | None:
    """Return the section of the other tasks that have not succeeded, None where there is none."""
    return _section(history, "Not ended, or canceled", set(TaskState) - {TaskState.FAILED})


def _section(history: History, title: str, states: set[TaskState]) -> Html | None:
    groups = [group for group in history.groups if group.state in states]
    if not groups:
        return None
    cards = [_card(group, history) for group in groups]
    return element("section", element("h2", title), *cards, aria_label=title)


def _card(group: Group, history: History) -> Html:
    first, one = group.tasks[0], len(group.tasks) == 1
    failed = group.state is TaskState.FAILED
    head = first if one else plural(len(group.tasks), "task")
    return element(
        "article",
        element("h3", head, ": ", element("span", group.cause)),
        *(element("p", fact if one else f"{first}: {fact}") for fact in group.facts),
        _log(first, history, opened=True) if failed else None,
        _advice(group),
        None if one else _rest(group, history),
        class_="card bad" if failed else "card",
    )


def _rest(group: Group, history: History) -> Html:
    """Return the ids of a group, and the logs of those behind the first."""
    more = len(group.tasks) - _NAMED
    names = [element("li", task) for task in group.tasks[:_NAMED]]
    if more > 0:
        names.append(element("li", f"and {more:,} more"))
    logs = [_log(task, history, opened=False) for task in group.tasks[1:]]
    count = sum(log is not None for log in logs)
    about = f" and {plural(count, 'log')}" if count else ""
    return element(
        "details",
        element("summary", f"Which {plural(len(group.tasks), 'task')}{about}"),
        element("ul", *names, class_="names"),
        *logs,
    )


def _log(task: str, history: History, *, opened: bool) -> Html | None:
    log = history.logs.get(task)
    if log is None:
        return None
    lines = "\n".join(cut(line, _LONGEST) for line in log.lines)
    about = f"{task}: the end of {log.stream} of attempt {log.attempt}"
    return element(
        "details", element("summary", about), element("pre", lines, tabindex="0"), open=opened
    )


def _advice(group: Group) -> Html | None:
    if not group.advice:
        return None
    items = [
        element(
            "li",
            *_with_code(one.what),
            element("pre", element("code", one.command), tabindex="0") if one.command else None,
        )
        for one in group.advice
    ]
    return element("div", element("h4", "Next"), element("ul", *items), class_="next")


def _with_code(text: str) -> Iterator[str]:
    """Yield a text in which what stands in backticks is code."""
    for number, part in enumerate(text.split("`")):
        yield element("code", part) if number % 2 else part
