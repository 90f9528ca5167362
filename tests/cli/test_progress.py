"""Progress as lines: by the clock of the events, short, and safe to show."""

from __future__ import annotations

import pytest

from batchcore.cli.progress import Progress, Render, Titles
from batchcore.events import Note, RunEnded, RunStarted, Staged, TaskChanged, Tick
from batchcore.report.progress import bar_text
from batchcore.report.text import ASCII, UNICODE, Marks
from batchcore.states import FailureReason, TaskState
from batchcore.testing.clock import FakeClock

TITLES = Titles(version="1.0", image="worker:v1", run="demo-1")


class Lines:
    """A display that keeps what it is given."""

    def __init__(self, *, live: bool = False, marks: Marks = UNICODE) -> None:
        self.live = live
        self.marks = marks
        self.lines: list[str] = []
        self.render: Render = lambda _width: []

    def line(self, text: str, tone: str = "") -> None:
        self.lines.append(text)

    def status(self, render: Render) -> None:
        self.render = render

    @property
    def view(self) -> list[str]:
        return list(self.render(80))


def started(tasks: int = 4, before: int = 0) -> RunStarted:
    return RunStarted(
        at=100.0,
        run_id="demo-1",
        backend="local-process",
        tasks=tasks,
        already_succeeded=before,
        resumed=False,
        counts={TaskState.SUCCEEDED: before, TaskState.PENDING: tasks - before},
    )


def changed(task: str, new: TaskState, at: float = 101.0, detail: str = "") -> TaskChanged:
    failed = new is TaskState.FAILED
    return TaskChanged(
        at=at,
        task_id=task,
        attempt=1,
        old=TaskState.PENDING,
        new=new,
        reason=FailureReason.EXIT_CODE if failed else None,
        exit_code=1 if failed else None,
        detail=detail,
        duration=2.1 if failed else None,
    )


@pytest.fixture
def display() -> Lines:
    return Lines()


@pytest.fixture
def progress(display: Lines) -> Progress:
    return Progress(display, TITLES, FakeClock(100.0))


def test_the_first_line(progress: Progress, display: Lines) -> None:
    progress(started())
    assert display.lines == ["batchcore 1.0 · demo-1 · local-process · 4 tasks · image worker:v1"]


def test_ascii_marks() -> None:
    display = Lines(marks=ASCII)
    Progress(display, TITLES, FakeClock())(started())
    assert display.lines[0].isascii()


def test_staged_says_how_many_were_sent(progress: Progress, display: Lines) -> None:
    progress(Staged(at=100.0, sent=2, total=5))
    assert display.lines == ["✓ staged  5 files, 2 sent now"]


def test_nothing_staged_is_not_told(progress: Progress, display: Lines) -> None:
    progress(Staged(at=100.0, sent=0, total=0))
    assert display.lines == []


def test_a_note_is_told(progress: Progress, display: Lines) -> None:
    progress(Note(at=100.0, text="pulling worker:v1"))
    assert display.lines == ["note: pulling worker:v1"]


def test_a_note_stays_on_its_line(progress: Progress, display: Lines) -> None:
    progress(Note(at=100.0, text="a\nb\x1b[1A"))
    assert display.lines == [r"note: a\nb\x1b[1A"]


def test_a_failure_is_told(progress: Progress, display: Lines) -> None:
    progress(started())
    progress(changed("a", TaskState.FAILED, detail="ValueError: x"))
    assert display.lines[1:] == ["✗ a  exit 1 after 2.1 s   ValueError: x"]


def test_a_detail_stays_on_its_line(progress: Progress, display: Lines) -> None:
    progress(started())
    progress(changed("a", TaskState.FAILED, detail="x\n✓ all is well\x1b[1A"))
    assert display.lines[1:] == [r"✗ a  exit 1 after 2.1 s   x\n✓ all is well\x1b[1A"]


def test_many_failures_are_cut_short(progress: Progress, display: Lines) -> None:
    progress(started())
    for number in range(1000):
        progress(changed(f"t{number}", TaskState.FAILED))
    assert len(display.lines) == 22
    assert display.lines[-1].endswith("batchcore status demo-1 --failed")


def test_half_a_minute_passes_between_two_lines(progress: Progress, display: Lines) -> None:
    progress(started())
    for second in range(1, 100):
        progress(changed("a", TaskState.RUNNING, at=100.0 + second))
    assert len(display.lines) == 1 + 3


def test_a_long_task_does_not_make_the_run_look_dead(progress: Progress, display: Lines) -> None:
    progress(started())
    progress(Tick(at=129.0))
    progress(Tick(at=131.0))
    assert display.lines[1:] == ["  0/4  4 pending  after 31.0 s"]


def test_the_line_counts_states(progress: Progress, display: Lines) -> None:
    progress(started(tasks=5, before=1))
    progress(changed("a", TaskState.SUCCEEDED))
    progress(changed("b", TaskState.RUNNING, at=131.0))
    assert display.lines[-1] == "  2/5  1 running  2 pending  after 31.0 s"


def test_a_live_display_gets_no_reminders(display: Lines) -> None:
    display.live = True
    progress = Progress(display, TITLES, FakeClock(100.0))
    progress(started())
    progress(changed("a", TaskState.RUNNING, at=200.0))
    assert len(display.lines) == 1
    assert "0/4  1 running  3 pending" in display.view[0]


def test_the_time_of_a_live_view_goes_on(display: Lines) -> None:
    display.live = True
    clock = FakeClock(100.0)
    Progress(display, TITLES, clock)(started())
    assert display.view[0].endswith("  0.0 s")
    clock.sleep(5)
    assert display.view[0].endswith("  5.0 s")


def test_a_failure_stands_in_the_view_until_that_is_taken_down(display: Lines) -> None:
    display.live = True
    progress = Progress(display, TITLES, FakeClock(100.0))
    progress(started())
    progress(changed("a", TaskState.FAILED, detail="ValueError: x"))
    assert display.view[1:] == [
        "✗ a  exit 1 after 2.1 s   ValueError: x",
        "  look: batchcore logs demo-1 a",
    ]
    assert len(display.lines) == 1
    progress.close()
    assert display.lines[1:] == ["✗ a  exit 1 after 2.1 s   ValueError: x"]


def test_no_failure_is_written_twice(progress: Progress, display: Lines) -> None:
    progress(started())
    progress(changed("a", TaskState.FAILED))
    progress.close()
    assert len(display.lines) == 2


def test_a_line_off_a_terminal_guesses_what_is_left(progress: Progress, display: Lines) -> None:
    progress(started())
    progress(changed("a", TaskState.SUCCEEDED, at=110.0))
    progress(changed("b", TaskState.SUCCEEDED, at=140.0))
    assert display.lines[-1] == "  2/4  2 pending  after 40.0 s  3 tasks/min · about 40 s left"


def test_quiet_tells_failures_alone(display: Lines) -> None:
    progress = Progress(display, TITLES, FakeClock(), quiet=True)
    progress(started())
    progress(Staged(at=100.0, sent=1, total=1))
    progress(Note(at=100.0, text="n"))
    progress(changed("a", TaskState.FAILED, at=200.0))
    assert [line.split()[1] for line in display.lines] == ["a"]


def test_the_duration_is_that_of_the_events(progress: Progress) -> None:
    progress(started())
    progress(
        RunEnded(at=142.0, run_id="demo-1", state="succeeded", succeeded=4, failed=0, canceled=0)
    )
    assert progress.seconds == 42.0


@pytest.mark.parametrize(("done", "full"), [(0, 0), (1, 6), (4, 24)])
def test_the_bar_is_as_full_as_the_run(done: int, full: int) -> None:
    assert bar_text(done, 4, UNICODE) == "█" * full + "░" * (24 - full)
