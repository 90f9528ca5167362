"""Signed URLs: what they let their holder do, for how long, and nothing more."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from azure.storage.blob import UserDelegationKey

from batchcore_azure.auth import Account
from batchcore_azure.environment import Secret
from batchcore_azure.lifetimes import Lifetime
from batchcore_azure.sas import Signer
from batchcore_azure.settings import AzureSettings
from batchcore_azure.storage import Storage

FORBIDDEN, DONE, MADE = 403, 200, 201


def life(start: float, end: float) -> Lifetime:
    """Return a lifetime in seconds from now: that of a whole test run is too long for one."""
    now = time.time()
    return Lifetime(now + start, now + end)


def valid() -> Lifetime:
    """Return a lifetime that has begun and lasts."""
    return life(-900, 900)


def refuse(*_: object) -> Any:
    raise AssertionError("no key was to be asked for")


@pytest.fixture
def signer(place: Any) -> Signer:
    key = Secret(place.environ["STORAGE_ACCOUNT_KEY"])
    return Signer(place.azurite.account, place.endpoint, key, refuse)


def ask(method: str, url: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request(method, url, headers=named, body=b"" if method == "PUT" else None).status


def other_blob(url: str, name: str) -> str:
    """Return a URL with the same signature for another blob of the container."""
    parts = urlsplit(url)
    account, container = parts.path.split("/")[1:3]
    return parts._replace(path=f"/{account}/{container}/{name}").geturl()


def attempts(url: str) -> dict[str, int]:
    """Try everything with a signature, of a URL whose container holds `mine` and `others`."""
    parts = urlsplit(url)
    container = parts._replace(path="/".join(parts.path.split("/")[:3])).geturl()
    mine, others = (other_blob(url, name) for name in ("mine", "others"))
    return {
        "read own": ask("GET", mine),
        "read others": ask("GET", others),
        "create": ask("PUT", other_blob(url, "new"), x_ms_blob_type="BlockBlob"),
        "overwrite": ask("PUT", mine, x_ms_blob_type="BlockBlob"),
        "list": ask("GET", f"{container}&restype=container&comp=list"),
        "delete": ask("DELETE", others),
    }


@pytest.fixture
def container(place: Any) -> str:
    for name in ("mine", "others"):
        place.blobs.get_blob_client(place.container, name).upload_blob(b"x")
    return str(place.container)


def test_a_resource_can_be_read_and_nothing_else(signer: Signer, container: str) -> None:
    assert attempts(signer.blob(container, "mine", valid())) == {
        "read own": DONE,
        "read others": FORBIDDEN,
        "create": FORBIDDEN,
        "overwrite": FORBIDDEN,
        "list": FORBIDDEN,
        "delete": FORBIDDEN,
    }


def test_outputs_can_be_written_and_nothing_else(signer: Signer, container: str) -> None:
    assert attempts(signer.container(container, valid())) == {
        "read own": FORBIDDEN,
        "read others": FORBIDDEN,
        "create": MADE,
        "overwrite": MADE,
        "list": FORBIDDEN,
        "delete": FORBIDDEN,
    }


@pytest.mark.parametrize(("start", "end"), [(-900, -60), (600, 900)], ids=["past", "future"])
def test_a_url_is_refused_outside_its_time(
    signer: Signer, container: str, start: float, end: float
) -> None:
    assert ask("GET", signer.blob(container, "mine", life(start, end))) == FORBIDDEN


@pytest.mark.parametrize("name", ["a b", "é", "a%20b", "a#b", "a?b", "dir/a+b"])
def test_a_url_reaches_the_blob_whatever_its_name(place: Any, signer: Signer, name: str) -> None:
    place.blobs.get_blob_client(place.container, name).upload_blob(b"x")
    assert ask("GET", signer.blob(place.container, name, valid())) == DONE


def fields(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_urls_of_azure_itself_are_valid_over_https_only() -> None:
    signer = Signer("a", "https://a.blob.core.windows.net", Secret("Q0FOQVJZ"), refuse)
    assert fields(signer.blob("c", "b", valid()))["spr"] == "https"
    assert fields(signer.container("c", valid()))["spr"] == "https"


class Delegation:
    """What Entra ID gives, as often as it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, datetime]] = []

    def key(self, start: datetime, expiry: datetime) -> UserDelegationKey:
        self.asked.append((start, expiry))
        made = UserDelegationKey()  # type: ignore[no-untyped-call] # the SDK has no types here
        made.signed_oid, made.signed_tid, made.signed_service = "oid", "tid", "b"
        made.signed_start, made.signed_expiry = start.isoformat(), expiry.isoformat()
        made.signed_version, made.value = "2021-12-02", "Q0FOQVJZ"
        return made


def test_without_a_key_a_url_is_signed_for_the_caller_s_own_identity() -> None:
    entra = Delegation()
    signer = Signer("a", "https://a.blob.core.windows.net", None, entra.key)
    assert {"skoid", "sktid", "skt", "ske", "sig"} <= set(fields(signer.blob("c", "b", valid())))
    assert {"skoid", "sktid", "skt", "ske", "sig"} <= set(fields(signer.container("c", valid())))


def test_a_key_of_entra_is_asked_for_once_while_it_lives_long_enough() -> None:
    entra = Delegation()
    signer = Signer("a", "https://a.blob.core.windows.net", None, entra.key)
    given = valid()
    shorter = Lifetime(given.start, given.expiry - 60)
    for each in (given, shorter, given):
        signer.blob("c", "b", each)
    assert len(entra.asked) == 1
    signer.blob("c", "b", Lifetime(given.start, given.expiry + 60))
    start, expiry = entra.asked[-1]
    assert expiry - start == timedelta(seconds=given.seconds + 60)
    assert start.tzinfo is UTC


def test_a_url_lives_through_queue_and_time_limit(place: Any) -> None:
    places = place.storage.places(place.run, 7200)
    for url in (places.resource_url("k"), places.output_container):
        told = fields(url)
        start, expiry = (datetime.fromisoformat(told[name]) for name in ("st", "se"))
        assert expiry - start == timedelta(minutes=15, hours=24 + 2 + 1)


def test_tasks_with_different_time_limits_ask_entra_for_one_key_each(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entra = Delegation()
    settings = AzureSettings(endpoint="https://a.example", storage_account="a")
    account = Account(settings, {})
    monkeypatch.setattr(Account, "blobs", SimpleNamespace(get_user_delegation_key=entra.key))
    storage = Storage(settings, account)
    short, long = (storage.places(place.run, limit) for limit in (60, 7200))
    for key in ("a", "b", "c"):
        short.resource_url(key)
        long.resource_url(key)
    assert len(entra.asked) == 2


def test_for_a_pool_with_an_identity_nothing_is_signed(place: Any) -> None:
    settings = place.settings_with(identity="/subscriptions/1/id")
    storage = Storage(settings, place.account)
    places = storage.places(place.run, 60)
    assert places.identity == "/subscriptions/1/id"
    assert "?" not in places.resource_url("k") + places.output_container
    storage.close()
