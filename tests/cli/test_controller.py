"""`batchcore.main`: a controller script has the options of `run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import batchcore as bc

Call = Callable[..., Any]

SCRIPT = """
import sys
import batchcore as bc

job = bc.Job("demo", tasks=[bc.Task("a", shell={shell!r}, outputs=["out.txt"])])

if __name__ == "__main__":
    run = bc.main(job)
    print(run.output_files[0].read_text())
"""


@pytest.fixture
def controller(here: Path, process: Call) -> Call:
    """Write a controller whose one task is a shell line, and run it."""

    def run(*argv: str, shell: str = "printf 42 > out.txt") -> Any:
        (here / "controller.py").write_text(SCRIPT.format(shell=shell))
        return process(*argv, program=["controller.py"])

    return run


def test_its_own_print_is_all_there_is_on_stdout(controller: Call) -> None:
    done = controller("--backend", "local-process")
    assert done.out == "42\n"
    assert done.code == 0


def test_after_a_failure_the_next_line_does_not_run(controller: Call) -> None:
    done = controller(shell="exit 1")
    assert done.out == ""
    assert done.code == 3
    assert "✗ a  exit 1" in done.err


def test_the_line_to_repeat_is_the_script(controller: Call) -> None:
    assert (
        "again:  python controller.py --keep-going"
        in controller("--keep-going", shell="exit 1").err
    )


def test_json_goes_to_stdout(controller: Call) -> None:
    assert controller("--json", shell="exit 1").data["state"] == "failed"


def test_a_dry_run_prints_and_exits_0(controller: Call) -> None:
    done = controller("--dry-run")
    assert done.code == 0
    assert done.out.startswith("would create")
    assert "42" not in done.out.splitlines()


def test_help_names_the_script(controller: Call) -> None:
    done = controller("--help")
    assert done.code == 0
    assert done.out.startswith("Usage: python controller.py [OPTIONS]\n")


def test_a_wrong_option_exits_2(controller: Call) -> None:
    done = controller("--bakend", "x")
    assert done.code == 2
    assert "did you mean --backend?" in done.err


def test_an_error_exits_with_its_code(controller: Call) -> None:
    assert controller("--backend", "nope").code == 5


def test_it_returns_the_run(here: Path) -> None:
    job = bc.Job("demo", tasks=[bc.Task("a", shell="printf 42 > out.txt", outputs=["out.txt"])])
    run = bc.main(job, argv=["--quiet"])
    assert [path.read_text() for path in run.output_files] == ["42"]


def test_it_exits_where_a_task_failed(here: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        bc.main(bc.Job("demo", tasks=[bc.Task("a", shell="exit 1")]), argv=[])
    assert caught.value.code == 3
