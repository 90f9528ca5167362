"""The verb `doctor`: what it finds, what it advises, and that it leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from batchcore.backend import Finding
from batchcore.clock import SystemClock
from batchcore.doctor import Circumstances, Section, _within, examine
from batchcore.errors import NotFound
from batchcore.plugins import Plugins

Call = Callable[..., Any]
LOCAL = ("--backend", "local-process")

PLUGIN = """
    from batchcore.backend import BackendSpec
    from batchcore.hookspecs import hookimpl

    @hookimpl
    def batchcore_register_backend():
        return BackendSpec(
            name="ward", summary="", factory="ward_doctor:create", capabilities={},
            settings="batchcore.testing.memory_settings:MemorySettings",
            doctor="ward_doctor:examine",
        )
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what else is installed here: it may look at a daemon, an account or a cluster."""
    others = {plugin.distribution for plugin in Plugins(environ={}).names()} - {"batchcore"}
    monkeypatch.setenv("BATCHCORE_BLOCK_PLUGINS", ",".join(others))


@pytest.fixture
def ward(install_plugin: Call) -> Call:
    """Install a backend whose doctor has this body."""

    def install(body: str) -> str:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        head = "from batchcore.backend import Finding\nfrom batchcore import errors\n"
        files = {"ward_doctor.py": f"{head}def examine(settings):\n{lines}"}
        return str(install_plugin("ward", PLUGIN, files=files))

    return install


def found(data: Any, section: str) -> list[dict[str, str]]:
    return next(s["findings"] for s in data["sections"] if s["name"] == section)


def bad(data: Any, section: str) -> list[dict[str, str]]:
    return [finding for finding in found(data, section) if finding["level"] != "ok"]


def test_where_all_is_well_it_exits_0_and_leaves_nothing(cli: Call, tree: Call) -> None:
    done = cli("doctor", *LOCAL)
    assert (done.code, done.err) == (0, "all is well\n")
    assert "✗" not in done.out
    assert tree() == set()


def test_it_is_grouped_by_backend_with_batchcore_first(cli: Call) -> None:
    out = cli("doctor", *LOCAL).out.splitlines()
    assert out[0] == "batchcore"
    assert out[1].startswith("✓ Python 3.")
    assert "batchcore 0" in out[1]
    assert out[out.index("") + 1] == "local-process"


def test_data_for_programs(cli: Call) -> None:
    data = cli("doctor", *LOCAL, "--json").data
    assert data["schema"] == "batchcore.doctor/1"
    assert (data["problems"], data["warnings"]) == (0, 0)
    assert [section["name"] for section in data["sections"]] == ["batchcore", "local-process"]
    assert {finding["level"] for finding in found(data, "local-process")} == {"ok"}


def test_without_names_it_looks_at_all_but_those_for_tests(cli: Call, ward: Call) -> None:
    ward("yield Finding('ok', 'in bed')")
    names = [section["name"] for section in cli("doctor", "--json").data["sections"]]
    assert names == ["batchcore", "local-process", "ward"]


def test_a_backend_for_tests_is_looked_at_when_it_is_named(cli: Call) -> None:
    data = cli("doctor", "-b", "memory", "--json").data
    assert "can be loaded" in found(data, "memory")[0]["what"]


def test_a_problem_exits_6_with_its_fix(cli: Call, ward: Call) -> None:
    ward("yield Finding('problem', 'no pulse', 'ward start')")
    done = cli("doctor", "-b", "ward")
    assert done.code == 6
    assert "✗ no pulse\n    fix: ward start\n" in done.out
    assert done.err == "1 problem\n"


def test_a_warning_exits_0(cli: Call, ward: Call) -> None:
    ward("yield Finding('warning', 'pale', 'go out')")
    done = cli("doctor", "-b", "ward")
    assert (done.code, done.err) == (0, "1 warning\n")
    assert "! pale\n" in done.out


def test_what_it_shows_cannot_act_on_the_terminal(cli: Call, ward: Call) -> None:
    ward(r"yield Finding('problem', 'a\nb \x1b[2J', 'c')")
    assert "✗ a b \\x1b[2J\n" in cli("doctor", "-b", "ward").out


def test_a_doctor_that_raises_is_a_finding_that_names_the_distribution(
    cli: Call, ward: Call
) -> None:
    distribution = ward("yield Finding('ok', 'so far')\nraise KeyError('stethoscope')")
    data = cli("doctor", "-b", "ward", "--json").data
    first, second = found(data, "ward")
    assert first["what"] == "so far"
    assert second["level"] == "problem"
    assert distribution in second["what"]
    assert "stethoscope" in second["what"]


@pytest.mark.parametrize("body", ["yield 'well'", "yield Finding('fine', 'well')", "return 3"])
def test_a_doctor_that_says_nonsense_is_a_finding(cli: Call, ward: Call, body: str) -> None:
    distribution = ward(body)
    (finding,) = bad(cli("doctor", "-b", "ward", "--json").data, "ward")
    assert distribution in finding["what"]


def test_a_doctor_that_does_not_end_is_a_finding(
    here: Path, ward: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()
    monkeypatch.setattr(threading, "ward_waits", waiting, raising=False)
    ward("import threading\nyield Finding('ok', 'so far')\nthreading.ward_waits.wait()")
    section = examine(Circumstances(environ=os.environ), ["ward"], seconds=0.2)[1]
    waiting.set()
    assert [finding.level for finding in section.findings] == ["ok", "problem"]
    assert "did not end within 0.2 s" in section.findings[1].what


def test_ctrl_c_lets_the_checks_remove_what_they_made(here: Path) -> None:
    interrupted = threading.Event()

    def on_ctrl_c(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def look() -> Iterator[Finding]:
        with TemporaryDirectory(dir=here):
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.wait()
            yield from [Finding("ok", "so far")] * 100_000

    before = signal.signal(signal.SIGINT, on_ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(_within(60, look))
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(here.iterdir()) == []


def test_a_doctor_that_leaves_the_program_ends_its_checks(
    here: Path, ward: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHCORE_RAISE", "1")  # else it is made a finding
    ward("raise SystemExit(3)\nyield")
    with pytest.raises(SystemExit):
        examine(Circumstances(environ=os.environ), ["ward"], seconds=5)


NOT_READY = "raise errors.EnvironmentNotReady('no engine', hint='engine start')\nyield"


def test_an_environment_that_is_not_there_is_a_warning(cli: Call, ward: Call) -> None:
    ward(NOT_READY)
    done = cli("doctor", "--json")
    assert done.code == 0
    assert found(done.data, "ward") == [
        {"level": "warning", "what": "no engine", "fix": "engine start"}
    ]


def test_it_is_a_problem_where_it_was_named(cli: Call, ward: Call) -> None:
    ward(NOT_READY)
    assert cli("doctor", "--backend", "ward").code == 6


def test_it_is_a_problem_where_the_settings_choose_it(
    cli: Call, ward: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward(NOT_READY)
    monkeypatch.setenv("BATCHCORE_BACKEND", "ward")
    assert cli("doctor").code == 6


def test_a_broken_plugin_is_named_with_the_reason(cli: Call, install_plugin: Call) -> None:
    install_plugin("loud", "raise RuntimeError('boom')")
    done = cli("doctor")
    assert done.code == 6
    assert "demo-loud 1.0 cannot be used: RuntimeError: boom" in done.out
    assert "pip uninstall demo-loud" in done.out


def test_a_broken_plugin_is_no_problem_of_a_backend_that_is_named(
    cli: Call, install_plugin: Call
) -> None:
    install_plugin("loud", "raise RuntimeError('boom')")
    assert cli("doctor", *LOCAL).code == 0


def test_a_broken_observer_is_a_problem(cli: Call, install_plugin: Call) -> None:
    install_plugin("nosy", "raise RuntimeError('boom')", group="batchcore.plugins")
    done = cli("doctor")
    assert done.code == 6
    assert "demo-nosy" in done.out


def test_an_unknown_backend_exits_5_with_the_nearest(cli: Call) -> None:
    done = cli("doctor", "--backend", "local-proces")
    assert done.code == 5
    assert 'did you mean "local-process"?' in done.err


def test_settings_that_do_not_parse_are_a_problem(cli: Call, here: Path) -> None:
    (here / "batchcore.toml").write_text("max_parallel = \n")
    done = cli("doctor", "--json")
    assert done.code == 6
    assert any("batchcore.toml" in finding["what"] for finding in bad(done.data, "batchcore"))


def test_wrong_options_are_a_problem_of_their_backend(
    cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHCORE_LOCAL_PROCESS_SLOTS", "many")
    (finding,) = bad(cli("doctor", *LOCAL, "--json").data, "local-process")
    assert "BATCHCORE_LOCAL_PROCESS_SLOTS" in finding["what"]


def test_more_slots_than_processors_is_a_warning(
    cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHCORE_LOCAL_PROCESS_SLOTS", "100000")
    (finding,) = bad(cli("doctor", *LOCAL, "--json").data, "local-process")
    assert finding["level"] == "warning"


def test_secrets_that_others_could_read_are_a_problem(
    cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "batchcore").mkdir(mode=0o755)
    (finding,) = bad(cli("doctor", *LOCAL, "--json").data, "local-process")
    assert "chmod 700" in finding["fix"]


def core(runs: Path | str, days: float = 0) -> Iterator[Finding]:
    """Yield what is wrong with batchcore itself."""

    class Clock(SystemClock):
        def now(self) -> float:
            return super().now() + days * 86400

    given = Circumstances(environ=os.environ, runs=str(runs))
    sections: list[Section] = examine(given, ["local-process"], clock=Clock())
    return (finding for finding in sections[0].findings if finding.level != "ok")


def test_a_place_where_no_run_can_be_made_is_a_problem(here: Path) -> None:
    (here / "file").write_text("")
    (finding,) = core(here / "file" / "runs")
    assert finding.level == "problem"
    assert "--runs DIR" in finding.fix


def test_locks_that_keep_nobody_out_are_a_problem(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a network file system that takes every lock; there is none on this machine.
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    (finding,) = core(here)
    assert "keep nobody out" in finding.what


def test_a_clock_before_the_installation_is_a_problem(here: Path) -> None:
    (finding,) = core(here, days=-20000)
    assert finding.level == "problem"
    assert "clock" in finding.what


def test_a_clock_that_differs_from_the_disks_is_a_warning(here: Path) -> None:
    (finding,) = core(here, days=1)
    assert finding.level == "warning"
    assert "86400 s apart" in finding.what


def test_an_unknown_name_is_found_before_anything_is_tried(here: Path) -> None:
    with pytest.raises(NotFound):
        examine(Circumstances(environ=os.environ), ["local-process", "nowhere"])
