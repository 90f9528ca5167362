"""Where secrets lie, who may read them there, and that they go when they should."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchcore.backend import RunContext
from batchcore.errors import EnvironmentNotReady
from batchcore.local import secretfiles
from batchcore.local.factory import create
from batchcore.local.runner import Attempt
from batchcore.local.settings import LocalProcessSettings
from batchcore.plan import Plan, PlannedTask


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own runtime directory, as a login session has one."""
    directory = tmp_path / "runtime"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    monkeypatch.setenv("TOKEN", "the value")
    return directory


@pytest.fixture
def attempt(tmp_path: Path):
    """Make an attempt of a task with these secrets."""

    def make(*secrets: str, run_id: str = "run-1", number: int = 1) -> Attempt:
        task = PlannedTask(id="t", command=("true",), secrets=secrets)
        directory = tmp_path / "work" / "t" / str(number)
        return Attempt(run_id=run_id, task=task, number=number, directory=directory, base=tmp_path)

    return make


def test_a_secret_is_a_file_that_only_its_owner_reads(attempt):
    directory = secretfiles.write(attempt("TOKEN"))
    assert (directory / "TOKEN").read_text() == "the value"
    assert (directory / "TOKEN").stat().st_mode & 0o777 == 0o400
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.parent.stat().st_mode & 0o777 == 0o700


@given(st.binary(min_size=1).filter(lambda value: b"\0" not in value))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_every_byte_of_the_variable_arrives_and_none_is_added(attempt, value):
    os.environb[b"TOKEN"] = value  # the fixture puts the old one back
    directory = secretfiles.write(attempt("TOKEN"))
    assert (directory / "TOKEN").read_bytes() == value
    assert secretfiles.values(attempt("TOKEN")) == {"TOKEN": value}


def test_a_task_without_secrets_makes_nothing(attempt, runtime):
    assert secretfiles.write(attempt()) is None
    secretfiles.remove(attempt())
    assert list(runtime.iterdir()) == []


def test_a_directory_holds_the_secrets_of_its_attempt_and_no_other(attempt, monkeypatch):
    monkeypatch.setenv("OTHER", "another value")
    secretfiles.write(attempt("OTHER", number=1))
    directory = secretfiles.write(attempt("TOKEN", number=2))
    assert [path.name for path in directory.iterdir()] == ["TOKEN"]


@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_is_not_set_is_named_and_nothing_is_made(
    attempt, runtime, monkeypatch, value
):
    if value is None:
        monkeypatch.delenv("TOKEN")
    else:
        monkeypatch.setenv("TOKEN", value)
    with pytest.raises(EnvironmentNotReady, match="TOKEN") as caught:
        secretfiles.write(attempt("TOKEN"))
    assert "export TOKEN=" in caught.value.hint
    assert list(runtime.iterdir()) == []


def test_writing_again_after_a_kill_gives_the_value_of_now(attempt, monkeypatch):
    secretfiles.write(attempt("TOKEN"))
    monkeypatch.setenv("TOKEN", "a newer one")
    directory = secretfiles.write(attempt("TOKEN"))
    assert (directory / "TOKEN").read_text() == "a newer one"
    assert [path.name for path in directory.iterdir()] == ["TOKEN"]


@pytest.mark.parametrize("unfit", ["", "runtime", "/no/such/directory", "open", "link"])
def test_a_runtime_directory_that_is_not_ours_alone_is_passed_over(
    tmp_path, runtime, monkeypatch, unfit
):
    (tmp_path / "shm").mkdir()
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(runtime)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(secretfiles, "_SHARED_MEMORY", tmp_path / "shm")
    value = str(tmp_path / unfit) if unfit in {"open", "link"} else unfit
    place = secretfiles.place({"XDG_RUNTIME_DIR": value})
    assert place == tmp_path / "shm" / f"batchcore-{os.geteuid()}"


def test_without_shared_memory_they_lie_below_the_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(secretfiles, "_SHARED_MEMORY", tmp_path / "none")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert secretfiles.place({}) == tmp_path / f"batchcore-{os.geteuid()}"


def _link(path: Path) -> None:
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to("elsewhere")


TAKEN = {
    "a link": _link,
    "a file": Path.touch,
    "open to others": lambda path: path.mkdir(mode=0o755),
    "open to the group": lambda path: path.mkdir(mode=0o710),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_a_place_that_is_not_ours_alone_is_refused_before_anything_starts(attempt, runtime, kind):
    TAKEN[kind](runtime / "batchcore")
    plan = Plan(name="p", base="/", spec_hash="0", tasks=(attempt("TOKEN").task,))
    backend = create(LocalProcessSettings())
    with pytest.raises(EnvironmentNotReady) as caught:
        backend.check(plan)
    backend.close()
    assert caught.value.error_code == "BC6001"
    with pytest.raises(EnvironmentNotReady):
        secretfiles.write(attempt("TOKEN"))
    assert list(runtime.glob("**/TOKEN")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_place_of_another_user_is_refused(attempt, runtime):
    (runtime / "batchcore").mkdir(mode=0o700)
    os.chown(runtime / "batchcore", 12345, 12345)
    with pytest.raises(EnvironmentNotReady):
        secretfiles.write(attempt("TOKEN"))


def test_an_attempts_secrets_are_removed_and_those_of_others_stay(attempt):
    first, second = attempt("TOKEN", number=1), attempt("TOKEN", number=2)
    gone, stays = secretfiles.write(first), secretfiles.write(second)
    secretfiles.remove(first)
    assert not gone.exists()
    assert (stays / "TOKEN").exists()


def test_removing_twice_is_harmless(attempt):
    made = attempt("TOKEN")
    secretfiles.write(made)
    secretfiles.remove(made)
    secretfiles.remove(made)


def test_a_worker_cannot_keep_them_by_taking_rights_away(attempt):
    made = attempt("TOKEN")
    directory = secretfiles.write(made)
    directory.chmod(0o500)
    secretfiles.remove(made)
    assert not directory.exists()


def test_they_are_found_from_a_session_that_has_a_runtime_directory_after_one_that_had_none(
    attempt, tmp_path, runtime, monkeypatch
):
    (tmp_path / "shm").mkdir()
    monkeypatch.setattr(secretfiles, "_SHARED_MEMORY", tmp_path / "shm")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    made = attempt("TOKEN")
    directory = secretfiles.write(made)
    assert (tmp_path / "shm") in directory.parents
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    secretfiles.remove(made)
    assert not directory.exists()


def test_what_a_run_left_is_listed_and_deleted_by_its_release(attempt, tmp_path):
    left = secretfiles.write(attempt("TOKEN", run_id="run-1"))
    others = secretfiles.write(attempt("TOKEN", run_id="run-10"))
    plan = Plan(name="p", base="/", spec_hash="0", tasks=())
    context = RunContext(run_id="run-1", plan=plan, directory=tmp_path / "run")
    backend = create(LocalProcessSettings())
    listed = backend.release(context, dry_run=True)
    assert listed == [f"secrets of task t: {left}"]
    assert (left / "TOKEN").exists()
    assert backend.release(context, dry_run=False) == listed
    assert backend.release(context, dry_run=True) == []
    backend.close()
    assert not left.exists()
    assert (others / "TOKEN").exists()
