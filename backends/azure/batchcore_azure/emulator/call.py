"""One request as the routes see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from batchcore_azure.emulator import bodies, conditions, filters
from batchcore_azure.emulator.faults import Fault
from batchcore_azure.emulator.records import Body, Files, Pool, Refusal
from batchcore_azure.emulator.state import State


class Evaluate(Protocol):
    """Evaluates an autoscale formula for a pool; raises `ValueError` for one it cannot."""

    def __call__(self, pool: Pool, formula: str) -> str:
        """Return the results, as ``$TargetDedicatedNodes=1;…``."""


def no_nodes(pool: Pool, formula: str) -> str:  # noqa: ARG001 - see Evaluate
    """Take any formula that sets a target, and evaluate it to nothing."""
    if "$Target" not in formula:
        raise ValueError("the formula sets neither of the targets")
    return "$TargetDedicatedNodes=0;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"


class Context(Struct, frozen=True):
    """What answers are made from: the state, the files of the nodes, the scaling formula."""

    state: State
    files: Files
    evaluate: Evaluate


class Call(Struct, frozen=True, kw_only=True):
    """One request: `ids` are the names in its path, `headers` have lower-case names."""

    context: Context
    method: str
    path: str
    ids: Mapping[str, str]
    query: dict[str, str]
    headers: Mapping[str, str]
    content: bytes
    request_id: str
    fault: Fault | None = None

    @property
    def state(self) -> State:
        """The account."""
        return self.context.state

    def sent(self) -> Body:
        """Return the body that was sent, ``{}`` for none, without the notes of an answer.

        A client may send back what it was told. Raises `Refusal` for what is no object.
        """
        if not self.content:
            return {}
        kind = self.headers.get("content-type", "")
        if not kind.startswith("application/json"):
            raise Refusal(
                400, "InvalidHeaderValue", "The value for one of the HTTP headers is invalid."
            )
        try:
            sent = msgspec.json.decode(self.content, type=dict[str, Any])
        except msgspec.DecodeError:
            raise Refusal(
                400, "InvalidRequestBody", "The specified request body is not syntactically valid."
            ) from None
        return {name: value for name, value in sent.items() if not name.startswith("odata.")}

    def check_conditions(self, body: Body) -> None:
        """Raise `Refusal` where a condition of the headers does not hold for an entity."""
        conditions.check(self.method, self.headers, body)

    def entity(self, kind: str, body: Body) -> bodies.Answer:
        """Return one entity."""
        return bodies.entity(self.state.url, kind, body, self.query.get("$select"))

    def listed(
        self, kind: str, numbered: list[tuple[int, Body]], names: frozenset[str] = frozenset()
    ) -> bodies.Answer:
        """Return the page of a list that is asked for; `names` may be filtered by."""
        text = self.query.get("$filter")
        test: Callable[[Body], bool] = filters.compiled(text, names) if text else _any
        return bodies.listed(self.state.url, kind, numbered, test, self._page())

    def _page(self) -> bodies.Page:
        settings = self.state.settings
        forced = self.fault is not None and self.fault.kind == "empty_page"
        return bodies.Page(
            address=f"{self.state.url}{self.path}",
            query=self.query,
            longest=min(self._most(), settings.page_size),
            empty=settings.empty_pages or forced,
        )

    def _most(self) -> int:
        text = self.query.get("maxresults", "1000")
        if not text.isdecimal() or not 1 <= int(text) <= 1000:  # noqa: PLR2004 - the service's own
            raise Refusal(
                400,
                "OutOfRangeQueryParameterValue",
                "A query parameter specified in the request URI is outside the permissible range.",
                QueryParameterName="maxresults",
                QueryParameterValue=text,
            )
        return int(text)


def _any(body: Body) -> bool:  # noqa: ARG001 - every test takes a body
    return True
