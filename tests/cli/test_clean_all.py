"""`clean --all`: what all runs have left goes, and what somebody still needs stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchcore.clock import SystemClock
from batchcore.errors import Conflict
from batchcore.life.sweep import sweep_orphans
from batchcore.plugins import Plugins

Call = Callable[..., Any]
DAY = 86400

# A backend like `memory` that tells of things whose run's directory is gone, and keeps a list.
ORPHANAGE = """
    from pathlib import Path

    from batchcore.backend import BackendSpec
    from batchcore.hookspecs import hookimpl
    from batchcore.testing.memory import MemoryBackend

    @hookimpl
    def batchcore_register_backend():
        return BackendSpec(
            name="orphanage", summary="", factory=f"{__name__}:Orphanage",
            settings="batchcore.testing.memory_settings:MemorySettings", capabilities={},
            finds_orphans=True,
        )

    class Orphanage(MemoryBackend):
        def __init__(self, settings):
            super().__init__()

        def release_orphans(self, keep, *, dry_run):
            file = Path("orphans.txt")
            found = [name for name in file.read_text().split() if name not in keep]
            if not dry_run:
                file.write_text("")
            return found
"""


class LaterClock(SystemClock):
    """A clock that is some days ahead."""

    def __init__(self, days: float) -> None:
        """Take the days."""
        self.days = days

    def now(self) -> float:
        """Return the time then."""
        return super().now() + self.days * DAY


@pytest.fixture(autouse=True)
def _no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the one backend that would look at more than this test's own things."""
    monkeypatch.setenv("BATCHCORE_BLOCK_PLUGINS", "batchcore-localdocker")


@pytest.fixture
def running(here: Path, job: Call, gate: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that drives a run named `busy`."""
    line = [sys.executable, "-m", "batchcore", "run", job("busy", a=gate.passed), "-v"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        next(line for line in driver.stderr if "running" in line)
        yield driver
        gate.open()


def works(here: Path) -> list[str]:
    return [path.parent.name for path in (here / ".batchcore").glob("*/work")]


def test_off_a_terminal_it_lists_and_deletes_nothing(cli: Call, ran: Call, tree: Call) -> None:
    runs = [ran("one", a="exit 1"), ran("two", a="exit 1")]
    before = tree()
    done = cli("clean", "--all")
    assert done.code == 0
    assert [line.split()[2] for line in done.out.splitlines()] == runs
    assert "add --yes to delete" in done.err
    assert tree() == before


def test_with_yes_it_deletes_what_is_left_and_keeps_results(
    cli: Call, ran: Call, here: Path
) -> None:
    runs = [ran(name, a="printf 1 > out.txt", b="exit 1") for name in ("one", "two")]
    done = cli("clean", "--all", "--yes")
    assert done.code == 0
    assert done.out.count("deleted  ") == 2
    assert works(here) == []
    assert [cli("fetch", run, "--verify-only").code for run in runs] == [0, 0]


def test_results_go_where_they_are_named(cli: Call, ran: Call, here: Path) -> None:
    ran("one")
    ran("two", a="exit 1")
    assert cli("clean", "--all", "--results", "--yes").code == 0
    assert list((here / ".batchcore").glob("*/job.json")) == []


def test_dry_run_wins_over_yes(cli: Call, ran: Call, tree: Call) -> None:
    ran(a="exit 1")
    before = tree()
    assert cli("clean", "--all", "--dry-run", "--yes").out.startswith("would delete  demo-")
    assert tree() == before


def test_a_run_that_is_driven_is_let_be_and_the_others_are_cleaned(
    cli: Call, running: Any, ran: Call, here: Path
) -> None:
    ran("one", a="exit 1")
    done = cli("clean", "--all", "--yes")
    assert done.code == 9
    assert "let be: busy-" in done.err
    assert "batchcore cancel" in done.err
    assert [name.partition("-")[0] for name in works(here)] == ["busy"]


def test_a_run_whose_driver_died_is_let_be(cli: Call, running: Any, here: Path) -> None:
    running.kill()
    running.wait()
    data = cli("clean", "--all", "--yes", "--json").data
    assert data["schema"] == "batchcore.clean-all/1"
    assert data["runs"][0]["refusal"]["code"] == "BC9000"
    assert len(works(here)) == 1


def test_a_damaged_run_is_named_and_the_others_are_cleaned(
    cli: Call, ran: Call, here: Path
) -> None:
    damaged = ran("one", a="exit 1")
    ran("two", a="exit 1")
    (here / ".batchcore" / damaged / "job.json").write_text("{}")
    done = cli("clean", "--all", "--yes")
    assert done.code == 7
    assert f"let be: {damaged}" in done.err
    assert works(here) == [damaged]


@pytest.mark.parametrize(("days", "cleaned"), [(6, False), (8, True)])
def test_older_than_counts_from_the_end_of_the_run(
    cli: Call, ran: Call, here: Path, days: float, cleaned: bool
) -> None:
    ran(a="exit 1")
    done = cli("clean", "--all", "--older-than", "7d", "--yes", clock=LaterClock(days))
    assert done.code == 0
    assert (works(here) == []) is cleaned


def test_older_than_leaves_a_young_run_unnamed(cli: Call, running: Any) -> None:
    done = cli("clean", "--all", "--older-than", "7d", "--yes")
    assert (done.code, done.out, done.err) == (0, "", "nothing to delete\n")


def test_what_is_left_of_runs_without_a_directory_is_a_line_of_its_own(
    cli: Call, ran: Call, here: Path, install_plugin: Call
) -> None:
    install_plugin("orphanage", ORPHANAGE)
    kept = ran()
    (here / "orphans.txt").write_text(f"thing-of-a-lost-run {kept}")
    assert cli("clean", "--all").out == "would delete  orphanage  thing-of-a-lost-run\n"
    data = cli("clean", "--all", "--yes", "--json").data
    orphans = [{"backend": "orphanage", "things": ["thing-of-a-lost-run"], "refusal": None}]
    assert data["orphans"] == orphans
    assert (here / "orphans.txt").read_text() == ""


def test_of_runs_without_a_directory_nothing_goes_that_was_not_listed(
    here: Path, install_plugin: Call
) -> None:
    install_plugin("orphanage", ORPHANAGE)
    file, plugins = here / "orphans.txt", Plugins()
    file.write_text("thing")
    listed = [*sweep_orphans(plugins, ())]
    file.write_text("thing another")
    (swept,) = sweep_orphans(plugins, (), listed)
    assert isinstance(swept.refusal, Conflict)
    assert file.read_text() == "thing another"
    file.write_text("thing")
    (swept,) = sweep_orphans(plugins, (), listed)
    assert (swept.things, swept.refusal) == (("thing",), None)
    assert file.read_text() == ""


def test_a_backend_whose_disk_fails_is_named_and_the_runs_are_cleaned(
    cli: Call, ran: Call, here: Path, install_plugin: Call
) -> None:
    install_plugin("orphanage", ORPHANAGE)  # and its list cannot be read
    ran(a="exit 1")
    done = cli("clean", "--all", "--yes")
    assert done.code == 7
    assert "let be: orphanage: " in done.err
    assert works(here) == []


def test_nothing_to_clean(cli: Call, ran: Call) -> None:
    ran()
    done = cli("clean", "--all")
    assert (done.code, done.out, done.err) == (0, "", "nothing to delete\n")


@pytest.mark.parametrize(
    "words", [(), ("demo", "--all"), ("demo", "--older-than", "7d"), ("--all", "--older-than", "x")]
)
def test_words_that_do_not_go_together_exit_2(cli: Call, ran: Call, words: tuple[str, ...]) -> None:
    ran()
    done = cli("clean", *words)
    assert done.code == 2
    assert "help:" in done.err
