"""The verb `attach`: a run is taken up on another machine, which has nothing but its URL."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import pytest

import batchcore as bc
from batchcore.errors import BackendError
from batchcore.life.start import Options, drive, prepare
from batchcore.record.rundir import SCHEMA
from batchcore.run import Run
from batchcore.testing.memory import MemoryBackend

Call = Callable[..., Any]
MEMORY = ["--backend", "memory", "--set", "behaviour=batchcore.testing:execute"]


@pytest.fixture(autouse=True)
def memory() -> Iterator[Any]:
    """The store of all runs, empty afterwards."""
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    if filesystem.exists("/batchcore"):
        filesystem.rm("/batchcore", recursive=True)


@pytest.fixture
def run(cli: Call, job: Call, here: Path) -> Run:
    """A run whose `a` has succeeded and whose `b` has failed for want of a file."""
    again = f"echo $BATCHCORE_TASK_ID >> {here}/ran"
    b = f"{again}; [ -e {here}/mended ] && echo b > out.txt"
    done = cli("run", job(a=f"{again}; echo a > out.txt", b=b), *MEMORY, "--json")
    assert done.code == 3, done.err
    return Run.load(done.data["directory"])


@pytest.fixture
def url(run: Run) -> str:
    """What the first machine prints of the run."""
    return run.report().store


@pytest.fixture
def elsewhere(run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of a second machine, which knows the URL; the first one is gone."""
    assert url
    run.directory.rename(tmp_path / "gone")
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def resealed(content: bytes, schema: str = SCHEMA, **changes: Any) -> bytes:
    """Return a ``job.json`` with other values, and a checksum that matches."""
    text = msgspec.json.encode({**json.loads(content)["run"], **changes})
    digest = hashlib.sha256(text).hexdigest()
    return msgspec.json.encode({"sha256": digest, "run": msgspec.Raw(text), "schema": schema})


def with_first_task(run: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a run's plan with other values in its first task."""
    first, *others = run["plan"]["tasks"]
    return {**run["plan"], "tasks": [{**first, **changes}, *others]}


def test_the_id_is_printed_alone_and_what_to_type_next(
    cli: Call, run: Run, url: str, elsewhere: Path
) -> None:
    done = cli("attach", url)
    assert (done.code, done.out) == (0, f"{run.id}\n")
    assert f"wait:   batchcore wait {run.id}" in done.err
    assert (elsewhere / ".batchcore" / run.id / "job.json").exists()


def test_wait_collects_what_has_ended_and_runs_nothing_again(
    cli: Call, run: Run, url: str, elsewhere: Path, here: Path
) -> None:
    attached = cli("attach", url).out.strip()
    assert cli("wait", attached).code == 3
    report = cli("status", attached, "--json").data
    assert {task["id"]: task["state"] for task in report["tasks"]} == {
        "a": "succeeded",
        "b": "failed",
    }
    assert (elsewhere / ".batchcore" / run.id / "outputs/a/out.txt").read_text() == "a\n"
    assert sorted((here / "ran").read_text().split()) == ["a", "b"]


def test_retry_goes_on_there(cli: Call, url: str, elsewhere: Path, here: Path) -> None:
    attached = cli("attach", url).out.strip()
    cli("wait", attached)
    (here / "mended").touch()
    assert cli("retry", attached).code == 0
    assert sorted((here / "ran").read_text().split()) == ["a", "b", "b"]
    assert (elsewhere / ".batchcore" / attached / "outputs/b/out.txt").read_text() == "b\n"


def test_before_wait_every_task_is_pending(cli: Call, run: Run, url: str, elsewhere: Path) -> None:
    assert cli("attach", url, "--dir", "mine", "--json").data == {
        "schema": "batchcore.attach/1",
        "run": run.id,
        "backend": "memory",
        "directory": str(elsewhere / "mine"),
        "state": "running",
        "counts": {"pending": 2},
        "store": url,
        "known": None,
    }


def test_with_a_directory_of_ones_own_that_is_what_names_the_run(
    cli: Call, url: str, elsewhere: Path
) -> None:
    done = cli("attach", url, "--dir", "my run")
    assert done.out == "my run\n"
    assert "wait:   batchcore wait 'my run'" in done.err
    assert cli("wait", str(elsewhere / "my run")).code == 3


@pytest.mark.usefixtures("elsewhere")
def test_to_attach_again_changes_nothing(cli: Call, url: str) -> None:
    name = cli("attach", url).out.strip()
    cli("wait", name)
    before = cli("status", name, "--json").data
    again = cli("attach", url)
    assert again.out.strip() == name
    assert "the run is here already, and has ended: failed" in again.err
    assert cli("status", name, "--json").data == before


@pytest.mark.usefixtures("elsewhere")
def test_the_url_may_name_the_copy_itself(cli: Call, run: Run, url: str) -> None:
    assert cli("attach", f"{url}/job.json").out.strip() == run.id


@pytest.mark.usefixtures("elsewhere")
def test_the_library_does_the_same(url: str) -> None:
    run = bc.attach(url, directory="mine").wait()
    assert (run.state, run.task("a").state) == ("failed", "succeeded")


def test_files_of_settings_are_those_of_the_second_machine(
    cli: Call, job: Call, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "mine.toml").write_text("max_parallel = 1\n")
    ran = cli("run", job(a="exit 3"), *MEMORY, "--config", "mine.toml", "--json").data
    (here / "mine.toml").unlink()
    monkeypatch.chdir(tmp_path)
    attached = cli("attach", ran["store"]).out.strip()
    assert cli("wait", attached).code == 3


@pytest.mark.usefixtures("elsewhere")
def test_what_is_set_holds_for_later_commands(cli: Call, url: str) -> None:
    directory = cli("attach", url, "--set", "slots=1", "--json").data["directory"]
    wanted = ("behaviour=batchcore.testing:execute", "slots=1")
    assert Run.load(directory).heading.overrides == wanted


def test_status_says_what_to_type_elsewhere(cli: Call, here: Path) -> None:
    job = bc.Job("demo", command=["work"], tasks=[bc.Task("a")])
    begun = drive(prepare(job, Options(backend="memory")), submit_only=True)
    done = cli("status", begun.id)
    assert f"attach: batchcore attach memory://batchcore/{begun.id}" in done.err
    assert cli("status", begun.id, "--json").data["store"] == f"memory://batchcore/{begun.id}"


def test_a_run_whose_store_is_on_this_machine_offers_none(cli: Call, ran: Call) -> None:
    name = ran()
    assert cli("status", name, "--json").data["store"] == ""


@pytest.mark.parametrize("word", ["demo-1234", "az://", "://x", ""])
def test_what_is_no_url_is_refused(cli: Call, word: str) -> None:
    done = cli("attach", word)
    assert done.code == 2
    assert "is not the URL of a store" in done.err
    assert "status RUN --json" in done.err


@pytest.mark.parametrize("option", ["--backend", "--dir", "--runs", "--config"])
def test_an_option_with_nothing_in_it_is_refused(cli: Call, tree: Call, option: str) -> None:
    done = cli("attach", "memory://batchcore/demo-1234", option, "")
    assert (done.code, tree()) == (2, set())
    assert f"{option} is empty" in done.err


def test_a_store_on_a_machine_can_be_used_there_alone(cli: Call) -> None:
    done = cli("attach", "file:///somewhere/work/store")
    assert done.code == 2
    assert "batchcore wait" in done.err


def test_a_url_that_no_backend_has_must_be_given_one(cli: Call) -> None:
    done = cli("attach", "nowhere://bucket/run")
    assert done.code == 2
    assert "no installed backend has stores at nowhere:// URLs" in done.err
    assert "--backend" in done.err


def test_a_backend_whose_stores_are_elsewhere_is_refused(
    cli: Call, url: str, elsewhere: Path
) -> None:
    done = cli("attach", url, "--backend", "local-process")
    assert done.code == 2
    assert "local-process has no stores at memory:// URLs" in done.err
    assert list(elsewhere.iterdir()) == []


def test_where_nothing_is_nothing_is_made(cli: Call, tree: Call) -> None:
    done = cli("attach", "memory://batchcore/demo-1234")
    assert done.code == 5
    assert "there is no run at memory://batchcore/demo-1234" in done.err
    assert tree() == set()


@pytest.mark.parametrize(
    "damage",
    [lambda text: text[:-20], lambda text: text.replace(b'"demo', b'"dome'), lambda _text: b""],
    ids=["cut", "changed", "empty"],
)
def test_a_damaged_copy_makes_nothing(
    cli: Call, url: str, elsewhere: Path, memory: Any, damage: Callable[[bytes], bytes]
) -> None:
    path = f"{url.removeprefix('memory:/')}/job.json"
    memory.pipe_file(path, damage(memory.cat_file(path)))
    done = cli("attach", url)
    assert done.code == 7
    assert "error[BC7002]" in done.err
    assert "is damaged" in done.err
    assert list(elsewhere.iterdir()) == []


def test_a_copy_of_a_later_version_is_named_as_such(
    cli: Call, url: str, elsewhere: Path, memory: Any
) -> None:
    path = f"{url.removeprefix('memory:/')}/job.json"
    memory.pipe_file(path, resealed(memory.cat_file(path), schema="batchcore.run-record/99"))
    done = cli("attach", url)
    assert done.code == 6
    assert "another version of batchcore" in done.err
    assert "batchcore.run-record/99" in done.err
    assert list(elsewhere.iterdir()) == []


def test_a_service_that_does_not_answer_leaves_nothing_half_made(
    cli: Call, job: Call, here: Path, far: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = cli("submit", job(a="true"), "--backend", far, "--json").data
    Path(begun["directory"]).rename(here / "gone")
    line = ("attach", begun["store"], "--backend", far, "--dir", "mine")

    def silent(*_: Any) -> Any:
        raise BackendError("far does not answer", transient=True)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryBackend, "poll", silent)
        assert cli(*line).code == 7
    assert not (here / "mine").exists()
    done = cli(*line)
    assert done.code == 0
    assert "far has 0 of its 1 task." in done.err


def test_settings_that_lead_to_another_store_are_refused(
    cli: Call, run: Run, url: str, elsewhere: Path, memory: Any
) -> None:
    content = memory.cat_file(f"{url.removeprefix('memory:/')}/job.json")
    memory.pipe_file("/batchcore/moved/job.json", content)
    done = cli("attach", "memory://batchcore/moved")
    assert done.code == 2
    assert f"the store of {run.id} is {url}, not memory://batchcore/moved" in done.err
    assert list(elsewhere.iterdir()) == []


def test_a_directory_with_another_run_is_refused(cli: Call, url: str, elsewhere: Path) -> None:
    other = bc.Job("other", shell="true", tasks=[bc.Task("a")]).run(directory=elsewhere / "taken")
    done = cli("attach", url, "--dir", "taken")
    assert done.code == 9
    assert "error[BC9001]" in done.err
    assert Run.load("taken").id == other.id


@pytest.mark.parametrize(
    "evil",
    [
        lambda _run: {"run_id": "../evil"},
        lambda run: {"plan": with_first_task(run, id="../../evil")},
        lambda run: {"plan": with_first_task(run, outputs=[{"path": "out.txt", "to": "../evil"}])},
    ],
    ids=["run", "task", "output"],
)
def test_names_that_lead_out_of_the_run_directory_are_refused(
    cli: Call, url: str, elsewhere: Path, memory: Any, evil: Call
) -> None:
    path = f"{url.removeprefix('memory:/')}/job.json"
    content = memory.cat_file(path)
    memory.pipe_file(path, resealed(content, **evil(json.loads(content)["run"])))
    done = cli("attach", url)
    assert done.code == 7
    assert "error[BC7002]" in done.err
    assert list(elsewhere.iterdir()) == []


@pytest.mark.usefixtures("elsewhere")
def test_a_backend_that_is_not_here_is_named(cli: Call, url: str, memory: Any) -> None:
    path = f"{url.removeprefix('memory:/')}/job.json"
    memory.pipe_file(path, resealed(memory.cat_file(path), backend="faraway"))
    done = cli("attach", url)
    assert done.code == 5
    assert "there is no backend 'faraway'" in done.err
