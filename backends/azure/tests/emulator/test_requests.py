"""What holds for every request: who may call, errors, conditions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
from azure.batch import models
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ResourceNotFoundError
from hypothesis import given
from hypothesis import strategies as st

from batchcore_azure.emulator.records import Refusal
from batchcore_azure.emulator.settings import KEY, EmulatorSettings
from batchcore_azure.emulator.signature import sign, to_sign, verify

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OTHER_KEY = "CANARYanotherKeyOfNobody".ljust(43, "0") + "="


def refused(call, *args, **kwargs):
    with pytest.raises(HttpResponseError) as caught:
        call(*args, **kwargs)
    return caught.value.status_code, (caught.value.error or caught.value.model).code


# -- signatures


def test_the_key_of_the_account_opens_it(client):
    assert list(client.list_jobs()) == []


def test_another_key_does_not(service, connect):
    assert refused(list, connect(service, OTHER_KEY).list_jobs()) == (403, "AuthenticationFailed")


def test_no_signature_at_all_is_refused(service):
    answer = requests.get(f"{service.url}/jobs?api-version=2025-06-01", timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (401, "AuthenticationFailed")


def test_an_account_may_be_open_to_all(serve):
    service = serve(signed=False)
    answer = requests.get(f"{service.url}/jobs?api-version=2025-06-01", timeout=30)
    assert answer.status_code == 200


@pytest.mark.parametrize(("minutes", "status"), [(14, 200), (16, 403), (-14, 200), (-16, 403)])
def test_a_clock_may_be_a_quarter_of_an_hour_wrong(send, clock, minutes, status):
    clock.advance(60 * minutes)
    assert send("GET", "/jobs").status_code == status


def test_the_clock_may_be_left_alone(serve, connect, clock):
    clock.advance(86_400)
    assert list(connect(serve(skew_seconds=None)).list_jobs()) == []


@pytest.mark.parametrize(
    "header",
    ["SharedKey other:x", "Basic abc", "Bearer CANARY-token", "SharedKey batchemulator:x"],
)
def test_any_other_authorization_is_refused(service, header):
    url = f"{service.url}/jobs?api-version=2025-06-01"
    answer = requests.get(url, headers={"Authorization": header}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (403, "AuthenticationFailed")


def test_a_token_is_taken_where_the_account_takes_tokens(serve):
    token = {"Authorization": "Bearer CANARY-token"}
    url = "{}/jobs?api-version=2025-06-01".format
    assert requests.get(url(serve(tokens=True).url), headers=token, timeout=30).ok
    assert not requests.get(url(serve().url), headers=token, timeout=30).ok


@given(name=st.sampled_from(["timeOut", "timeout", "MaxResults"]), lower=st.booleans())
def test_names_in_the_query_may_be_signed_as_sent_or_in_lower_case(name, lower):
    settings = EmulatorSettings(skew_seconds=None)
    signed = [("api-version", "1"), (name.lower() if lower else name, "a b")]
    headers = {"ocp-date": "x"}
    text = to_sign(settings.account, "GET", "/jobs", signed, headers)
    headers["authorization"] = f"SharedKey {settings.account}:{sign(KEY, text)}"
    request = {"method": "GET", "raw_path": "/jobs", "headers": headers}
    verify(settings, query=f"api-version=1&{name}=a%20b", now=EPOCH, **request)
    with pytest.raises(Refusal):
        verify(settings, query=f"api-version=1&{name}=other", now=EPOCH, **request)


def test_a_key_that_is_no_base64_is_told():
    with pytest.raises(ValueError, match="base64"):
        sign("not base64!", "text")


def test_a_path_is_signed_as_it_was_sent(send, job):
    answer = send("GET", f"/jobs/{job}/tasks/a/files/wd%2Fa%20b.txt")
    assert answer.json()["code"] == "TaskNotFound"


# -- errors


def test_an_error_has_the_envelope_of_the_service(send):
    answer = send("GET", "/jobs/nowhere")
    body = answer.json()
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/json;odata=minimalmetadata"
    assert body.keys() == {"odata.metadata", "code", "message"}
    assert body["odata.metadata"].endswith("Entities.Container.errors/@Element")
    assert body["message"].keys() == {"lang", "value"}
    text, request_id, time = body["message"]["value"].split("\n")
    assert text == "The specified job does not exist."
    assert request_id == f"RequestId:{answer.headers['request-id']}"
    assert time.startswith("Time:2")


def test_a_bad_value_is_named(client, pool):
    with pytest.raises(HttpResponseError) as caught:
        client.create_job({"id": "a b", "poolInfo": {"poolId": pool}})
    details = {one.key: one.value for one in caught.value.model.error_values}
    assert (details["PropertyName"], details["PropertyValue"]) == ("id", "a b")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "ResourceNotFound"),
        ("PATCH", "/jobs", 405, "UnsupportedHttpVerb"),
    ],
)
def test_a_route_that_is_not_there(send, method, path, status, code):
    answer = send(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_request_names_its_version(serve):
    answer = requests.get(f"{serve(signed=False).url}/jobs", timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (400, "UnsupportedRequestVersion")


@pytest.mark.parametrize("content", ["{", "[]", '"text"'])
def test_a_body_is_a_json_object(serve, content):
    answer = requests.post(
        f"{serve(signed=False).url}/jobs?api-version=2025-06-01",
        data=content,
        headers={"Content-Type": "application/json; odata=minimalmetadata"},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidRequestBody")


# -- conditions


def test_a_change_happens_only_to_the_version_that_is_named(client, job):
    old = client.get_job(job)
    higher = models.BatchJobUpdateOptions(priority=1)
    match = MatchConditions.IfNotModified
    client.update_job(job, higher, etag=old.etag, match_condition=match)
    with pytest.raises(ResourceModifiedError) as caught:
        client.update_job(job, higher, etag=old.etag, match_condition=match)
    assert caught.value.status_code == 412


@pytest.mark.parametrize(
    ("method", "header", "value", "status"),
    [
        ("GET", "If-Match", "*", 200),
        ("GET", "If-Match", "0x0", 412),
        ("GET", "If-None-Match", "*", 304),
        ("GET", "If-None-Match", '"0x0"', 200),
        ("PATCH", "If-None-Match", "*", 412),
        ("DELETE", "If-Match", "0x0", 412),
    ],
)
def test_conditions_by_version(send, job, method, header, value, status):
    answer = send(method, f"/jobs/{job}", {"priority": 1} if method == "PATCH" else None,
                  **{header: value})  # fmt: skip
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("header", "hours", "status"),
    [
        ("If-Modified-Since", 1, 304),
        ("If-Modified-Since", -1, 200),
        ("If-Unmodified-Since", 1, 200),
        ("If-Unmodified-Since", -1, 412),
    ],
)
def test_conditions_by_time(send, job, clock, header, hours, status):
    moment = format_datetime(clock() + timedelta(hours=hours), usegmt=True)
    assert send("GET", f"/jobs/{job}", **{header: moment}).status_code == status


def test_a_time_that_cannot_be_read_is_an_invalid_header(send, job):
    answer = send("GET", f"/jobs/{job}", **{"If-Modified-Since": "yesterday"})
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidHeaderValue")


def test_a_condition_on_nothing_is_still_not_found(client):
    with pytest.raises((ResourceModifiedError, ResourceNotFoundError)) as caught:
        client.get_job("nowhere", etag="0x0", match_condition=MatchConditions.IfNotModified)
    assert caught.value.status_code == 404
