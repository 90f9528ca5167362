"""Which configuration files are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchcore.errors import SettingsError
from batchcore.settings import user_config_dir


def test_the_nearest_file_upwards_is_the_projects(machine: Any) -> None:
    machine.project("max_parallel = 5")
    deep = machine.cwd / "a" / "b"
    deep.mkdir(parents=True)
    settings = machine.resolve(cwd=deep)
    assert settings.core.max_parallel == 5
    assert settings.origins["max_parallel"] == str(machine.cwd / "batchcore.toml")
    (deep.parent / "batchcore.toml").write_text("max_parallel = 6")
    assert machine.resolve(cwd=deep).core.max_parallel == 6


def test_a_pyproject_with_a_table_for_batchcore_is_a_projects_file(machine: Any) -> None:
    machine.project("[tool.batchcore]\nmax_parallel = 5", "pyproject.toml")
    assert machine.resolve().origins["max_parallel"] == "pyproject.toml"


def test_a_pyproject_without_such_a_table_is_passed_over(machine: Any) -> None:
    machine.project("max_parallel = 5")
    package = machine.cwd / "package"
    package.mkdir()
    (package / "pyproject.toml").write_text("[project]\nname = 'x'")
    assert machine.resolve(cwd=package).core.max_parallel == 5


def test_a_broken_pyproject_that_is_not_for_batchcore_is_passed_over(machine: Any) -> None:
    machine.project("[project", "pyproject.toml")
    assert machine.resolve()


def test_batchcore_toml_goes_before_pyproject(machine: Any) -> None:
    machine.project("[tool.batchcore]\nmax_parallel = 5", "pyproject.toml")
    machine.project("max_parallel = 6")
    assert machine.resolve().core.max_parallel == 6


@pytest.mark.parametrize("how", ["flag", "variable", "relative"])
def test_a_named_file_replaces_both(machine: Any, tmp_path: Path, how: str) -> None:
    machine.project("max_parallel = 5")
    machine.user("fail_fast = true")
    other = tmp_path / "other.toml"
    other.write_text("runs = '/r'")
    given: dict[str, Any] = {
        "flag": {"config": other},
        "variable": {"environ": {"BATCHCORE_CONFIG": str(other)}},
        "relative": {"config": "../other.toml"},
    }[how]
    core = machine.resolve(**given).core
    assert (core.max_parallel, core.fail_fast, core.runs) == (None, False, "/r")


def test_a_named_pyproject_is_read_like_any(machine: Any) -> None:
    path = machine.project("[tool.batchcore]\nmax_parallel = 5", "pyproject.toml")
    assert machine.resolve(config=path).core.max_parallel == 5


def test_no_config_ignores_all_files(machine: Any) -> None:
    machine.project("max_parallel = 5")
    machine.user("max_parallel = 6")
    environ = {"BATCHCORE_CONFIG": str(machine.cwd / "batchcore.toml")}
    assert machine.resolve(no_config=True, environ=environ).core.max_parallel is None


@pytest.mark.parametrize(
    ("written", "expected"), [("out", "{cwd}/out"), ("../x", "{cwd}/../x"), ("/abs", "/abs")]
)
def test_relative_runs_start_at_the_projects_file(
    machine: Any, written: str, expected: str
) -> None:
    machine.project(f"runs = '{written}'")
    deep = machine.cwd / "deep"
    deep.mkdir()
    assert machine.resolve(cwd=deep).core.runs == expected.format(cwd=machine.cwd)


def test_relative_runs_of_the_user_start_at_the_current_directory(machine: Any) -> None:
    machine.user("runs = 'out'")
    assert machine.resolve().core.runs == "out"


def test_a_home_directory_may_be_written_short(machine: Any) -> None:
    machine.user("runs = '~/runs'")
    assert machine.resolve().core.runs == str(Path.home() / "runs")


def test_a_byte_order_mark_does_no_harm(machine: Any) -> None:
    machine.project("\ufeffmax_parallel = 5")
    assert machine.resolve().core.max_parallel == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"max_parallel = ", "batchcore.toml is not valid TOML: Invalid value"),
        (b"\xff", "not a UTF-8 text"),
        (b"x = " + b"[" * 5000, "is not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(machine: Any, content: bytes, message: str) -> None:
    (machine.cwd / "batchcore.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=message) as caught:
        machine.resolve()
    assert caught.value.where == "batchcore.toml"


def test_a_directory_in_place_of_a_file_is_named(machine: Any) -> None:
    (machine.cwd / "batchcore.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        machine.resolve()


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"config": "no.toml"}, "--config"),
        ({"environ": {"BATCHCORE_CONFIG": "no.toml"}}, "environment BATCHCORE_CONFIG"),
    ],
)
def test_a_named_file_must_exist(machine: Any, given: dict[str, Any], where: str) -> None:
    with pytest.raises(SettingsError, match=r"there is no file no\.toml") as caught:
        machine.resolve(**given)
    assert caught.value.where == where


def test_naming_a_file_and_ignoring_files_contradict_each_other(machine: Any) -> None:
    with pytest.raises(SettingsError, match="contradict"):
        machine.resolve(config="x.toml", no_config=True)


def test_a_choice_beside_a_section_is_explained(machine: Any) -> None:
    machine.project("backend = 'azure'\n[backend.azure]\nbatch_url = 'u'")
    with pytest.raises(SettingsError) as caught:
        machine.resolve()
    assert '[backend] default = "NAME"' in caught.value.hint


def test_the_users_file_lies_in_the_platforms_place_by_default(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(machine.config_dir))
    path = user_config_dir() / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("max_parallel = 6")
    assert machine.resolve(config_dir=None).origins["max_parallel"] == str(path)
