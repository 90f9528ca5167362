"""How a command goes wrong: the exit code, the words, the data."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.cli.failures import tell
from batchcore.cli.session import Session
from batchcore.errors import Detached

Call = Callable[..., Any]

PLUGIN = """
    from batchcore import errors
    from batchcore.backend import NATIVE, BackendSpec
    from batchcore.hookspecs import hookimpl

    @hookimpl
    def batchcore_register_backend():
        return BackendSpec(
            name="{name}", summary="", factory="{name}_code:create", settings="{name}_code:Options",
            capabilities={{}},
        )
"""

CODE = """
    import msgspec
    from batchcore import errors
    from batchcore.local.factory import create as create_local
    from batchcore.local.settings import LocalProcessSettings

    class Options(msgspec.Struct, frozen=True):
        slots: int = 1

    def create(options):
        backend = create_local(LocalProcessSettings())
        def fail(*args, **kwargs):
            {fail}
        backend.{method} = fail
        return backend
"""


@pytest.fixture
def broken(install_plugin: Call) -> Call:
    """Install a backend, one method of which does this, and return its name."""

    def install(fail: str, method: str = "check") -> str:
        code = CODE.format(fail=fail, method=method)
        install_plugin("broken", PLUGIN.format(name="broken"), files={"broken_code.py": code})
        return "broken"

    return install


@pytest.mark.parametrize(
    ("fail", "code"),
    [
        ("raise ZeroDivisionError('oops')", 1),
        ("raise SystemExit(0)", 1),
        ("raise errors.UsageError('u')", 2),
        ("raise errors.NotFound('n')", 5),
        ("raise errors.EnvironmentNotReady('e')", 6),
        ("raise errors.BackendError('b')", 7),
        ("raise OSError(28, 'No space left on device')", 7),
        ("raise errors.WaitTimeout('w')", 8),
        ("raise errors.Conflict('c')", 9),
        ("raise KeyboardInterrupt", 130),
    ],
)
def test_every_error_has_its_exit_code(
    cli: Call, job: Call, broken: Call, fail: str, code: int
) -> None:
    assert cli("run", job(), "--backend", broken(fail)).code == code


def test_an_error_names_what_where_and_what_next(cli: Call, job: Call, broken: Call) -> None:
    fail = "raise errors.EnvironmentNotReady('no daemon', hint='start it', where='/run/x.sock')"
    err = cli("run", job(), "-b", broken(fail)).err
    assert err == "error[BC6000]: no daemon\n  --> /run/x.sock\n  help: start it\n"


def test_all_problems_of_a_job_are_listed(cli: Call, here: Path) -> None:
    (here / "job.toml").write_text('name = "demo"\nbad = 1\nworse = 2\n')
    err = cli("run", "job.toml").err
    assert "'bad'" in err
    assert "'worse'" in err


def test_an_error_as_data(cli: Call, here: Path) -> None:
    (here / "job.toml").write_text('name = "demo"\nbad = 1\nworse = 2\n')
    done = cli("run", "job.toml", "--json")
    assert done.code == 2
    assert done.data.keys() == {"schema", "code", "message", "hint", "exit_code", "problems"}
    assert done.data["schema"] == "batchcore.error/1"
    assert done.data["exit_code"] == 2
    assert len(done.data["problems"]) >= 2


def test_a_wrong_option_as_data(cli: Call) -> None:
    data = cli("run", "--json", "--bakend", "x").data
    assert data["code"] == "BC2000"
    assert data["hint"] == "did you mean --backend?"


def test_an_unknown_verb_exits_2_with_the_nearest(cli: Call) -> None:
    done = cli("stauts")
    assert done.code == 2
    assert done.err == (
        "error[BC2000]: there is no command 'batchcore stauts'\n  help: did you mean \"status\"?\n"
    )


def test_an_unknown_verb_of_a_group(cli: Call) -> None:
    assert 'did you mean "show"?' in cli("backends", "shwo", "x").err


def test_a_missing_argument_exits_2_with_an_example_and_the_help(cli: Call) -> None:
    done = cli("run")
    assert done.code == 2
    assert done.err == (
        "error[BC2000]: missing argument 'JOB'\n"
        "  help: for example: batchcore run job.toml --backend local-docker;"
        " see: batchcore run --help\n"
    )


def test_a_missing_choice_is_named_in_one_line(cli: Call) -> None:
    assert "missing argument 'SHELL'. Choose from: bash, zsh, fish\n" in cli("completion").err


def test_who_has_no_job_file_is_told_how_to_begin(cli: Call) -> None:
    done = cli("run", "job.toml")
    assert done.code == 2
    assert "help: look into '.', or begin with a new one: batchcore init\n" in done.err


def test_help_as_a_command_is_told_the_option(cli: Call) -> None:
    assert "help: see: batchcore --help\n" in cli("help").err


def test_a_wrong_value_exits_2_and_names_the_option(cli: Call) -> None:
    done = cli("run", "job.toml", "--max-parallel", "0")
    assert done.code == 2
    assert "--max-parallel" in done.err


def test_no_verb_shows_the_help_and_exits_2(cli: Call) -> None:
    done = cli()
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("Usage: batchcore")


def test_control_characters_of_an_error_are_escaped(cli: Call) -> None:
    err = cli("status", "\x1b[31mred\x07").err
    assert "\x1b" not in err
    assert "\x07" not in err


def test_a_bug_says_so_without_a_traceback(cli: Call, job: Call, broken: Call) -> None:
    err = cli("run", job(), "-b", broken("raise ZeroDivisionError('oops')")).err
    assert "this is a bug: the backend 'broken' of " in err
    assert "failed in check: ZeroDivisionError: oops" in err
    assert "Traceback" not in err


def test_the_traceback_of_a_bug_is_in_the_runs_directory(
    cli: Call, job: Call, broken: Call, here: Path
) -> None:
    (here / ".batchcore").mkdir()
    err = cli("run", job(), "-b", broken("1 / 0")).err
    (report,) = (here / ".batchcore").glob("batchcore-error-*.txt")
    assert str(report) in err
    assert "ZeroDivisionError" in report.read_text()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_without_a_runs_directory_it_is_in_the_temporary_one(
    cli: Call, job: Call, broken: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = here / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert str(temporary) in cli("run", job(), "-b", broken("1 / 0")).err
    assert not (here / ".batchcore").exists()


def test_a_credential_is_in_no_traceback(cli: Call, job: Call, broken: Call, here: Path) -> None:
    (here / ".batchcore").mkdir()
    fail = "raise ValueError('bad answer of https://x.example/c?se=1&sig=' + 'hunter' + '2')"
    done = cli("run", job(), "-b", broken(fail), "--json", "--traceback")
    (report,) = (here / ".batchcore").glob("batchcore-error-*.txt")
    assert "hunter2" not in done.out + done.err + report.read_text()


def test_the_traceback_of_a_known_error_can_be_shown_too(
    cli: Call, job: Call, broken: Call
) -> None:
    done = cli("--traceback", "run", job(), "-b", broken("raise errors.BackendError('b')"))
    assert done.code == 7
    assert "Traceback" in done.err


def test_a_bug_as_data(cli: Call, job: Call, broken: Call) -> None:
    data = cli("run", job(), "-b", broken("1 / 0"), "--json").data
    assert (data["code"], data["exit_code"]) == ("BC1001", 1)


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_traceback_can_be_shown(
    cli: Call, job: Call, broken: Call, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    option = ["--traceback"] if how == "option" else []
    if how == "variable":
        monkeypatch.setenv("BATCHCORE_RAISE", "1")
    assert "Traceback" in cli("run", job(), "-b", broken("1 / 0"), *option).err


def test_another_controller_holds_the_run(
    cli: Call, process: Call, job: Call, here: Path, gate: Any
) -> None:
    # The task tries to run the same job again while its own run is driven.
    again = f"cd {here} && python -m batchcore run demo.toml; echo $? > code"
    done = process("run", job(a=again))
    assert done.code == 0
    assert (here / "code").read_text() == "9\n"


@pytest.mark.parametrize("code", [130, 143])
def test_detached_exits_with_the_signal_and_says_how_to_go_on(
    code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = Detached("Detached.", hint="go on:  a\n        stop:   b", signal_exit=code)
    assert tell(error, Session([])) == code
    assert capsys.readouterr().err == "Detached.\n  go on:  a\n  stop:   b\n"


def test_detached_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Detached("Detached."), Session(["--json"]))
    assert json.loads(capsys.readouterr().out)["exit_code"] == 130
