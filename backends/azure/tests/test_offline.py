"""What is found wrong with a plan before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from batchcore.model import Requirements
from batchcore.plan import Plan, PlannedOutput, PlannedTask
from batchcore.plan.sources import PlannedFile
from batchcore_azure import offline
from batchcore_azure.environment import Credentials, Secret
from batchcore_azure.settings import AzureSettings


def task(**given: Any) -> PlannedTask:
    return PlannedTask(**{"id": "one", "command": ("true",), "image": "worker:v1", **given})


def plan(*tasks: PlannedTask) -> Plan:
    return Plan(name="job", base="/", spec_hash="0" * 64, tasks=tasks)


def found(
    *tasks: PlannedTask,
    delegated: bool = False,
    credentials: Credentials | None = None,
    **settings: Any,
) -> list[Any]:
    return list(
        offline.problems(
            plan(*tasks),
            AzureSettings(**settings),
            credentials or Credentials(),
            delegated=delegated,
        )
    )


def test_a_plain_job_has_no_problems():
    assert found(task(), delegated=True) == []


@pytest.mark.parametrize(
    ("given", "code", "key"),
    [
        ({"image": None}, "BC2202", "image"),
        ({"command": ("a\0b",)}, "BC2201", "command"),
        ({"outputs": (PlannedOutput(path="a**b", to="x"),)}, "BC2101", "outputs[a**b]"),
        ({"requirements": Requirements(cpus=4)}, "BC2501", "requirements.cpus"),
        ({"requirements": Requirements(memory="9GiB")}, "BC2501", "requirements.memory"),
        ({"requirements": Requirements(gpus=1)}, "BC2501", "requirements.gpus"),
        ({"timeout": 181 * 86400.0}, "BC2501", "timeout"),
    ],
)
def test_what_batch_cannot_do_is_told_with_its_place(given: dict[str, Any], code: str, key: str):
    (problem,) = found(task(), task(id="two", **given))
    assert (problem.code, problem.key) == (code, f"tasks[1].{key}")
    assert "'two'" in problem.reason
    assert problem.hint


def test_what_many_tasks_share_is_told_once():
    (problem,) = found(*(task(id=f"t{number}", image=None) for number in range(5)))
    assert problem.reason.endswith("(and 4 more tasks)")


@pytest.mark.parametrize("pattern", ["**", "out/**/*.csv", "*.csv", "[!a]*", "a/**"])
def test_patterns_that_mean_the_same_there_are_taken(pattern: str):
    assert found(task(outputs=(PlannedOutput(path=pattern, to="x"),))) == []


def test_a_path_that_no_blob_can_have_is_found():
    output = PlannedOutput(path="/".join(["d" * 89] * 10), to="x")
    (problem,) = found(task(id="t" * 64, outputs=(output,)))
    assert problem.code == "BC2100"


def resources(count: int) -> tuple[PlannedFile, ...]:
    return tuple(PlannedFile(path=f"in/{number}", key="k" * 64) for number in range(count))


def test_more_resources_than_one_request_can_name_are_found():
    assert found(task(files=resources(500))) == []
    (problem,) = found(task(files=resources(5_000)))
    assert (problem.code, problem.key) == ("BC2501", "tasks[0].resources")
    assert "archive" in problem.hint


DAY = 86400.0


def test_urls_that_cannot_live_long_enough_are_found():
    (problem,) = found(task(timeout=7 * DAY), delegated=True)
    assert problem.key == "tasks[0].timeout"
    assert "max_queue_time" in problem.hint


def test_a_key_or_an_identity_needs_no_url_of_a_week():
    assert found(task(timeout=7 * DAY), delegated=False) == []
    assert found(task(timeout=7 * DAY), delegated=True, identity="/id", pool="mine") == []


def test_tasks_that_take_more_slots_than_a_machine_has_are_found():
    wanted = task(requirements=Requirements(cpus=4))
    assert found(wanted, vm_size="Standard_D8s_v5", slots_per_node=4) == []
    (problem,) = found(wanted, vm_size="Standard_D8s_v5", slots_per_node=2)
    assert "slots_per_node = 4" in problem.hint


def test_a_size_that_says_nothing_refuses_nothing():
    wanted = Requirements(cpus=500, memory="9TiB")
    assert found(task(requirements=wanted), vm_size="Standard_A9") == []


@pytest.mark.parametrize(
    ("settings", "key", "word"),
    [
        ({"registry_username": "me"}, "registry_username", "REGISTRY_PASSWORD"),
        ({"identity": "/id"}, "identity", "pool"),
        ({"nodes": 0}, "nodes", "spot_nodes"),
    ],
)
def test_a_pool_that_cannot_be_made_is_told_by_its_setting(
    settings: dict[str, Any], key: str, word: str
):
    (problem,) = found(task(), **settings)
    assert (problem.code, problem.key) == ("BC2400", f"backend.azure.{key}")
    assert word in problem.hint


def test_a_pool_in_a_subnet_wants_entra_id():
    key = Credentials(batch_account_key=Secret("CANARY"))
    (problem,) = found(task(), credentials=key, subnet="/subnet")
    assert "az login" in problem.hint
    assert found(task(), subnet="/subnet") == []


@pytest.mark.parametrize(
    ("image", "means"),
    [
        ("worker", "latest"),
        ("worker:v1", "v1"),
        ("r.azurecr.io:443/a/worker", "latest"),
        ("r.azurecr.io:443/a/worker:v2", "v2"),
        ("worker:v1@sha256:ab12", "sha256:ab12"),
    ],
)
def test_an_image_is_known_by_its_digest_else_by_its_tag(image: str, means: str):
    assert offline.fingerprint(plan(task(image=image))) == {image: means}


def test_a_tag_that_can_change_is_noted():
    pinned = task(id="two", image="worker@sha256:ab12")
    (note,) = offline.notes(plan(task(), pinned), AzureSettings())
    assert "'worker:v1'" in note
