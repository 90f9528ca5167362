"""Checking a plan, and fetching images from a registry that stumbles."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batchcore.backend import Check
from batchcore.errors import BackendError, EnvironmentNotReady, Problem
from batchcore.model import Mount, Requirements
from batchcore.plan import PlannedTask
from batchcore_localdocker.runner import DockerRunner

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker


def task(task_id: str = "one", **fields: Any) -> PlannedTask:
    return PlannedTask(id=task_id, command=("true",), **fields)


def no_pauses(runner: DockerRunner) -> DockerRunner:
    runner._woken.set()  # what a retry waits on
    return runner


@pytest.fixture
def closed_registry() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def find(lab: Any) -> Callable[..., Check]:
    def check(*tasks: PlannedTask, **settings: Any) -> Check:
        return lab.runner(**settings).check(lab.plan(*tasks))  # type: ignore[no-any-return]

    return check


def only(check: Check) -> Problem:
    assert len(check.problems) == 1
    return check.problems[0]


def test_an_image_that_is_here_is_fingerprinted(
    lab: Any, find: Callable[..., Check], docker_client: docker.DockerClient
) -> None:
    check = find(task(image=lab.image), task("two", image=lab.image))
    assert not check.problems
    assert check.fingerprint == {lab.image: docker_client.images.get(lab.image).id}
    assert [note for note in check.notes if lab.image in note]


def test_a_missing_image_is_named_once(find: Callable[..., Check]) -> None:
    missing = "bc-test-no-such-image:v1"
    problem = only(find(task(image=missing), task("two", image=missing)))
    assert missing in problem.reason
    assert f"docker build -t {missing}" in problem.hint
    assert problem.key == "tasks[0].image"


def test_an_image_unknown_to_its_registry_is_a_problem(
    find: Callable[..., Check], registry: Any
) -> None:
    problem = only(find(task(image=f"{registry.name}/made:v2"), pull="missing"))
    assert f"{registry.name}/made:v2" in problem.reason


def test_a_registry_that_does_not_answer_is_the_environments_fault(
    find: Callable[..., Check], closed_registry: str
) -> None:
    with pytest.raises(EnvironmentNotReady, match=closed_registry) as caught:
        find(task(image=f"{closed_registry}/app:v1"), pull="missing")
    assert "docker build -t" in caught.value.hint


def test_a_task_without_an_image_is_a_problem(find: Callable[..., Check], lab: Any) -> None:
    problem = only(find(task(image=lab.image), task("two")))
    assert problem.key == "tasks[1].image"
    assert "image =" in problem.hint


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (Requirements(cpus=5000), "cpus"),
        (Requirements(memory="900TiB"), "memory"),
        (Requirements(memory="1MiB"), "memory"),
    ],
)
def test_what_the_daemon_cannot_give_is_a_problem(
    find: Callable[..., Check], lab: Any, wanted: Requirements, key: str
) -> None:
    problem = only(find(task(image=lab.image, requirements=wanted)))
    assert problem.key == f"tasks[0].requirements.{key}"


def test_mounts_must_be_directories_that_exist(
    find: Callable[..., Check], lab: Any, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    good = Mount("/data", "data")
    bad = [Mount("/gone", "gone"), Mount("/store", "az://container/prefix")]
    check = find(
        task(image=lab.image, mounts=(good, *bad)), task("two", image=lab.image, mounts=(*bad,))
    )
    assert [problem.key for problem in check.problems] == [
        "tasks[0].mounts[/gone].source",
        "tasks[0].mounts[/store].source",
    ]


def test_the_fingerprint_is_the_same_before_and_after_the_pull(lab: Any, registry: Any) -> None:
    name = f"{registry.name}/made:v1"
    runner = lab.runner(pull="missing")
    plan = lab.plan(task(image=name))
    before = runner.check(plan)
    assert not before.problems
    assert before.fingerprint == {name: registry.digest}
    news: list[str] = []
    runner.prepare(plan.tasks, news.append)
    assert news == [f"pulling {name}", f"pulled {name}"]
    requests = registry.manifest_requests
    assert runner.check(plan).fingerprint == before.fingerprint
    runner.prepare(plan.tasks, news.append)
    lab.runner(pull="missing").prepare(plan.tasks, news.append)
    assert registry.manifest_requests == requests
    lab.runner(pull="always").prepare(plan.tasks, news.append)
    assert registry.manifest_requests > requests


def test_a_pull_is_tried_again(lab: Any, registry: Any) -> None:
    name = f"{registry.name}/made:v1"
    registry.faults = [503, 500]
    news: list[str] = []
    no_pauses(lab.runner(pull="missing")).prepare([task(image=name)], news.append)
    assert registry.faults == []
    assert news[0] == f"pulling {name}"
    assert " failed and is tried again: " in news[1]
    assert news[-1] == f"pulled {name}"


def test_a_pull_is_tried_four_times_at_most(lab: Any, registry: Any) -> None:
    registry.faults = [503] * 100
    runner = no_pauses(lab.runner(pull="missing"))
    with pytest.raises(BackendError) as caught:
        runner.prepare([task(image=f"{registry.name}/made:v1")], lambda _line: None)
    assert caught.value.transient


def test_an_unknown_image_is_not_tried_again(lab: Any, registry: Any) -> None:
    news: list[str] = []
    with pytest.raises(BackendError, match="made:v2") as caught:
        lab.runner(pull="missing").prepare([task(image=f"{registry.name}/made:v2")], news.append)
    assert not caught.value.transient
    assert len(news) == 1


def test_nothing_is_pulled_where_that_is_forbidden(lab: Any, registry: Any) -> None:
    with pytest.raises(BackendError, match="pull = never"):
        lab.runner().prepare([task(image=f"{registry.name}/made:v1")], lambda _line: None)
    assert registry.manifest_requests == 0


def test_an_empty_image_runs_nothing(lab: Any, registry: Any) -> None:
    name = f"{registry.name}/made:v1"
    runner = lab.runner(pull="missing")
    attempt = lab.attempt("true", image=name)
    runner.prepare([attempt.task], lambda _line: None)
    end = lab.end(attempt, runner)
    assert end.reason == "start_failed"
    assert end.code is None
