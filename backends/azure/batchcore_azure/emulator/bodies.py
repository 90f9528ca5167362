"""What the service's answers look like: envelopes, pages, counts and errors."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, field

from batchcore_azure.emulator.ground import stamp
from batchcore_azure.emulator.records import Body, FileFact, Node, Refusal, Task

NODE_STATES = (
    "creating",
    "idle",
    "leavingPool",
    "offline",
    "preempted",
    "rebooting",
    "reimaging",
    "running",
    "starting",
    "startTaskFailed",
    "unknown",
    "unusable",
    "waitingForStartTask",
    "deallocated",
    "deallocating",
    "upgradingOS",
)
_SECRETS = {"password", "accountKey", "sasKey", "accessToken"}


class Answer(Struct):
    """One answer: `body` is JSON to be encoded, or bytes as they are."""

    status: int = 200
    body: Body | bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """Return the bytes of the body."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


class Page(Struct, frozen=True, kw_only=True):
    """Which part of a list is asked for."""

    address: str
    query: dict[str, str]
    longest: int
    empty: bool = False


def http_time(text: str) -> str:
    """Return a time of a body as headers write it."""
    return datetime.fromisoformat(text).strftime("%a, %d %b %Y %H:%M:%S GMT")


def tags(body: Body) -> dict[str, str]:
    """Return the headers that tell the version of an entity."""
    return {"ETag": body["eTag"], "Last-Modified": http_time(body["lastModified"])}


def created(url: str, body: Body) -> Answer:
    """Return the answer to the creation of something."""
    return Answer(201, None, {"Location": url, "DataServiceId": url, **tags(body)})


def entity(account_url: str, kind: str, body: Body, select: str | None = None) -> Answer:
    """Return one entity, or the properties of it that are asked for."""
    context = {"odata.metadata": f"{account_url}/$metadata#{kind}/@Element"}
    headers = tags(body) if "eTag" in body else {}
    return Answer(200, context | selected(public(body), select), headers)


def selected(body: Body, select: str | None) -> Body:
    """Return the properties that `$select` names; all where it names none."""
    if not select:
        return body
    names = {name.strip().split("/")[0] for name in select.split(",")}
    return {name: value for name, value in body.items() if name in names}


def public(body: Any) -> Any:
    """Return a body without what the service takes but never tells, as passwords."""
    if isinstance(body, dict):
        return {name: public(value) for name, value in body.items() if name not in _SECRETS}
    return [public(value) for value in body] if isinstance(body, list) else body


# -- lists


def listed(
    account_url: str,
    kind: str,
    numbered: Sequence[tuple[int, Body]],
    test: Callable[[Body], bool],
    page: Page,
) -> Answer:
    """Return one page of a list and, if there is more, the link to the next.

    A page starts behind the number that its link carries, so that nothing is left out or shown
    twice when what is listed changes between two pages.
    """
    after, emptied = _position(page.query.get("$skiptoken"))
    if page.empty and not emptied:
        shown, link = [], _token(after, emptied=True)
    else:
        wanted = (pair for pair in numbered if pair[0] > after and test(pair[1]))
        found = list(islice(wanted, page.longest + 1))
        shown = found[: page.longest]
        link = _token(shown[-1][0], emptied=False) if len(found) > len(shown) else ""
    select = page.query.get("$select")
    answer: Body = {
        "odata.metadata": f"{account_url}/$metadata#{kind}",
        "value": [selected(public(body), select) for _, body in shown],
    }
    if link:
        query = {name: value for name, value in page.query.items() if name != "$skiptoken"}
        text = urlencode({**query, "$skiptoken": link}, quote_via=quote, safe="$:=,'()")
        answer["odata.nextLink"] = f"{page.address}?{text}"
    return Answer(200, answer)


def _token(after: int, *, emptied: bool) -> str:
    inner = base64.b64encode(f"{after}.{int(emptied)}".encode()).decode()
    return f"WATV2:{inner}:1$1"


def _position(token: str | None) -> tuple[int, bool]:
    if token is None:
        return 0, False
    try:
        _, inner, _ = token.split(":")
        after, emptied = base64.b64decode(inner, validate=True).decode().split(".")
        return int(after), emptied == "1"
    except ValueError:
        raise Refusal(
            400,
            "InvalidQueryParameterValue",
            "Value for one of the query parameters specified in the request URI is invalid.",
            QueryParameterName="$skiptoken",
            QueryParameterValue=token,
        ) from None


# -- counts


def task_counts(account_url: str, tasks: Iterable[Task], now: datetime, delay: float) -> Answer:
    """Return how many tasks there are in each state, as it was `delay` seconds ago."""
    seen = stamp(now - timedelta(seconds=delay))
    tasks_by, slots_by = _zero(), _zero()
    for task in tasks:
        for name in _counted_as(task.body, seen):
            tasks_by[name] += 1
            slots_by[name] += task.body["requiredSlots"]
    return Answer(
        200,
        {
            "odata.metadata": f"{account_url}/$metadata#taskcountsresult/@Element",
            "taskCounts": tasks_by,
            "taskSlotCounts": slots_by,
        },
    )


def _zero() -> dict[str, int]:
    return dict.fromkeys(("active", "running", "completed", "succeeded", "failed"), 0)


def _counted_as(body: Body, seen: str) -> list[str]:
    if body["creationTime"] > seen:
        return []
    if body["stateTransitionTime"] > seen:
        return [body.get("previousState", "active")]
    if body["state"] != "completed":
        return [body["state"]]
    failed = body["executionInfo"].get("result") != "success"
    return ["completed", "failed" if failed else "succeeded"]


def node_counts(pool_id: str, nodes: Iterable[Node]) -> Body:
    """Return how many nodes of a pool are in each state."""
    names = {name.lower(): name for name in NODE_STATES}
    kinds = {True: dict.fromkeys(NODE_STATES, 0), False: dict.fromkeys(NODE_STATES, 0)}
    for node in nodes:
        kinds[node.body["isDedicated"]][names[node.state.lower()]] += 1
    dedicated, spot = (
        {**counts, "total": sum(counts.values())} for counts in (kinds[True], kinds[False])
    )
    return {"poolId": pool_id, "dedicated": dedicated, "lowPriority": spot}


# -- what is added, files, errors


def added(task: Body) -> Body:
    """Return the entry of a collection for a task that was added."""
    return {
        "status": "Success",
        "taskId": task["id"],
        "eTag": task["eTag"],
        "lastModified": task["lastModified"],
        "location": task["url"],
    }


def not_added(task_id: str, status: str, refusal: Refusal, request_id: str, now: datetime) -> Body:
    """Return the entry of a collection for a task that was not added."""
    return {"status": status, "taskId": task_id, "error": problem(refusal, request_id, now)}


def file(fact: FileFact, url: str) -> Body:
    """Return one entry of a list of files, as a Linux node tells it."""
    entry: Body = {"name": fact.name, "url": url, "isDirectory": fact.is_directory}
    if not fact.is_directory:
        entry["properties"] = {
            "lastModified": stamp(fact.modified),
            "contentLength": str(fact.size),
            "contentType": "text/plain",
            "fileMode": f"{fact.mode:04o}",
        }
    return entry


def file_headers(fact: FileFact, url: str) -> dict[str, str]:
    """Return the headers that tell of a file."""
    return {
        "Last-Modified": http_time(stamp(fact.modified)),
        "ocp-batch-file-isdirectory": str(fact.is_directory),
        "ocp-batch-file-mode": f"{fact.mode:04o}",
        "ocp-batch-file-url": quote(url, safe=""),
        "ocp-creation-time": http_time(stamp(fact.modified)),
    }


def problem(refusal: Refusal, request_id: str, now: datetime) -> Body:
    """Return the body that tells of an error."""
    text = f"{refusal.message}\nRequestId:{request_id}\nTime:{stamp(now)}"
    body: Body = {"code": refusal.code, "message": {"lang": "en-US", "value": text}}
    if refusal.details:
        body["values"] = [{"key": key, "value": value} for key, value in refusal.details.items()]
    return body


def error(account_url: str, refusal: Refusal, request_id: str, now: datetime) -> Answer:
    """Return the answer to a request that is refused; one to a condition may have no body."""
    if refusal.status == 304:  # noqa: PLR2004 - Not Modified
        return Answer(304)
    kind = "Microsoft.Azure.Batch.Protocol.Entities.Container.errors"
    context = {"odata.metadata": f"{account_url}/$metadata#{kind}/@Element"}
    return Answer(refusal.status, context | problem(refusal, request_id, now))
