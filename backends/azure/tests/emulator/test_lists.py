"""Lists: pages, filters and selected properties."""

from __future__ import annotations

from contextlib import suppress

import pytest
from azure.core.exceptions import HttpResponseError
from hypothesis import given
from hypothesis import strategies as st

from batchcore_azure.emulator import filters
from batchcore_azure.emulator.records import Refusal

BODY = {
    "id": "Sweep-1",
    "state": "completed",
    "stateTransitionTime": "2026-11-22T10:00:00.500000Z",
    "executionInfo": {"exitCode": 3, "result": "failure"},
}
NAMES = frozenset({"id", "state", "stateTransitionTime", "executionInfo", "nodeInfo"})


def fill(service, job, number):
    for n in range(number):
        service.state.add_task(job, {"id": f"t{n}", "commandLine": "true"})


def test_2500_tasks_come_in_three_pages_and_in_order(client, service, job):
    fill(service, job, 2500)
    found = [task.id for task in client.list_tasks(job, select=["id"])]
    assert found == [f"t{n}" for n in range(2500)]
    assert service.requests.count("GET", "/jobs/*/tasks") == 3


def test_a_page_is_no_longer_than_asked_for_and_tells_the_next(send, service, job):
    fill(service, job, 3)
    page = send("GET", f"/jobs/{job}/tasks?maxresults=2&$select=id").json()
    assert page.keys() == {"odata.metadata", "value", "odata.nextLink"}
    assert page["odata.metadata"].endswith("/$metadata#tasks")
    assert page["value"] == [{"id": "t0"}, {"id": "t1"}]
    link = page["odata.nextLink"]
    assert link.startswith(f"{service.url}/jobs/{job}/tasks?")
    assert "$skiptoken=" in link
    assert "maxresults=2" in link
    last = send("GET", f"/jobs/{job}/tasks?maxresults=2&$skiptoken={link.split('token=')[1]}")
    assert [task["id"] for task in last.json()["value"]] == ["t2"]
    assert "odata.nextLink" not in last.json()


def test_a_service_may_give_shorter_pages_than_asked_for_and_empty_ones(serve, connect, pool):
    service = serve(page_size=2, empty_pages=True)
    service.state.create_pool(
        {
            "id": "p",
            "vmSize": "Standard_D4s_v5",
            "virtualMachineConfiguration": {
                "imageReference": {"virtualMachineImageId": "/mine"},
                "nodeAgentSKUId": "batch.node.ubuntu 24.04",
            },
        }
    )
    service.state.create_job({"id": "j", "poolInfo": {"poolId": "p"}})
    fill(service, "j", 5)
    assert len(list(connect(service).list_tasks("j"))) == 5
    assert service.requests.count("GET", "/jobs/j/tasks") == 6


def test_what_is_deleted_between_two_pages_hides_nothing_else(client, service, job):
    fill(service, job, 4)
    pages = client.list_tasks(job, max_results=2).by_page()
    first = [task.id for task in next(pages)]
    client.delete_task(job, "t0")
    assert first + [task.id for task in next(pages)] == ["t0", "t1", "t2", "t3"]


@pytest.mark.parametrize("number", ["0", "1001", "many"])
def test_a_page_has_from_1_to_1000_items(send, job, number):
    answer = send("GET", f"/jobs?maxresults={number}")
    assert (answer.status_code, answer.json()["code"]) == (400, "OutOfRangeQueryParameterValue")


def test_a_token_of_nobody_is_refused(send):
    answer = send("GET", "/jobs?$skiptoken=abc")
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidQueryParameterValue")


def test_a_list_tells_only_what_is_selected_and_complex_properties_whole(client, service, job):
    fill(service, job, 1)
    (task,) = client.list_tasks(job, select=["id", "executionInfo"])
    assert (task.id, task.execution_info.retry_count) == ("t0", 0)
    assert task.state is None


def test_a_filter_by_state_and_time_gives_what_changed(client, service, clock, job, running):
    fill(service, job, 2)
    clock.advance(60)
    since = service.state.stamp()
    clock.advance(1)
    service.state.set_task_state(job, "task", "completed", result="success")
    changed = client.list_tasks(job, filter=f"stateTransitionTime ge DateTime'{since}'")
    assert [task.id for task in changed] == ["task"]
    waiting = client.list_tasks(job, filter="state ne 'completed'")
    assert [task.id for task in waiting] == ["t0", "t1"]


def test_a_filter_that_cannot_be_read_is_refused(client, job):
    with pytest.raises(HttpResponseError) as caught:
        list(client.list_tasks(job, filter="State eq 'active'"))
    error = caught.value.error or caught.value.model
    assert (caught.value.status_code, error.code) == (400, "InvalidQueryParameterValue")


@pytest.mark.parametrize(
    "text",
    [
        "state eq 'completed'",
        "state eq 'Completed'",
        "state ne 'active' and id eq 'sweep-1'",
        "startswith(id,'sweep')",
        "(state eq 'active') or startswith(id, 'Sweep-')",
        "state eq 'active' and id eq 'x' or id eq 'Sweep-1'",
        "executionInfo/exitCode lt 0 or executionInfo/exitCode gt 0",
        "executionInfo/exitCode eq 3",
        "executionInfo/result eq 'failure'",
        "nodeInfo eq null",
        "nodeInfo/nodeId ne 'a'",
        "stateTransitionTime gt DateTime'2026-11-22T10:00:00Z'",
        "stateTransitionTime ge datetime'2026-11-22T10:00:00.5Z'",
        "stateTransitionTime le DateTime'2026-11-22T12:00:00+02:00' or id eq 'sweep-1'",
        "stateTransitionTime lt DateTime'2026-11-22T10:00:01'",
    ],
)
def test_these_filters_take_the_task(text):
    assert filters.compiled(text, NAMES)(BODY)


@pytest.mark.parametrize(
    "text",
    [
        "state ne 'completed'",
        "startswith(id,'weep')",
        "state eq 'completed' and id eq 'other'",
        "executionInfo/exitCode gt 3",
        "nodeInfo/slots gt 0",
        "nodeInfo/slots lt 0",
        "stateTransitionTime gt DateTime'2026-11-22T10:00:00.5Z'",
        "executionInfo gt 3",
        "id gt DateTime'2026-11-22T10:00:00Z'",
        "executionInfo/exitCode lt DateTime'2026-11-22T10:00:00Z'",
        "id lt 3",
    ],
)
def test_these_filters_do_not(text):
    assert not filters.compiled(text, NAMES)(BODY)


@pytest.mark.parametrize(
    "text",
    [
        "state",
        "state eq",
        "state eq completed",
        "state is 'completed'",
        "(state eq 'completed'",
        "state eq 'completed' state",
        "state eq 'completed",
        "ID eq 'x'",
        "stateTransitionTime gt DateTime'yesterday'",
        "startswith(id 'x')",
    ],
)
def test_these_filters_are_refused(text):
    with pytest.raises(Refusal) as caught:
        filters.compiled(text, NAMES)
    assert (caught.value.status, caught.value.code) == (400, "InvalidQueryParameterValue")


WORDS = [
    "(",
    ")",
    ",",
    "and",
    "or",
    "startswith",
    "id",
    "executionInfo/exitCode",
    "eq",
    "lt",
    "'a'",
]


@given(st.lists(st.sampled_from([*WORDS, "1", "true", "null", "DateTime'2026-01-01'", "$"])))
def test_any_text_is_a_filter_or_refused(words):
    with suppress(Refusal):
        assert filters.compiled(" ".join(words), NAMES)(BODY) in {True, False}


def test_a_quote_in_a_text_is_doubled():
    assert filters.compiled("id eq 'it''s'", NAMES)({"id": "it's"})
