"""What the SDKs raise against a real server becomes one of this project's errors."""

from __future__ import annotations

import datetime as dt
import traceback
from email.utils import format_datetime
from typing import Any

import pytest
from azure.core.exceptions import AzureError, ClientAuthenticationError, ServiceRequestError

from batchcore.errors import BackendError, BatchcoreError, Conflict, EnvironmentNotReady
from batchcore_azure.auth import Account
from batchcore_azure.errors import CODES, azure_errors, code

SECRET_URL = "https://s.blob.core.windows.net/c/b?sp=r&sig=CANARY%3D"  # noqa: S105 - a canary


def refused(status: int, name: str, text: str = "it cannot be", **headers: str) -> Any:
    message = {"lang": "en-US", "value": f"{text}\nRequestId:12\nTime:2026-11-23T00:00:00Z"}
    return status, {"code": name, "message": message}, headers


def asking(account: Account, path: str = "p") -> BatchcoreError:
    with pytest.raises(BatchcoreError) as caught, azure_errors("asking"):
        account.batch.get_pool(path)
    return caught.value


@pytest.mark.parametrize(
    ("status", "name", "kind", "transient"),
    [
        (404, "PoolNotFound", BackendError, False),
        (409, "JobExists", Conflict, None),
        (409, "JobBeingDeleted", BackendError, True),
        (409, "PoolBeingResized", BackendError, True),
        (409, "ActiveJobAndScheduleQuotaReached", BackendError, False),
        (403, "AuthenticationFailed", EnvironmentNotReady, None),
        (403, "InsufficientAccountPermissions", EnvironmentNotReady, None),
        (401, "Unheard", EnvironmentNotReady, None),
        (400, "InvalidPropertyValue", BackendError, False),
    ],
)
def test_an_answer_becomes_an_error_by_its_code(
    service: Any,
    account: Account,
    status: int,
    name: str,
    kind: type[BatchcoreError],
    transient: bool | None,
):
    service.answer("/pools/p", refused(status, name, "Oh no."))
    error = asking(account)
    assert type(error) is kind
    assert getattr(error, "transient", None) is transient
    assert error.reason == f"Azure failed while asking: Oh no. ({name})"
    assert error.hint


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_again_when_it_says(service: Any, account: Account, status: int):
    service.answer("/pools/p", refused(status, "Unheard", **{"Retry-After": "77"}))
    error = asking(account)
    assert isinstance(error, BackendError)
    assert error.transient
    assert error.retry_after == 77


def test_every_code_has_a_hint():
    assert all(meaning.hint for meaning in CODES.values())


def test_the_details_of_a_refusal_are_told(service: Any, account: Account):
    status, body, headers = refused(400, "InvalidPropertyValue", "A value is wrong.")
    body["values"] = [
        {"key": "PropertyName", "value": "vmSize"},
        {"key": "Reason", "value": "no such size"},
    ]
    service.answer("/pools/p", (status, body, headers))
    assert asking(account).reason == (
        "Azure failed while asking: A value is wrong.; PropertyName: vmSize; "
        "Reason: no such size (InvalidPropertyValue)"
    )


@pytest.mark.parametrize(("minutes", "side"), [(20, "behind"), (-20, "ahead of")])
def test_a_clock_that_is_wrong_is_named(
    service: Any, account: Account, minutes: int, side: str, monkeypatch: pytest.MonkeyPatch
):
    there = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes)
    service.date = format_datetime(there, usegmt=True)
    service.answer("/pools/p", refused(403, "AuthenticationFailed"))
    error = asking(account)
    assert f"this machine's clock is 20 min {side} Azure's" in error.reason
    assert "timedatectl" in error.hint


def test_a_clock_that_is_right_is_not_blamed(service: Any, account: Account):
    service.answer("/pools/p", refused(403, "AuthenticationFailed"))
    assert "clock" not in asking(account).reason


def test_a_date_that_names_no_zone_says_nothing_of_the_clock(service: Any, account: Account):
    service.date = "Mon, 01 Jan 2024 00:00:00 -0000"
    service.answer("/pools/p", refused(403, "AuthenticationFailed"))
    assert "clock" not in asking(account).reason


def test_a_streamed_answer_has_its_code_too(service: Any, account: Account):
    path = "/jobs/j/tasks/t/files/stdout.txt"
    service.answer(path, refused(409, "TaskFilesUnavailable", "They are gone."))
    with pytest.raises(AzureError) as caught:
        account.batch.download_task_file("j", "t", "stdout.txt")
    assert code(caught.value) == "TaskFilesUnavailable"
    with pytest.raises(BackendError) as told, azure_errors("reading"):
        raise caught.value
    assert told.value.reason == "Azure failed while reading: They are gone. (TaskFilesUnavailable)"


def test_an_error_of_the_blobs_has_its_code_too(service: Any, account: Account):
    headers = {"x-ms-error-code": "ContainerBeingDeleted"}
    service.answer("/store/c", (409, None, headers))
    with pytest.raises(BackendError) as caught, azure_errors("making a container"):
        account.blobs.create_container("c")
    assert caught.value.transient
    assert "ContainerBeingDeleted" in caught.value.reason


@pytest.mark.parametrize("body", [None, "<html>busy</html>", [1], {"message": "odd"}])
def test_an_answer_that_is_none_of_batchs_is_understood_by_its_status(
    service: Any, account: Account, body: Any
):
    service.answer("/pools/p", (403, body, {}))
    error = asking(account)
    assert isinstance(error, EnvironmentNotReady)
    assert "403" in error.reason


def test_no_answer_is_transient():
    with pytest.raises(BackendError) as caught, azure_errors("asking"):
        raise ServiceRequestError("Connection refused")
    assert caught.value.transient
    assert "endpoint" in caught.value.hint


def test_without_any_way_to_sign_in_the_ways_are_named():
    with pytest.raises(EnvironmentNotReady) as caught, azure_errors("asking"):
        raise ClientAuthenticationError("DefaultAzureCredential failed to retrieve a token")
    assert "az login" in caught.value.hint


def test_our_own_errors_pass_unaltered():
    own = Conflict("as it was")
    with pytest.raises(Conflict) as caught, azure_errors("asking"):
        raise own
    assert caught.value is own


@pytest.mark.parametrize("where", ["message", "cause"])
def test_no_traceback_shows_a_credential(where: str):
    cause = OSError(SECRET_URL if where == "cause" else "broken pipe")
    text = SECRET_URL if where == "message" else "no answer"
    with pytest.raises(BackendError) as caught, azure_errors("asking"):
        raise ServiceRequestError(text, error=cause) from cause
    shown = "".join(traceback.format_exception(caught.value))
    assert "BackendError" in shown
    assert "CANARY" not in shown


def test_a_cause_that_holds_no_credential_stays_in_the_traceback():
    with pytest.raises(BackendError) as caught, azure_errors("asking"):
        raise ServiceRequestError("Connection refused")
    assert isinstance(caught.value.__cause__, ServiceRequestError)
