"""What the doctor says of an emulated account and a real blob storage, well and broken."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.storage.blob import BlobServiceClient

from batchcore.backend import Finding
from batchcore.clock import SystemClock
from batchcore.errors import BackendError, BatchcoreError, EnvironmentNotReady, SettingsError
from batchcore_azure.doctor import examine
from batchcore_azure.emulator.cloud import Emulator
from batchcore_azure.emulator.faults import Fault
from batchcore_azure.probe import _removing
from batchcore_azure.settings import AzureSettings

Look = Callable[..., list[Finding]]

POOL = {
    "id": "mine",
    "vmSize": "Standard_D2s_v5",
    "targetDedicatedNodes": 1,
    "virtualMachineConfiguration": {
        "imageReference": {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"},
        "nodeAgentSKUId": "batch.node.ubuntu 24.04",
        "containerConfiguration": {"type": "dockerCompatible"},
    },
}


class LateClock(SystemClock):
    """A clock that is some seconds behind."""

    def __init__(self, seconds: float) -> None:
        """Take by how much."""
        self.seconds = seconds

    def now(self) -> float:
        """Return the time as it was then."""
        return super().now() - self.seconds


@pytest.fixture
def look(azure_emulator: Emulator) -> Look:
    """Return a function that examines the account and gives what is found."""

    def make(late: float = 0, **given: Any) -> list[Finding]:
        settings = AzureSettings(
            endpoint=azure_emulator.endpoint,
            account_name=azure_emulator.account,
            storage_account=azure_emulator.storage.account,
            storage_endpoint=azure_emulator.storage.url,
            **given,
        )
        return list(examine(settings, LateClock(late)))

    return make


@pytest.fixture
def containers(azure_emulator: Emulator) -> Callable[[], set[str]]:
    """Return a function that names the containers of the storage account."""

    def names() -> set[str]:
        text = azure_emulator.storage.connection_string
        with BlobServiceClient.from_connection_string(text) as service:
            return {container.name for container in service.list_containers()}

    return names


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def test_where_all_is_well_nothing_is_wrong_and_nothing_is_left(
    look: Look, containers: Callable[[], set[str]], azure_emulator: Emulator
) -> None:
    before = containers()
    findings = look()
    assert bad(findings) == []
    told = [finding.what for finding in findings]
    assert "azure-batch" in told[0]
    assert f"Batch account {azure_emulator.account} with its key" in told[0]
    assert "a container can be made, written, read and deleted" in told
    assert "the clock is within 30 s of Azure's" in told
    assert containers() == before
    assert {seen.method for seen in azure_emulator.requests.seen()} == {"GET"}


def test_no_account_at_all_is_an_environment_that_is_not_there() -> None:
    with pytest.raises(EnvironmentNotReady) as caught:
        next(examine(AzureSettings()))
    assert "BATCH_ACCOUNT_ENDPOINT" in caught.value.hint


def test_half_an_account_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError):
        next(examine(AzureSettings(endpoint="https://acct.westus.batch.azure.com")))


def test_a_caller_whom_batch_refuses_gets_the_role_and_the_rest_is_looked_at(
    look: Look, azure_emulator: Emulator
) -> None:
    refused = {"status": 403, "code": "InsufficientAccountPermissions", "message": "no"}
    azure_emulator.faults.add(Fault(kind="status", times=9, **refused))
    findings = look()
    (finding,) = bad(findings)
    assert finding.level == "problem"
    assert '--role "Azure Batch Data Contributor"' in finding.fix
    assert azure_emulator.account in finding.fix
    assert "a container can be made, written, read and deleted" in [f.what for f in findings]


def test_a_caller_whom_the_storage_refuses_gets_the_role(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = base64.b64encode(b"another account's key").decode()
    for name in ("BATCHCORE_AZURE_STORAGE_ACCOUNT_CONNECTION_STRING", "STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.delenv("STORAGE_ACCOUNT_CONNECTION_STRING")
    monkeypatch.setenv("STORAGE_ACCOUNT_KEY", wrong)
    (finding,) = bad(look())
    assert finding.level == "problem"
    assert '--role "Storage Blob Data Contributor"' in finding.fix


@pytest.mark.parametrize(
    ("seconds", "level", "side"),
    [(90, "warning", "1.5 min behind"), (-600, "problem", "10.0 min ahead of")],
)
def test_a_clock_that_is_wrong_is_told_with_its_side(
    look: Look, seconds: float, level: str, side: str
) -> None:
    (finding,) = bad(look(late=seconds))
    assert finding.level == level
    assert f"{side} Azure's" in finding.what
    assert "timedatectl" in finding.fix


def test_a_pool_that_is_not_there_yet_is_no_problem(look: Look) -> None:
    findings = look(pool="mine")
    assert bad(findings) == []
    assert "there is no pool 'mine' yet; it will be made" in [f.what for f in findings]


def test_a_pool_that_has_no_machines_is_a_problem(look: Look, azure_emulator: Emulator) -> None:
    azure_emulator.state.create_pool({**POOL, "targetDedicatedNodes": 0})
    (finding,) = bad(look(pool="mine"))
    assert finding.level == "problem"
    assert "az batch pool resize --pool-id mine" in finding.fix


def test_a_pool_that_quota_keeps_small_is_a_warning_with_the_way_to_more(
    look: Look, azure_emulator: Emulator
) -> None:
    azure_emulator.state.quota.dedicated_cores = 0
    azure_emulator.state.create_pool(POOL)
    with azure_emulator.state.changed:
        state = azure_emulator.state
        assert state.changed.wait_for(
            lambda: state.pool("mine").body.get("resizeErrors"), timeout=60
        )
    findings = bad(look(pool="mine"))
    assert {finding.level for finding in findings} == {"warning"}
    quota = next(finding for finding in findings if "AccountCoreQuotaReached" in finding.what)
    assert "larger quota" in quota.fix
    assert any("tasks will wait" in finding.what for finding in findings)


def test_what_cannot_be_removed_does_not_hide_what_failed_before() -> None:
    def remove() -> None:
        raise ServiceRequestError("cannot be reached")

    with pytest.raises(BackendError, match="cannot be read"), _removing(remove, "the blob b"):
        raise BackendError("cannot be read")
    with pytest.raises(BatchcoreError, match="the blob b"), _removing(remove, "the blob b"):
        pass


def test_settings_that_contradict_each_other_are_problems(look: Look) -> None:
    (finding,) = bad(look(nodes=0, spot_nodes=0))
    assert finding.level == "problem"


def test_containers_that_are_named_are_tried_and_kept(
    look: Look, containers: Callable[[], set[str]], azure_emulator: Emulator
) -> None:
    text = azure_emulator.storage.connection_string
    name = f"out-{azure_emulator.name}"
    with (
        BlobServiceClient.from_connection_string(text) as service,
        service.create_container(name) as made,
    ):
        before = containers()
        told = [finding.what for finding in look(output_container=name)]
        assert f"the container {name!r} can be written and read" in told
        assert containers() == before
        assert list(made.list_blob_names()) == []
        made.delete_container()
