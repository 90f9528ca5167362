"""No credential outlives its use: not on the controller's disk, not in a log, not in a container.

Every credential of these tests, as of all tests of this backend, contains the word CANARY.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from batchcore_azure.emulator.faults import Fault

pytestmark = pytest.mark.docker

PASSWORD = "CANARY-of-the-registry"  # noqa: S105 - what is looked for
SIGNATURE = re.compile(r"\bsig=(?!\*|REDACTED)[A-Za-z0-9%+/]", re.IGNORECASE)
TASKS = [
    {"id": "good", "shell": "env; cat given > out.txt", "outputs": ["out.txt"]},
    {"id": "bad", "shell": "env >&2; exit 3"},
    {"id": "lazy", "command": ["env"], "outputs": ["missing.txt"]},
    {"id": "imageless", "command": ["true"], "image": "nobody/has-this:v1"},
]


@pytest.fixture
def debug_log(tmp_path: Path) -> Iterator[Path]:
    """A file that gets all that the SDKs and what is below them log."""
    path = tmp_path / "debug.log"
    handler = logging.FileHandler(path)
    loggers = [logging.getLogger(name) for name in ("", "azure", "urllib3", "adlfs", "batchcore")]
    before = [logger.level for logger in loggers]
    logging.getLogger().addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield path
    logging.getLogger().removeHandler(handler)
    handler.close()
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture
def said(cloud: Any, debug_log: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What commands printed for a run of which some tasks fail, while the service does too."""
    monkeypatch.setenv("REGISTRY_PASSWORD", PASSWORD)
    cloud.job(*TASKS, resources=[{"path": "given", "text": "x"}])
    forbidden = {"status": 403, "code": "InsufficientAccountPermissions"}
    adding = "/jobs/*/addtaskcollection"
    cloud.emulator.faults.add(Fault(kind="status", path=adding, **forbidden))
    options = ("--set", "registry_username=me", "--set", "registry_server=example.org")
    refused = cloud.run(*options)
    assert refused.code == 6, refused.err
    failed = cloud.run(*options)
    assert failed.code == 3, failed.err
    others = [
        cloud.cli(*words)
        for words in (
            ("status", "run"),
            ("status", "run", "--json"),
            ("logs", "run"),
            ("config", "show", "--backend", "azure"),
            ("run", "job.json", "--backend", "azure", "--dry-run"),
        )
    ]
    texts = [text for done in (refused, failed, *others) for text in (done.out, done.err)]
    return {"commands": "\n".join(texts), "log": debug_log.read_text()}


def check(text: str) -> None:
    """Fail where a credential, or a signature that still signs, stands in a text."""
    assert "CANARY" not in text
    assert not SIGNATURE.search(text), SIGNATURE.search(text)


def test_no_command_and_no_debug_log_shows_a_credential(said: dict[str, str]) -> None:
    assert "addtaskcollection" in said["log"]
    for text in said.values():
        check(text)


def test_no_file_of_the_run_holds_a_credential(cloud: Any, said: dict[str, str]) -> None:
    files = [path for path in cloud.here.rglob("*") if path.is_file()]
    assert len(files) > 1
    for path in files:
        check(path.read_bytes().decode(errors="replace"))


def test_no_copy_in_the_store_holds_a_credential(cloud: Any, said: dict[str, str]) -> None:
    (name,) = (name for name in cloud.blobs_of("batchcore") if name.endswith("/job.json"))
    copy = cloud.blobs.get_blob_client("batchcore", name).download_blob().readall()
    assert copy == (cloud.directory / "job.json").read_bytes()
    check(copy.decode())


def test_the_account_keeps_signed_urls_in_tasks_and_no_key_anywhere(
    cloud: Any, said: dict[str, str]
) -> None:
    others = [thing.body for thing in (*cloud.state.pools(), *cloud.state.jobs())]
    for body in others:
        registries = body.get("virtualMachineConfiguration", {}).get("containerConfiguration", {})
        registries.pop("containerRegistries", None)  # the one place of the registry's password
    check(json.dumps(others))
    tasks = [task.body for job in cloud.state.jobs() for task in cloud.state.tasks_of(job.id)]
    assert tasks
    assert "CANARY" not in json.dumps(tasks)


def test_no_container_is_given_a_credential(
    cloud: Any, docker_client: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", PASSWORD)
    cloud.job({"id": "looks", "shell": "env; sleep 60"})
    child = cloud.start()
    label = {"label": cloud.emulator.containers_label}
    cloud.says(lambda: docker_client.containers.list(filters=label))
    for container in docker_client.containers.list(filters=label):
        check(json.dumps(container.attrs))
    child.kill()
