"""The settings of super_batch, by argument or by variable."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from batchcore.compat.account import account_in_environment, choose_backend
from batchcore.compat.config import CREDENTIALS, Config
from batchcore.compat.job import azure_options
from batchcore.compat.super_batch import BatchConfig
from batchcore.errors import JobError, SettingsError
from batchcore.plugins import Plugins
from batchcore_azure.settings import AzureSettings  # noqa: TID251 - what its options mean there

SETTINGS = [
    "POOL_ID",
    "POOL_VM_SIZE",
    "POOL_NODE_COUNT",
    "POOL_LOW_PRIORITY_NODE_COUNT",
    "JOB_ID",
    "BLOB_CONTAINER_NAME",
    "BATCH_DIRECTORY",
    "DOCKER_IMAGE",
    "COMMAND_LINE",
    "SUBNET_ID",
    "STORAGE_ACCESS_DURATION_HRS",
    "DELETE_POOL_WHEN_DONE",
    "DELETE_JOB_WHEN_DONE",
    "DELETE_CONTAINER_WHEN_DONE",
    "BATCH_ACCOUNT_NAME",
    "BATCH_ACCOUNT_KEY",
    "BATCH_ACCOUNT_ENDPOINT",
    "STORAGE_ACCOUNT_NAME",
    "STORAGE_ACCOUNT_KEY",
    "STORAGE_ACCOUNT_CONNECTION_STRING",
    "REGISTRY_SERVER",
    "REGISTRY_USERNAME",
    "REGISTRY_PASSWORD",
]


def config(**settings: object) -> Config:
    return BatchConfig(**{"JOB_ID": "demo", "BATCH_DIRECTORY": "work", **settings})


def example(name: str) -> str:
    """Return a value as an environment has it."""
    kind = {field.name: field.type for field in msgspec.structs.fields(Config)}[name]
    return "true" if kind is bool else "2"


def test_every_setting_of_super_batch_is_known() -> None:
    assert sorted(Config.__struct_fields__) == sorted(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_described(name: str) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "super_batch.md"
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in row for row in rows)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_comes_from_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_ID", "demo")
    monkeypatch.setenv("BATCH_DIRECTORY", "work")
    monkeypatch.setenv(name, example(name))
    assert str(getattr(BatchConfig(), name)).lower().removesuffix(".0") == example(name)


@pytest.mark.parametrize("name", SETTINGS)
def test_an_argument_wins_over_the_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0")
    given = {"JOB_ID": "demo", "BATCH_DIRECTORY": "work", name: example(name)}
    assert str(getattr(BatchConfig(**given), name)).lower().removesuffix(".0") == example(name)


def test_an_empty_argument_leaves_it_to_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_ACCOUNT_NAME", '"mine"')
    assert config(BATCH_ACCOUNT_NAME="").BATCH_ACCOUNT_NAME == "mine"
    assert config(BATCH_ACCOUNT_NAME=None).BATCH_ACCOUNT_NAME == "mine"


def test_the_defaults_are_those_of_super_batch() -> None:
    found = config()
    assert (found.POOL_NODE_COUNT, found.POOL_LOW_PRIORITY_NODE_COUNT) == (0, 0)
    assert found.STORAGE_ACCESS_DURATION_HRS == 24
    assert not found.DELETE_POOL_WHEN_DONE
    assert not found.DELETE_JOB_WHEN_DONE
    assert not found.DELETE_CONTAINER_WHEN_DONE


def test_a_path_may_be_one(tmp_path: Path) -> None:
    assert config(BATCH_DIRECTORY=tmp_path).directory == tmp_path


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError) as caught:
        config(POOL_VM_SIZ="x")
    assert "POOL_VM_SIZE" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"),
    [("JOB_ID", "a b"), ("JOB_ID", "../x"), ("POOL_NODE_COUNT", -1), ("DOCKER_IMAGE", 5)],
)
def test_a_wrong_setting_is_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=name):
        config(**{name: value})


def test_only_the_job_and_its_directory_are_always_needed() -> None:
    with pytest.raises(SettingsError, match="JOB_ID"):
        BatchConfig(BATCH_DIRECTORY="work")
    with pytest.raises(SettingsError, match="BATCH_DIRECTORY"):
        BatchConfig(JOB_ID="demo")


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_a_credential_is_not_shown(name: str) -> None:
    found = config(**{name: "hunter2"})
    assert "hunter2" not in repr(found)
    assert name not in found.clean


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_an_error_does_not_repeat_a_value(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        config(**{name: "hunter2", "POOL_NODE_COUNT": -1})
    assert "hunter2" not in str(caught.value)


# Where it runs.


def chosen(*words: str, **environ: str) -> str:
    return choose_backend(Plugins(), words, environ)


def test_azure_is_the_default() -> None:
    assert chosen() == "azure"


def test_a_variable_chooses_the_backend() -> None:
    assert chosen(BATCHCORE_BACKEND="local-docker") == "local-docker"


@pytest.mark.parametrize("words", [("--backend", "local-docker"), ("--backend=local-docker",)])
def test_a_word_of_the_script_wins_over_the_variable(words: tuple[str, ...]) -> None:
    assert chosen(*words, BATCHCORE_BACKEND="azure") == "local-docker"


def test_other_words_of_the_script_are_its_own() -> None:
    assert chosen("in.csv", "--backends", "local-docker", "--backend") == "azure"


def test_a_file_of_settings_chooses_the_backend(tmp_path: Path) -> None:
    (tmp_path / "batchcore.toml").write_text('backend = "local-process"\n')
    assert chosen() == "local-process"


def test_an_endpoint_without_a_scheme_hinders_no_choice() -> None:
    # So the documents of super_batch export it.
    found = chosen(BATCHCORE_BACKEND="azure", BATCH_ACCOUNT_ENDPOINT="a.westeurope.batch.azure.com")
    assert found == "azure"


# The account.


def seen_by(backend: str, monkeypatch: pytest.MonkeyPatch, **settings: str) -> dict[str, str]:
    """Return the variables that a backend finds beside those that are there anyway."""
    import os

    before = dict(os.environ)
    with account_in_environment(config(**settings), Plugins(), backend):
        found = {name: text for name, text in os.environ.items() if before.get(name) != text}
    assert dict(os.environ) == before
    return found


def test_azure_finds_the_account_of_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {name: f"my-{name}" for name in SETTINGS if "ACCOUNT" in name or "REGISTRY" in name}
    expected = {**given, "BATCH_ACCOUNT_ENDPOINT": "https://my-BATCH_ACCOUNT_ENDPOINT"}
    assert seen_by("azure", monkeypatch, **given) == expected


def test_an_endpoint_in_the_environment_gets_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_ACCOUNT_ENDPOINT", "a.westeurope.batch.azure.com")
    found = seen_by("azure", monkeypatch)
    assert found == {"BATCH_ACCOUNT_ENDPOINT": "https://a.westeurope.batch.azure.com"}


@pytest.mark.parametrize("backend", ["local-process", "local-docker"])
def test_a_local_backend_sees_no_account(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen_by(backend, monkeypatch, BATCH_ACCOUNT_KEY="hunter2") == {}


# The options of `azure`.


def azure(image: object = None, **settings: object) -> AzureSettings:
    return msgspec.convert(azure_options(config(**settings), image), AzureSettings)


def test_the_settings_of_the_pool() -> None:
    found = azure(POOL_ID="mine", POOL_VM_SIZE="STANDARD_D1_v2", POOL_LOW_PRIORITY_NODE_COUNT=2)
    assert (found.pool, found.vm_size) == ("mine", "STANDARD_D1_v2")
    assert (found.nodes, found.spot_nodes) == (0, 2)


def test_without_machines_the_pool_is_one_that_is_there_or_a_usual_one() -> None:
    assert azure(POOL_ID="mine").nodes == AzureSettings().nodes


def test_what_is_deleted_when_all_is_done() -> None:
    found = azure(DELETE_POOL_WHEN_DONE=True, DELETE_CONTAINER_WHEN_DONE=True)
    assert found.delete_pool_when_done
    assert found.delete_container_when_done
    assert not found.delete_job_when_done


def test_a_task_may_wait_and_run_as_long_as_storage_could_be_reached() -> None:
    found = azure(STORAGE_ACCESS_DURATION_HRS=2)
    assert (found.queue_seconds, found.limit_seconds) == (7200, 7200)


@pytest.mark.parametrize(
    "image",
    [
        "microsoft-dsvm/ubuntu-hpc/2404",
        {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2404"},
        SimpleNamespace(publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2404", version="9"),
    ],
)
def test_the_image_of_the_machines(image: object) -> None:
    assert azure(image).image == "microsoft-dsvm/ubuntu-hpc/2404"


def test_an_image_that_is_none_is_refused() -> None:
    with pytest.raises(JobError, match="publisher"):
        azure(object())
