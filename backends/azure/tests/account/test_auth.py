"""Who calls Azure: what is found out before the first call, and how a call is repeated."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Callable
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError

from batchcore.errors import SettingsError
from batchcore_azure.auth import Account
from batchcore_azure.redaction import Redaction
from batchcore_azure.settings import AzureSettings

URL = "https://acct.westeurope.batch.azure.com/"
POOL = {"id": "p", "state": "active"}


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the waits between tries, which take no time."""
    waits: list[float] = []
    monkeypatch.setattr(
        "azure.core.pipeline.transport.RequestsTransport.sleep",
        lambda _self, seconds: waits.append(seconds),
    )
    return waits


def test_names_and_addresses_follow_from_the_endpoints():
    account = Account(AzureSettings(endpoint=URL, storage_account="store"), {})
    assert account.endpoint == URL.rstrip("/")
    assert account.account_name == "acct"
    assert account.storage_endpoint == "https://store.blob.core.windows.net"
    assert not account.can_sign


def test_without_keys_both_services_share_one_credential():
    account = Account(AzureSettings(endpoint=URL, storage_account="store"), {})
    assert account.batch._config.credential is account.credential
    assert account.blobs.credential is account.credential
    account.close()


def test_a_connection_string_names_account_address_and_key(service: Any):
    key = base64.b64encode(b"CANARY").decode()
    text = f"AccountName=dev;AccountKey={key};BlobEndpoint={service.url}/dev"
    environ = {"STORAGE_ACCOUNT_CONNECTION_STRING": text}
    account = Account(AzureSettings(endpoint=URL), environ)
    assert (account.storage_account, account.storage_endpoint) == ("dev", f"{service.url}/dev")
    assert account.can_sign
    assert account.blobs.account_name == "dev"
    account.close()


@pytest.mark.parametrize(
    ("given", "environ", "word"),
    [
        ({}, {}, "BATCH_ACCOUNT_ENDPOINT"),
        ({"endpoint": URL}, {}, "STORAGE_ACCOUNT_NAME"),
        (
            {"endpoint": URL, "storage_account": "s"},
            {"BATCH_ACCOUNT_KEY": "CANARY no base64"},
            "az batch account keys list",
        ),
        (
            {"endpoint": URL, "storage_account": "s"},
            {"STORAGE_ACCOUNT_KEY": "CANARY!"},
            "az storage account keys list",
        ),
        (
            {"endpoint": URL, "storage_account": "s"},
            {"STORAGE_ACCOUNT_CONNECTION_STRING": "AccountName=t;AccountKey=Q0FOQVJZ"},
            "unset STORAGE_ACCOUNT_CONNECTION_STRING",
        ),
        ({"endpoint": "http://127.0.0.1:1", "storage_account": "s"}, {}, "BATCH_ACCOUNT_KEY"),
        (
            {"endpoint": URL, "storage_account": "s", "storage_endpoint": "http://127.0.0.1:1/s"},
            {},
            "STORAGE_ACCOUNT_KEY",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said_before_the_first_call(
    given: dict[str, Any], environ: dict[str, str], word: str
):
    with pytest.raises(SettingsError) as caught:
        Account(AzureSettings(**given), environ)
    assert word in caught.value.hint
    assert "CANARY" not in str(caught.value)


def test_a_key_that_was_exchanged_is_used_by_the_next_call(
    service: Any, account: Account, environ: dict[str, str]
):
    service.answer("/pools/p", (200, POOL, {}))
    account.batch.get_pool("p")
    environ["BATCH_ACCOUNT_KEY"] = base64.b64encode(b"CANARY-another").decode()
    account.batch.get_pool("p")
    one, other = (headers["Authorization"] for _, _, headers in service.asked)
    assert one != other


def test_the_same_key_keeps_its_connections(account: Account):
    assert account.batch is account.batch
    assert account.blobs is account.blobs


@pytest.mark.usefixtures("no_pause")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_post_is_repeated_like_any_other_request(service: Any, account: Account, status: int):
    service.answer("/jobs", (status, None, {}), (201, None, {}))
    account.batch.create_job({"id": "j", "poolInfo": {"poolId": "p"}})
    assert [method for method, _, _ in service.asked] == ["POST", "POST"]


@pytest.mark.parametrize("status", [400, 403, 409])
def test_a_refusal_is_not_repeated_even_where_it_names_a_time(
    service: Any, account: Account, status: int
):
    service.answer("/jobs", (status, None, {"Retry-After": "1"}))
    with pytest.raises(HttpResponseError):
        account.batch.create_job({"id": "j", "poolInfo": {"poolId": "p"}})
    assert len(service.asked) == 1


def test_a_long_wait_is_left_to_the_caller(service: Any, account: Account):
    service.answer("/pools/p", (503, None, {"Retry-After": "3600"}))
    with pytest.raises(HttpResponseError) as caught:
        account.batch.get_pool("p")
    assert caught.value.status_code == 503
    assert len(service.asked) == 1


def test_all_tries_of_a_call_together_stay_below_a_minute(
    service: Any, account: Account, no_pause: list[float]
):
    service.answer("/pools/p", (503, None, {"Retry-After": "10"}))
    with pytest.raises(HttpResponseError):
        account.batch.get_pool("p")
    assert 0 < sum(no_pause) <= 60
    del no_pause[:]
    service.answer("/pools/p", (503, None, {}))
    with pytest.raises(HttpResponseError):
        account.batch.get_pool("p")
    assert 0 < sum(no_pause) <= 60


@pytest.mark.usefixtures("no_pause")
def test_a_wish_that_is_no_time_counts_as_none(service: Any, account: Account):
    service.answer("/pools/p", (503, None, {"Retry-After": "soon"}), (200, POOL, {}))
    assert account.batch.get_pool("p").id == "p"


def test_at_debug_the_sdks_show_no_credential(
    service: Any, account: Account, environ: dict[str, str]
):
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    redaction = Redaction(account.known_secrets)
    redaction.start()
    try:
        service.answer("/pools/p", (200, POOL, {}))
        account.batch.get_pool("p", logging_enable=True)
        service.answer("/store/c/b", (404, None, {"x-ms-error-code": "BlobNotFound"}))
        signed = f"{account.storage_endpoint}/c/b?se=2026&sp=r&sig=CANARY%2Bsignature"
        from azure.storage.blob import BlobClient

        with BlobClient.from_blob_url(signed) as blob:
            assert not blob.exists()
    finally:
        redaction.stop()
        root.setLevel(level)
        root.removeHandler(handler)
    shown = stream.getvalue()
    assert "/store/c/b" in shown
    assert "sig=***" in shown
    assert "SharedKey acct:***" in shown
    assert "CANARY" not in shown
    assert not any(key in shown for key in environ.values())


def test_a_closed_account_opens_again(service: Any, settings: Callable[..., Any], environ: Any):
    account = Account(settings(), environ)
    service.answer("/pools/p", (200, POOL, {}))
    account.batch.get_pool("p")
    account.close()
    account.close()
    assert account.batch.get_pool("p").id == "p"
    account.close()
