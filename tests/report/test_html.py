"""The report of a run as one HTML page: what is in it, and what cannot get into it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchcore.explain import Advice, AttemptEnd, Group, LogTail
from batchcore.history import AttemptHistory, History, TaskHistory, read_history
from batchcore.report.files import history_json
from batchcore.report.html import page_text
from batchcore.report.html.tables import MOST_TASKS
from batchcore.report.html.timeline import MOST_LINES
from batchcore.report.text import printable
from batchcore.report.trace import HEADS, trace_text
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState

ANY = st.text(st.characters(), max_size=40)
EMPTY = {"meta", "link"}
Make = Callable[..., Run]
Page = Callable[..., str]


class Parsed(HTMLParser):
    """A page as a parser sees it: its elements with the names of their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.values: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.values += [value or "" for _, value in attrs]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(element[0] == tag for element in self.elements)


def history_with(text: str) -> History:
    """Return the history of a run in which everybody who can says this text."""
    end: dict[str, Any] = {
        "attempt": 1,
        "state": TaskState.FAILED,
        "reason": FailureReason.EXIT_CODE,
        "exit_code": 1,
        "detail": text,
        "node": text,
        "started_at": 10.0,
        "ended_at": 12.0,
    }
    task = TaskHistory(
        id="seed-1",
        state=TaskState.FAILED,
        reason=FailureReason.EXIT_CODE,
        exit_code=1,
        detail=text,
        image=text,
        cpus=None,
        memory=None,
        retries=1,
        interruptions=0,
        files=0,
        size=0,
        attempts=(
            AttemptHistory(**end, native=text),
            AttemptHistory(**{**end, "attempt": 2}, native=text),
        ),
    )
    log = LogTail(attempt=1, stream="stderr", lines=(text, text))
    group = Group(
        cause=text,
        state=TaskState.FAILED,
        reason=FailureReason.EXIT_CODE,
        exit_code=1,
        tasks=("seed-1",),
        facts=(text,),
        attempts=(AttemptEnd(**end),),
        log=log,
        advice=(Advice("look", text),),
    )
    return History(
        run=text,
        name=text,
        job=text,
        backend=text,
        state="failed",
        directory=Path("/there"),
        created_at=9.0,
        read_at=20.0,
        driven=False,
        counts={"failed": 1},
        staging=(9.0, 9.5),
        version="1",
        versions=None,
        images={f"of {text}": text},
        notes=(text,),
        groups=(group,),
        logs={"seed-1": log},
        tasks=(task,),
    )


@pytest.fixture(scope="session")
def page(simulated: Make) -> Page:
    """Return the page of a simulated run."""

    @cache
    def make(*size: float) -> str:
        return page_text(read_history(simulated(*size), name="sim"))

    return make


PLAIN = Parsed(page_text(history_with("x")))


@settings(deadline=None, max_examples=50)
@given(ANY)
def test_no_text_becomes_markup(text: str) -> None:
    page = Parsed(page_text(history_with(f"<{text}")))
    assert page.elements == PLAIN.elements
    assert page.open == []


@pytest.mark.parametrize(
    "text",
    [
        "</script><script>alert(1)</script>",
        "</title></style></svg></pre><img src=x onerror=alert(1)>",
        "\"'><b autofocus onfocus=alert(1)>",
        "<!-- --!> <![CDATA[",
        "&lt;b&gt;&#60;",
    ],
)
def test_what_is_meant_as_markup_is_shown_as_it_was_written(text: str) -> None:
    page = Parsed(page_text(history_with(text)))
    assert page.elements == PLAIN.elements
    # The title, the log, the detail and more; the parser has undone the escapes.
    assert page.text.count(text) >= 8


@settings(deadline=None, max_examples=50)
@given(ANY)
def test_no_character_can_act_on_the_reader(text: str) -> None:
    page = page_text(history_with(text))
    assert printable(page, keep="\n\t") == page


def test_every_attempt_is_a_line_of_the_trace(simulated: Make) -> None:
    history = read_history(simulated(40, 4))
    rows = list(csv.DictReader(io.StringIO(trace_text(history))))
    assert tuple(rows[0]) == HEADS
    assert [(row["task"], int(row["attempt"])) for row in rows] == [
        (task.id, attempt.attempt) for task in history.tasks for attempt in task.attempts
    ]
    first = rows[0]
    assert first["digest"].startswith("sha256:")
    assert float(first["running"]) == pytest.approx(
        float(first["ended_at"]) - float(first["started_at"]), abs=0.002
    )


def test_a_task_that_never_started_has_a_line_too(simulated: Make) -> None:
    history = read_history(simulated(40, 4))
    task = TaskHistory(**{**dict_of(history.tasks[0]), "attempts": ()})
    text = trace_text(History(**{**dict_of(history), "tasks": (task,)}))
    assert [row["attempt"] for row in csv.DictReader(io.StringIO(text))] == ["0"]


def dict_of(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


@given(ANY)
def test_no_text_of_the_trace_is_a_formula(text: str) -> None:
    rows = csv.DictReader(io.StringIO(trace_text(history_with(f"={text}"))))
    for row in rows:
        assert row["detail"].startswith("'=")
        assert row["node"].startswith("'=")


def test_the_data_has_all_that_the_page_shows(simulated: Make) -> None:
    history = read_history(simulated(40, 4))
    data = json.loads(history_json(history))
    assert data["schema"] == "batchcore.report/1"
    assert len(data["tasks"]) == 40
    assert data["tasks"][0]["attempts"][0]["node"].startswith("tvm-")
    assert data["images"] == history.images


def test_failures_come_first_with_the_end_of_their_log_and_the_next_command(
    page: Page,
) -> None:
    text = Parsed(page(10_000, 64)).text
    failures, _, rest = text.partition("Timeline")
    assert "Traceback (most recent call last)" in failures
    assert "batchcore retry sim --reason out_of_memory" in failures
    assert "Durations" in rest


def test_a_small_run_has_a_line_for_each_task_and_a_large_one_has_not(page: Page) -> None:
    small = Parsed(page(40, 4))
    large = Parsed(page(10_000, 64))
    assert small.count("svg") > 40
    assert large.count("svg") < MOST_LINES


def test_the_page_of_a_large_run_is_small_and_says_what_it_leaves_out(page: Page) -> None:
    text = page(10_000, 64)
    assert len(text) < 1_000_000
    assert f"The first {MOST_TASKS:,} of 10,000 tasks" in text


def test_the_tables_begin_with_the_failed_tasks(page: Page, simulated: Make) -> None:
    _, _, tasks = page(10_000, 64).partition(">Tasks</h2>")
    states = re.findall(r'class="why">(\w+)', tasks)
    failed = Counter(states)["failed"]
    assert failed == simulated(10_000, 64).report(states=()).counts["failed"]
    assert set(states[:failed]) == {"failed"}


def test_a_run_that_goes_on_says_so_and_how_to_look_again(simulated: Make) -> None:
    history = read_history(simulated(40, 4, 0.5), name="sim")
    text = Parsed(page_text(history)).text
    assert history.counts["running"] == 4
    assert "batchcore report sim" in text
    assert "Not ended, or canceled" in text


def test_what_an_older_record_does_not_have_is_left_out() -> None:
    history = history_with("x")
    (task,) = history.tasks
    bare = TaskHistory(
        **{**dict_of(task), "attempts": (AttemptHistory(attempt=1, state=task.state),)}
    )
    page = page_text(History(**{**dict_of(history), "staging": None, "tasks": (bare,)}))
    assert "Nothing has started yet." in page
    assert "Wall time" not in page
    assert "Resources were brought" not in page


def test_the_speed_up_is_the_task_time_by_the_wall_time(page: Page) -> None:
    text = Parsed(page(10_000, 64)).text
    found = re.search(r"Speed-up([\d.]+)x", text)
    assert found
    assert 50 < float(found[1]) <= 64


def test_the_page_names_versions_and_digests(page: Page) -> None:
    text = Parsed(page(40, 4)).text
    assert "1.2.3" in text
    assert "sha256:" + "9c1d" * 16 in text


def test_the_page_forbids_to_load_anything(page: Page) -> None:
    parsed = Parsed(page(40, 4))
    policy = next(value for value in parsed.values if value.startswith("default-src"))
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert not [value for value in parsed.values if re.match(r"(https?:)?//", value)]
