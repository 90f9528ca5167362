"""The verb `run`: what it does, what it prints and where, and how it exits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]


def test_success_exits_0(cli: Call, job: Call) -> None:
    assert cli("run", job()).code == 0


def test_a_failed_task_exits_3(cli: Call, job: Call) -> None:
    assert cli("run", job(a="exit 1")).code == 3


def test_without_json_nothing_is_said_on_stdout(cli: Call, job: Call) -> None:
    assert cli("run", job()).out == ""


def test_the_first_line_names_the_run_and_the_backend(cli: Call, job: Call) -> None:
    first = cli("run", job(a="true", b="true")).err.splitlines()[0]
    assert first.startswith("batchcore ")
    assert " · demo-" in first
    assert first.endswith(" · local-process · 2 tasks")


def test_the_last_line_of_a_success_says_where_the_results_are(cli: Call, job: Call) -> None:
    last = cli("run", job()).err.splitlines()[-1]
    assert last.startswith("✓ 1 task succeeded in ")
    assert "results in .batchcore/demo-" in last


def test_a_failed_task_has_a_line(cli: Call, job: Call) -> None:
    err = cli("run", job(a="echo boom >&2; exit 7", b="true")).err
    line = next(line for line in err.splitlines() if line.startswith("✗ a "))
    assert "exit 7 after" in line
    assert line.endswith("boom")


def test_after_a_failure_the_next_command_is_named(cli: Call, job: Call) -> None:
    err = cli("run", job(a="exit 1", b="true")).err
    command = next(line for line in err.splitlines() if "look:" in line).split("batchcore ")[1]
    assert command.split()[0] == "logs"
    assert cli(*command.split()).code == 0


def test_the_named_task_is_not_one_that_only_waited(cli: Call, here: Path) -> None:
    (here / "job.toml").write_text(
        'name = "chain"\n[[tasks]]\nid = "last"\nshell = "true"\ndepends_on = ["first"]\n'
        '[[tasks]]\nid = "first"\nshell = "exit 1"\n'
    )
    look = next(x for x in cli("run", "job.toml").err.splitlines() if "look:" in x)
    assert look.endswith(" first")


def test_staged_files_have_a_line(cli: Call, job: Call) -> None:
    more = 'resources = [{ path = "in.txt", text = "1" }]'
    assert "✓ staged  1 file\n" in cli("run", job(more=more, a="cat in.txt")).err


def test_the_same_line_again_goes_on(cli: Call, job: Call, gate: Any) -> None:
    file = job(a=f"test -e {gate.path}", b="true")
    assert cli("run", file).code == 3
    gate.open()
    again = cli("run", file, "--json")
    assert again.code == 0
    assert [task["attempt"] for task in again.data["tasks"]] == [2, 1]


def test_a_run_that_goes_on_says_so(cli: Call, job: Call) -> None:
    file = job(a="exit 1", b="true")
    cli("run", file)
    assert cli("run", file).err.splitlines()[0].endswith(" · 1 succeeded before")


def test_the_line_to_repeat_is_the_line_that_was_typed(cli: Call, job: Call) -> None:
    err = cli("run", job(a="exit 1"), "--keep-going", "--fresh").err
    assert "again:  batchcore run demo.toml --keep-going  " in err


def test_fresh_begins_a_new_run(cli: Call, job: Call) -> None:
    file = job()
    first = cli("run", file, "--json").data["run"]
    second = cli("run", file, "--fresh", "--json").data["run"]
    assert second != first
    assert second.rpartition("-")[0] == first.rpartition("-")[0]


def test_only_runs_what_matches(cli: Call, job: Call) -> None:
    data = cli("run", job(a1="true", a2="true", b="true"), "--only", "a*", "--json").data
    assert [task["id"] for task in data["tasks"]] == ["a1", "a2"]


def test_only_without_a_match_exits_5_with_the_nearest_id(cli: Call, job: Call) -> None:
    done = cli("run", job(train="true"), "--only", "trian")
    assert done.code == 5
    assert 'did you mean "train"?' in done.err


def test_fail_fast_stops_the_rest(cli: Call, job: Call) -> None:
    file = job(a="exit 1", b="true", c="true")
    data = cli("run", file, "--fail-fast", "--max-parallel", "1", "--json").data
    assert [task["state"] for task in data["tasks"]] == ["failed", "canceled", "canceled"]


def test_dir_is_the_run_directory(cli: Call, job: Call, here: Path) -> None:
    cli("run", job(), "--dir", "mine")
    assert (here / "mine" / "job.json").is_file()


def test_commands_name_a_run_elsewhere_by_its_directory(cli: Call, job: Call) -> None:
    err = cli("run", job(a="exit 1"), "--dir", "mine").err
    assert "batchcore logs mine a" in err


def test_runs_is_where_the_run_directories_are(cli: Call, job: Call, here: Path) -> None:
    cli("run", job(), "--runs", "all")
    assert list(here.glob("all/demo-*/job.json"))


def test_set_reaches_the_backend(cli: Call, job: Call) -> None:
    assert cli("run", job(), "--set", "slots=1").code == 0
    assert cli("run", job(), "--set", "slots=many").code == 2


def test_quiet_success_says_nothing(cli: Call, job: Call) -> None:
    assert cli("run", job(), "--quiet").err == ""


def test_quiet_failure_still_tells(cli: Call, job: Call) -> None:
    err = cli("run", job(a="exit 1"), "-q").err
    assert err.startswith("✗ a ")
    assert "batchcore logs" in err


def test_verbose_tells_each_change(cli: Call, job: Call) -> None:
    err = cli("run", job(), "-v").err
    assert "  a  running\n" in err
    assert "  a  succeeded\n" in err


def test_verbose_tells_why_a_task_is_tried_again(cli: Call, job: Call) -> None:
    err = cli("run", job(more="retries = 1", a="exit 4"), "-v").err
    assert "trying again" in err


def test_json_is_the_report_alone(cli: Call, job: Call) -> None:
    data = cli("run", job(a="printf 42 > out.txt"), "--json").data
    assert data["schema"] == "batchcore.run/1"
    assert data["state"] == "succeeded"
    (output,) = data["tasks"][0]["outputs"]
    assert output["path"] == "out.txt"
    assert output["size"] == 2
    assert output["sha256"] == hashlib.sha256(b"42").hexdigest()
    assert Path(output["file"]).read_bytes() == b"42"


def test_json_comes_after_a_failure_too(cli: Call, job: Call) -> None:
    done = cli("run", job(a="exit 1"), "--json")
    assert done.code == 3
    assert done.data["tasks"][0]["reason"] == "exit_code"


def test_a_canceled_run_exits_4(cli: Call, process: Call, job: Call, gate: Any) -> None:
    # The task itself asks for the end of its run, as somebody in another terminal would.
    runs = gate.path.parent / ".batchcore"
    cancel = f'python -m batchcore cancel "$(ls -d {runs}/demo-*)"'
    done = process("run", job(a=f"{cancel}; {gate.passed}"), "--json")
    assert done.code == 4
    assert done.data["state"] == "canceled"


def test_a_controller_is_a_job_file_too(cli: Call, here: Path) -> None:
    (here / "controller.py").write_text(
        "import batchcore as bc\n"
        "print('building')\n"
        "run = bc.main(bc.Job('demo', tasks=[bc.Task('a', command=['true'])]))\n"
    )
    done = cli("run", "controller.py", "--json")
    assert done.code == 0
    assert done.data["tasks"][0]["id"] == "a"


def test_an_observer_that_fails_is_a_warning_and_the_run_goes_on(
    cli: Call, job: Call, install_plugin: Call
) -> None:
    source = """
        from batchcore.hookspecs import hookimpl

        @hookimpl
        def batchcore_task_changed(task_id):
            raise ValueError("bad observer")
    """
    install_plugin("watcher", source, group="batchcore.plugins")
    done = cli("run", job())
    assert done.code == 0
    assert done.err.count("bad observer") == 1
    assert "Traceback" not in done.err
