"""What is sent to Batch and what the emulator tells is in the words of the published interface.

The models of azure-batch are generated from it. They keep members that they do not know, so a word
that a later version drops or a typing error would be sent, and passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.batch import models

from batchcore.backend import TaskSubmission
from batchcore.model import Requirements
from batchcore.plan import PlannedOutput, PlannedTask
from batchcore.plan.sources import PlannedFile
from batchcore_azure import translate
from batchcore_azure.environment import Secret
from batchcore_azure.images import VmImage
from batchcore_azure.settings import AzureSettings

ANNOTATIONS = {"odata.metadata"}  # of the protocol, and in no model
IMAGE = VmImage(publisher="p", offer="o", sku="s", agent="batch.node.ubuntu 24.04")
TASK = PlannedTask(
    id="t",
    command=("run",),
    image="app:v1",
    env={"A": "b"},
    requirements=Requirements(cpus=2, memory=1 << 30, gpus=1),
    timeout=60,
    files=(PlannedFile(path="in", key="k", source="in", size=1, mode="0755"),),
    outputs=(PlannedOutput(path="out/*.csv", to="o"),),
    spec_hash="5e",
)


def strange(model: Any, body: dict[str, Any], place: str = "") -> Iterator[str]:
    """Yield the members of a body that its model does not have, however deep."""
    known = {field._rest_name: name for name, field in model._attr_to_rest_field.items()}
    for member, value in body.items():
        here = f"{place}/{member}"
        if member not in known:
            if member not in ANNOTATIONS:
                yield here
            continue
        inner = getattr(model, known[member])
        pairs = zip(inner, value, strict=True) if isinstance(value, list) else [(inner, value)]
        for part, content in pairs:
            if isinstance(content, dict) and hasattr(part, "_attr_to_rest_field"):
                yield from strange(part, content, here)


def test_a_strange_member_is_found_however_deep() -> None:
    body = {"id": "t", "resourceFiles": [{"httpUrl": "u", "mode": "755"}], "retries": 1}
    found = strange(models.BatchTaskCreateOptions(body), body)
    assert list(found) == ["/resourceFiles/mode", "/retries"]


@pytest.mark.parametrize("identity", [None, "/subscriptions/1/identity"])
def test_a_task_is_sent_in_words_of_the_interface(identity: str | None) -> None:
    places = translate.Places(
        resource_url=lambda key: f"https://store/{key}",
        output_container="https://store/out",
        identity=identity,
    )
    body = translate.task_body("r-1", TaskSubmission(TASK, 1), AzureSettings(), places)
    assert list(strange(models.BatchTaskCreateOptions(body), body)) == []


def test_a_job_is_sent_in_words_of_the_interface() -> None:
    body = translate.job_body("r-1", "pool", {"batchcore.run": "r-1"})
    assert list(strange(models.BatchJobCreateOptions(body), body)) == []


@pytest.mark.parametrize("autoscale", [True, False])
def test_a_pool_is_sent_in_words_of_the_interface(autoscale: bool) -> None:
    settings = AzureSettings(
        registry_server="r.azurecr.io",
        registry_username="me",
        subnet="/sub/net",
        start_task="true",
        autoscale=autoscale,
    )
    password = Secret("CANARY")
    body = translate.pool_body(
        "p", settings, IMAGE, ["a"], metadata={"m": "1"}, registry_password=password
    )
    assert list(strange(models.BatchPoolCreateOptions(body), body)) == []


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/jobs/job", models.BatchJob),
        ("/jobs/job/tasks/task", models.BatchTask),
        ("/pools/pool", models.BatchPool),
        ("/pools/pool/nodes", models.BatchNode),
        ("/jobs/job/taskcounts", models.BatchTaskCountsResult),
        ("/supportedimages", models.BatchSupportedImage),
    ],
)
@pytest.mark.usefixtures("running")
def test_the_emulator_tells_in_words_of_the_interface(send, path: str, model: Any) -> None:
    body = send("GET", path).json()
    bodies = body.get("value", [body])
    assert bodies
    assert [word for one in bodies for word in strange(model(one), one)] == []
