"""Options of `azure`: where they come from, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batchcore.errors import SettingsError
from batchcore.plugins import Plugins
from batchcore.settings import Settings, resolve
from batchcore_azure.settings import AzureSettings

URL = "https://acct.westeurope.batch.azure.com"


def resolved(tmp_path: Path, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    return resolve(
        Plugins(),
        flags={"backend": "azure"},
        environ=environ or {},
        cwd=tmp_path,
        config_dir=tmp_path,
        **given,
    )


def test_all_options_have_defaults():
    settings = AzureSettings()
    assert settings.queue_seconds == settings.limit_seconds == 86400.0


def test_super_batchs_variables_fill_what_nothing_else_gives(tmp_path: Path):
    environ = {
        "BATCH_ACCOUNT_NAME": "'acct'",
        "BATCH_ACCOUNT_ENDPOINT": f'"{URL}"',
        "STORAGE_ACCOUNT_NAME": "store",
        "REGISTRY_SERVER": "r.azurecr.io",
        "REGISTRY_USERNAME": "me",
    }
    settings = resolved(tmp_path, environ)
    assert settings.backend == AzureSettings(
        endpoint=URL,
        account_name="acct",
        storage_account="store",
        registry_server="r.azurecr.io",
        registry_username="me",
    )
    assert settings.origins["azure.endpoint"] == "environment BATCH_ACCOUNT_ENDPOINT"


def test_a_file_is_stronger_than_super_batchs_variables(tmp_path: Path):
    (tmp_path / "batchcore.toml").write_text('[backend.azure]\nstorage_account = "mine"\n')
    settings = resolved(tmp_path, {"STORAGE_ACCOUNT_NAME": "other"})
    assert settings.backend.storage_account == "mine"


@pytest.mark.parametrize("name", AzureSettings.credentials)
def test_a_credential_in_the_environment_becomes_no_setting(tmp_path: Path, name: str):
    settings = resolved(tmp_path, {f"BATCHCORE_AZURE_{name.upper()}": "CANARY"})
    assert settings.backend == AzureSettings()
    assert "CANARY" not in repr(settings)


@pytest.mark.parametrize("name", AzureSettings.credentials)
def test_a_credential_in_a_file_is_refused_and_its_variable_named(tmp_path: Path, name: str):
    (tmp_path / "batchcore.toml").write_text(f'[backend.azure]\n{name} = "CANARY"\n')
    with pytest.raises(SettingsError) as caught:
        resolved(tmp_path)
    assert caught.value.error_code == "BC2401"
    assert f"BATCHCORE_AZURE_{name.upper()}" in caught.value.hint
    assert "CANARY" not in str(caught.value)


def test_a_credential_on_the_command_line_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        resolved(tmp_path, items=["storage_account_key=CANARY"])
    assert caught.value.error_code == "BC2401"
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("item", "word"),
    [
        ("container=Bad_Name", "Bad_Name"),
        ("output_container=batchcore", "tasks could change resources"),
        ("container_options=['--privileged']", "--privileged"),
        ("container_options=['--network=host']", "--network=host"),
        ("container_options=['-v /:/host']", "-v /:/host"),
        ("max_queue_time=soon", "soon"),
        ("endpoint=acct.batch.azure.com", "endpoint"),
        ("image=ubuntu", "image"),
        ("pool='a pool'", "pool"),
        ("slots_per_node=0", "slots_per_node"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, item: str, word: str):
    with pytest.raises(SettingsError, match=word.replace("(", r"\(")):
        resolved(tmp_path, items=[item])


def test_harmless_options_of_the_container_are_taken(tmp_path: Path):
    settings = resolved(tmp_path, items=["container_options=['--shm-size=2g','--network=none']"])
    assert settings.backend.container_options == ("--shm-size=2g", "--network=none")


def test_times_are_written_as_people_write_them(tmp_path: Path):
    settings = resolved(tmp_path, items=["max_queue_time=90m"])
    assert settings.backend.queue_seconds == 5400
