"""A credential never stands in a file and is never shown."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.credentials import MASK, is_secret_name, masked
from batchcore.errors import SettingsError

SECRET = "hunter2-hunter2"  # noqa: S105 - not a real one
AZURE = {"flags": {"backend": "azure"}}


@pytest.mark.parametrize(
    "key",
    [
        "password", "db_password", "secret", "client_secret", "account_key", "accountKey",
        "access-key", "api_key", "key", "primary_key", "connection_string", "sas", "token",
        "sas_token", "credentials", "DB_PASSWORD",
    ],
)  # fmt: skip
def test_a_key_named_like_a_credential_is_one(key: str) -> None:
    assert is_secret_name(key)


@pytest.mark.parametrize(
    "key",
    ["sas_hours", "token_url", "ssh_public_key", "partition_key", "monkey", "secrets", "keys"],
)
def test_a_key_that_only_speaks_of_credentials_is_none(key: str) -> None:
    assert not is_secret_name(key)


@pytest.mark.parametrize("name", ["batchcore.toml", "pyproject.toml", "config.toml", "job.toml"])
def test_a_credential_in_any_file_is_refused_and_never_shown(machine: Any, name: str) -> None:
    text = f"[backend.azure]\naccount_key = '{SECRET}'"
    given: dict[str, Any] = {}
    if name == "batchcore.toml":
        machine.project(text)
    elif name == "pyproject.toml":
        machine.project(text.replace("[", "[tool.batchcore."), name)
    elif name == "config.toml":
        machine.user(text)
    else:
        section = {"azure": {"account_key": SECRET}}
        given = {"job": {"backend": section}, "job_origin": name}
    with pytest.raises(SettingsError) as caught:
        machine.resolve(**given)
    error = caught.value
    assert error.error_code == "BC2401"
    assert name in error.where
    assert "backend.azure.account_key" in error.where
    assert "export BATCHCORE_AZURE_ACCOUNT_KEY" in error.hint
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "section",
    [
        {"batch_url": "https://x.blob.core.windows.net/c?sv=1&sig=abc"},
        {"batch_url": "https://user:pw@host/"},
        {"anything": [{"deep": "AccountName=a;AccountKey=abc"}]},
        {"anything": {"token": ["a"]}},
    ],
)
def test_a_credential_inside_a_value_is_refused(machine: Any, section: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        machine.resolve(job={"backend": {"azure": section}})
    assert caught.value.error_code == "BC2401"


@pytest.mark.parametrize("text", ["password = 'x'", "[backend.no-such]\ntoken = 'x'"])
def test_a_credential_is_refused_wherever_it_stands_in_a_file(machine: Any, text: str) -> None:
    machine.project(text)
    with pytest.raises(SettingsError) as caught:
        machine.resolve()
    assert caught.value.error_code == "BC2401"


def test_numbers_truth_values_and_empty_texts_are_no_credentials(machine: Any) -> None:
    job = {"backend": {"azure": {"anything": {"token": 3, "sas": True, "key": ""}}}}
    assert machine.resolve(**AZURE, job=job)


def test_a_credential_on_the_command_line_is_refused(machine: Any) -> None:
    with pytest.raises(SettingsError, match="on the command line") as caught:
        machine.resolve(**AZURE, items=[f"account_key={SECRET}"])
    assert caught.value.error_code == "BC2401"
    assert SECRET not in str(caught.value)


def test_the_environment_may_hold_a_credential_and_it_is_not_shown(machine: Any) -> None:
    settings = machine.resolve(**AZURE, environ={"BATCHCORE_AZURE_ACCOUNT_KEY": SECRET})
    assert settings.backend.account_key == SECRET
    (row,) = [row for row in settings.redacted() if row.key == "azure.account_key"]
    assert (row.value, row.origin) == (MASK, "environment BATCHCORE_AZURE_ACCOUNT_KEY")
    assert SECRET not in repr(settings) + str(settings.redacted())


def test_a_wrong_value_of_a_secret_setting_is_not_shown(machine: Any) -> None:
    variable = "BATCHCORE_AZURE_POOL__NODES"
    text = f"https://u:{SECRET}@host"
    with pytest.raises(SettingsError, match="nodes must be a whole number") as caught:
        machine.resolve(**AZURE, environ={variable: text})
    assert SECRET not in str(caught.value)


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_masking_below_a_secret_key_leaves_no_text(data: Any) -> None:
    def texts(value: Any) -> set[str]:
        if isinstance(value, dict):
            return set().union(*map(texts, value.values()))
        return set().union(*map(texts, value)) if isinstance(value, list) else {value}

    assert texts(masked(("token",), data)) <= {MASK, ""}


def test_a_credential_that_the_backend_reads_itself_becomes_no_setting(machine: Any) -> None:
    environ = {"BATCHCORE_AZURE_REGISTRY_PASSWORD": SECRET}
    assert machine.resolve(**AZURE, environ=environ) == machine.resolve(**AZURE)


def test_it_is_refused_in_a_file_all_the_same(machine: Any) -> None:
    machine.user(f'[backend.azure]\nregistry_password = "{SECRET}"')
    with pytest.raises(SettingsError) as caught:
        machine.resolve(**AZURE)
    assert "BATCHCORE_AZURE_REGISTRY_PASSWORD" in caught.value.hint
    assert SECRET not in str(caught.value)
