"""The verb `replay`: one task again, with what it had, and what came out differently."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

import batchcore as bc
from batchcore.errors import UsageError
from batchcore.life.start import Options, prepare
from batchcore.record import Record
from batchcore.replay import Wanted, open_shell
from batchcore.run import Run

if TYPE_CHECKING:
    import docker

Call = Callable[..., Any]

NAME = f"bc-replay-{uuid.uuid4().hex[:12]}"
SOURCED = 'resources = [{ path = "in.txt", source = "in.txt" }]'


def run_in(here: Path, run: str) -> Run:
    return Run.load(here / ".batchcore" / run)


def test_a_task_that_does_the_same_exits_0(cli: Call, ran: Call, here: Path) -> None:
    run = ran(a="echo hello | tee out.txt")
    done = cli("replay", run, "--task", "a")
    assert done.code == 0
    assert done.out.splitlines()[0].endswith(f"a of {run} on local-process: the same")
    assert "outputs: 1 file the same" in done.out
    assert f".batchcore/{run}/replays/a-1" in done.err
    assert (here / f".batchcore/{run}/replays/a-1/outputs/a/out.txt").read_text() == "hello\n"


def test_each_replay_has_a_directory_of_its_own(cli: Call, ran: Call, here: Path) -> None:
    run = ran()
    for _ in range(2):
        assert cli("replay", run, "--task", "a").code == 0
    replays = here / ".batchcore" / run / "replays"
    assert sorted(path.name for path in replays.iterdir()) == ["a-1", "a-2"]


def test_the_run_itself_stays_as_it_is(cli: Call, ran: Call, here: Path) -> None:
    run = ran(a="date +%N > out.txt")
    before = cli("status", run, "--json").data
    assert cli("replay", run, "--task", "a").code == 3
    assert cli("status", run, "--json").data == before
    assert cli("fetch", run, "--verify-only").code == 0
    assert [one["run"] for one in cli("status", "--json").data["runs"]] == [run]


def test_a_failure_that_comes_again_is_the_same(cli: Call, ran: Call) -> None:
    done = cli("replay", ran(a="echo no >&2; exit 4"), "--task", "a")
    assert done.code == 0
    assert done.out.count("failed: exit 4 after") == 2


def test_a_failure_that_does_not_come_again_is_a_difference(
    cli: Call, ran: Call, here: Path
) -> None:
    run = ran(a=f"[ -e {here}/mended ] || {{ echo no >&2; exit 4; }}; echo yes > out.txt")
    (here / "mended").touch()
    done = cli("replay", run, "--task", "a")
    assert done.code == 3
    assert "then: failed: exit 4" in done.out
    assert "now:  succeeded" in done.out
    assert "new        out.txt" in done.out
    assert "last lines of stderr then:\n      | no\n    nothing on stderr now" in done.out


def test_an_output_that_differs_is_told_with_its_first_line(
    cli: Call, ran: Call, here: Path
) -> None:
    run = ran(a=f"echo first > out.txt; cat {here}/other >> out.txt || true")
    (here / "other").write_text("more\n")
    done = cli("replay", run, "--task", "a")
    assert done.code == 3
    assert "different  out.txt  6 B " in done.out
    assert "line 2 then | \n      line 2 now  | more" in done.out


def test_as_data(cli: Call, ran: Call, here: Path) -> None:
    run = ran(a=f"printf 'a\\n\\0%s' \"$(cat {here}/other)\" > out.txt")
    (here / "other").write_text("more")
    done = cli("replay", run, "--task", "a", "--json")
    data = done.data
    assert done.code == 3
    assert (data["schema"], data["same"]) == ("batchcore.replay/1", False)
    assert (data["run"], data["task"], data["backend"]) == (run, "a", "local-process")
    assert (data["then"]["state"], data["now"]["state"]) == ("succeeded", "succeeded")
    (output,) = data["outputs"]
    assert (output["change"], output["size_then"], output["size_now"]) == ("different", 3, 7)
    assert output["first"] == {"byte": 3, "line": None, "then": "", "now": ""}
    (log,) = data["logs"]
    assert (log["stream"], log["now"]) == ("stderr", [])


def test_a_task_is_replayed_without_those_it_waits_for(cli: Call, ran: Call) -> None:
    more = '[[tasks]]\nid = "b"\nshell = "true"\ndepends_on = ["a"]'
    done = cli("replay", ran(more=more, a="exit 1"), "--task", "b")
    assert done.code == 3
    assert "then: failed: dependency" in done.out
    assert "now:  succeeded" in done.out


def test_a_task_is_tried_once(cli: Call, ran: Call) -> None:
    run = ran(more="retries = 2", a="[ $BATCHCORE_ATTEMPT = 3 ]")
    done = cli("replay", run, "--task", "a", "--json")
    assert (done.data["then"]["attempt"], done.data["now"]["attempt"]) == (3, 1)
    assert done.data["now"]["reason"] == "exit_code"


@pytest.mark.parametrize("change", ["changed", "gone"])
def test_a_source_that_is_another_one_now_is_taken_from_the_run_s_store(
    cli: Call, ran: Call, here: Path, change: str
) -> None:
    source = here / "in.txt"
    source.write_text("as it was")
    run = ran(more=SOURCED, a="cat in.txt; exit 1")
    source.unlink() if change == "gone" else source.write_text("otherwise")
    done = cli("replay", run, "--task", "a")
    assert done.code == 0, done
    assert "changed or gone, taken from the run's store: in.txt" in done.out
    assert run_in(here, run).log("a") == b"as it was"


def test_a_source_that_is_the_same_is_taken_itself(cli: Call, ran: Call, here: Path) -> None:
    (here / "in.txt").write_text("as it was")
    more = SOURCED.replace("]", ', { path = "note", text = "x" }]')
    done = cli("replay", ran(more=more), "--task", "a", "--json")
    assert done.data["resources"] == [
        {"path": "in.txt", "origin": "source"},
        {"path": "note", "origin": "inline"},
    ]


def test_a_task_of_a_larger_machine_runs_without_asking_for_one(cli: Call, here: Path) -> None:
    large = bc.Requirements(cpus=9_000, memory="1000TiB")
    run = bc.Job("large", tasks=[bc.Task("a", shell="true", requirements=large)]).run("memory")
    done = cli("replay", run.id, "--task", "a")
    assert done.code == 0
    assert "note: left out here: a task asks for cpus = 9000, and this machine has" in done.err
    assert "note: left out here: a task asks for memory" in done.err


@pytest.mark.parametrize(("code", "origin"), [(1, "store"), (0, "source")])
def test_a_url_is_taken_from_the_store_where_that_still_has_it(
    cli: Call, here: Path, code: int, origin: str
) -> None:
    fsspec.filesystem("memory").pipe_file(f"{here}/in.txt", b"as it was")
    resource = bc.Resource("in.txt", source=f"memory:/{here}/in.txt")
    task = bc.Task("a", shell=f"cat in.txt; exit {code}", resources=[resource])
    run = bc.Job("url", tasks=[task]).run()
    done = cli("replay", run.id, "--task", "a", "--json")
    assert done.data["resources"] == [{"path": "in.txt", "origin": origin}]
    assert (done.code, done.data["logs"]) == (0, [])


def test_a_url_with_another_version_is_no_source(cli: Call, here: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"{here}/in.txt", b"as it was")
    resource = bc.Resource("in.txt", source=f"memory:/{here}/in.txt")
    run = bc.Job("url", tasks=[bc.Task("a", shell="true", resources=[resource])]).run()
    memory.pipe_file(f"{here}/in.txt", b"otherwise")
    done = cli("replay", run.id, "--task", "a")
    assert done.code == 7
    assert "is no longer at memory:/" in done.err


def test_content_that_is_nowhere_any_more_exits_7(cli: Call, ran: Call, here: Path) -> None:
    (here / "in.txt").write_text("as it was")
    run = ran(more=SOURCED)
    (here / "in.txt").write_text("otherwise")
    done = cli("replay", run, "--task", "a")
    assert done.code == 7
    assert f"is no longer at {here}/in.txt as the run had it" in done.err
    assert not list((here / ".batchcore" / run / "replays").iterdir())


def test_a_store_that_is_not_on_this_machine_is_read_through_its_backend(
    cli: Call, here: Path
) -> None:
    (here / "in.txt").write_text("as it was")
    resource = bc.Resource("in.txt", source="in.txt")
    task = bc.Task("a", shell="cat in.txt; exit 1", resources=[resource])
    settings = ["behaviour=batchcore.testing:execute"]
    run = bc.Job("far", tasks=[task]).run(backend="memory", settings=settings)
    (here / "in.txt").unlink()
    done = cli("replay", run.id, "--task", "a", "--json")
    assert (done.code, done.data["logs"]) == (0, [])
    assert done.data["resources"] == [{"path": "in.txt", "origin": "store"}]
    assert not (here / done.data["directory"] / "resources").exists()


def test_a_replay_leaves_only_its_results(cli: Call, ran: Call, here: Path) -> None:
    run = ran(a="exit 1")
    cli("replay", run, "--task", "a")
    left = {path.name for path in (here / ".batchcore" / run / "replays/a-1").iterdir()}
    assert "work" not in left
    assert {"job.json", "run.db", "logs"} <= left


def test_a_directory_can_be_chosen_that_is_empty(cli: Call, ran: Call, here: Path) -> None:
    run = ran()
    assert cli("replay", run, "--task", "a", "--dir", "again").code == 0
    assert (here / "again/job.json").exists()
    assert cli("replay", run, "--task", "a", "--dir", "again").code == 9


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["--task", "aa"], 5, 'did you mean "a"?'),
        (["--task", "a", "--backend", "local-proces"], 5, 'did you mean "local-process"?'),
        ([], 2, "--task"),
        (["--task", "a", "--dir", ""], 2, "--dir is empty"),
        (["--task", "a", "--set", "slot=1"], 2, "slots"),
    ],
)
def test_a_wrong_word_starts_nothing(
    cli: Call, ran: Call, here: Path, words: list[str], code: int, hint: str
) -> None:
    run = ran()
    done = cli("replay", run, *words)
    assert done.code == code
    assert hint in done.err
    assert not (here / ".batchcore" / run / "replays").exists()


def test_an_unknown_run_exits_5(cli: Call, ran: Call) -> None:
    assert cli("replay", ran().replace("demo", "demmo"), "--task", "a").code == 5


def test_a_task_that_has_not_ended_cannot_be_compared(cli: Call, job: Call, here: Path) -> None:
    loaded = bc.load_job(here / job())
    prepared = prepare(loaded.job, Options(), base=loaded.base)
    Record.create(prepared.directory, prepared.header).close()
    prepared.backend.close()
    done = cli("replay", prepared.run_id, "--task", "a")
    assert done.code == 2
    assert "has not ended" in done.err


def test_a_secret_must_be_set(cli: Call, ran: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "x")
    run = ran(more='secrets = ["API_TOKEN"]')
    monkeypatch.delenv("API_TOKEN")
    done = cli("replay", run, "--task", "a")
    assert done.code == 2
    assert "export API_TOKEN=" in done.err


def test_without_a_daemon_it_runs_as_a_process_and_says_so(
    cli: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = bc.Task("a", shell="true", image="worker:v1")
    run = bc.Job("contained", tasks=[task]).run("memory").id
    monkeypatch.setenv("DOCKER_HOST", f"unix://{here}/nobody")
    done = cli("replay", run, "--task", "a")
    assert done.code == 0
    told = done.err.index("note: it does not run in its image worker:v1: no Docker daemon answers")
    assert told < done.err.index("local-process · 1 task")
    assert " on local-process: the same" in done.out
    assert cli("replay", run, "--task", "a", "--backend", "local-docker").code == 6


def test_what_was_a_process_is_one_again(cli: Call, ran: Call) -> None:
    done = cli("replay", ran(more='image = "worker:v1"'), "--task", "a", "--json")
    assert (done.code, done.data["backend"], done.data["image"]) == (0, "local-process", "")


def test_in_python_it_is_a_method_of_the_run(here: Path) -> None:
    run = bc.Job("demo", tasks=[bc.Task("a", shell="true")]).run(directory="there")
    replay = run.replay("a")
    assert replay.same
    assert replay.directory == here / "there/replays/a-1"
    assert replay.now.outputs == ()


@pytest.mark.parametrize(
    ("words", "told"), [([], "--shell needs a terminal"), (["--json"], "contradict each other")]
)
def test_a_shell_needs_a_terminal(cli: Call, ran: Call, words: list[str], told: str) -> None:
    done = cli("replay", ran(), "--task", "a", "--shell", *words)
    assert done.code == 2
    assert told in done.err


def test_a_backend_without_a_place_here_opens_no_shell(ran: Call, here: Path) -> None:
    run = run_in(here, ran())
    with pytest.raises(UsageError, match="memory has no place on this machine"):
        open_shell(Wanted(run=run, task="a", backend="memory"))
    assert not list((run.directory / "replays").iterdir())


@pytest.fixture
def tag(
    docker_client: docker.DockerClient, worker_base_image: str
) -> Iterator[Callable[[str], str]]:
    """Make an image with a version in it, always of the same name; return its id."""
    made: list[str] = []

    def make(version: str) -> str:
        container = docker_client.containers.create(worker_base_image, "true")
        try:
            image = container.commit(NAME, "v1", changes=f"ENV VERSION={version}")
        finally:
            container.remove()
        made.append(str(image.id))
        return made[-1]

    yield make
    for image in made:
        remove_image(docker_client, image)


def remove_image(client: docker.DockerClient, image: str) -> None:
    if image in [known.id for known in client.images.list()]:
        client.images.remove(image, force=True)


@pytest.mark.docker
def test_a_task_runs_in_the_image_that_its_run_had(
    cli: Call, job: Call, tag: Call, docker_client: docker.DockerClient
) -> None:
    first = tag("one")
    file = job(more=f'image = "{NAME}:v1"', a="echo $VERSION > out.txt")
    run = cli("run", file, "--backend", "local-docker", "--json").data["run"]
    assert cli("replay", run, "--task", "a", "--json").data["image"] == f"{NAME}:v1"
    tag("two")
    done = cli("replay", run, "--task", "a", "--json")
    assert (done.code, done.data["backend"], done.data["image"]) == (0, "local-docker", first)
    remove_image(docker_client, first)
    done = cli("replay", run, "--task", "a")
    assert done.code == 6
    assert f"the image of the run, {NAME}:v1 with the digest {first}, is not to be had" in done.err
