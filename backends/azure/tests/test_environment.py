"""Credentials come from the environment, and nothing shows them."""

from __future__ import annotations

import copy
import pickle

import msgspec
import pytest

from batchcore.errors import SettingsError
from batchcore_azure.environment import Credentials, Secret, unquoted

CANARY = "CANARY-value=="


def test_the_longer_name_wins_over_the_short_one():
    environ = {"BATCH_ACCOUNT_KEY": "short", "BATCHCORE_AZURE_BATCH_ACCOUNT_KEY": CANARY}
    assert Credentials.of(environ).batch_account_key == Secret(CANARY)


@pytest.mark.parametrize("text", [f'"{CANARY}"', f"'{CANARY}'", f'  "{CANARY}" \n', CANARY])
def test_quotes_that_no_shell_has_read_are_stripped(text: str):
    assert Credentials.of({"REGISTRY_PASSWORD": text}).registry_password == Secret(CANARY)


@pytest.mark.parametrize("text", ["", " ", '""', "''"])
def test_an_empty_variable_counts_as_not_set(text: str):
    assert Credentials.of({"STORAGE_ACCOUNT_KEY": text}) == Credentials()


def test_a_lone_quote_stays():
    assert unquoted("'") == "'"
    assert unquoted("\"a'") == "\"a'"


def test_no_credential_can_be_shown_or_stored():
    secret = Secret(CANARY)
    credentials = Credentials(batch_account_key=secret)
    for text in (repr(secret), str(secret), f"{secret}", repr(credentials), f"{[credentials]}"):
        assert "CANARY" not in text
    for store in (pickle.dumps, copy.deepcopy, msgspec.json.encode):
        with pytest.raises(TypeError):
            store(secret)
    assert secret.reveal() == CANARY


def test_a_connection_string_is_taken_apart():
    given = Credentials.of(
        {
            "STORAGE_ACCOUNT_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=dev;"
            f"AccountKey={CANARY};BlobEndpoint=http://127.0.0.1:10000/dev/;"
        }
    ).storage()
    assert given is not None
    assert (given.account, given.endpoint) == ("dev", "http://127.0.0.1:10000/dev")
    assert given.key.reveal() == CANARY


def test_a_connection_string_without_an_address_means_the_public_cloud():
    text = f"AccountName=a;AccountKey={CANARY};EndpointSuffix=core.chinacloudapi.cn"
    given = Credentials.of({"STORAGE_ACCOUNT_CONNECTION_STRING": text}).storage()
    assert given is not None
    assert given.endpoint == "https://a.blob.core.chinacloudapi.cn"


def test_a_connection_string_without_a_key_is_refused_and_not_shown():
    text = "BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sig=CANARY"
    with pytest.raises(SettingsError) as caught:
        Credentials.of({"STORAGE_ACCOUNT_CONNECTION_STRING": text}).storage()
    assert "az storage account show-connection-string" in caught.value.hint
    assert "CANARY" not in str(caught.value)


def test_without_a_connection_string_there_is_nothing_to_take_apart():
    assert Credentials().storage() is None
