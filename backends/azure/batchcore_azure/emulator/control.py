"""Routes that no Azure has: faults, accidents and the log of requests, for tests over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from batchcore_azure.emulator.faults import Fault, Faults, Requests
from batchcore_azure.emulator.records import Body, Refusal
from batchcore_azure.emulator.settings import Quota
from batchcore_azure.emulator.state import State

Order = TypeVar("Order")


class NodeOrder(Struct, forbid_unknown_fields=True):
    """Names a node."""

    pool: str
    node: str


class ResizeOrder(Struct, forbid_unknown_fields=True):
    """Names a pool, and the errors of its next resize."""

    pool: str
    errors: list[Body]


class StartTaskOrder(Struct, forbid_unknown_fields=True):
    """Names a pool, and the exit code of its start tasks; none runs them again."""

    pool: str
    exit_code: int | None = None


def routes(state: State, faults: Faults, requests: Requests) -> list[Route]:
    """Return the control routes; none of them asks for a signature."""

    def preempt(order: NodeOrder) -> None:
        state.preempt_node(order.pool, order.node)

    def lose(order: NodeOrder) -> None:
        state.lose_node(order.pool, order.node)

    def resize_errors(order: ResizeOrder) -> None:
        state.order_resize_errors(order.pool, order.errors)

    def start_task(order: StartTaskOrder) -> None:
        state.order_start_task_exit(order.pool, order.exit_code)

    def set_quota(quota: Quota) -> None:
        state.quota = quota

    def plan(wanted: list[Fault]) -> None:
        faults.add(*wanted)

    return [
        _order("faults", list[Fault], plan),
        _order("preempt-node", NodeOrder, preempt),
        _order("lose-node", NodeOrder, lose),
        _order("resize-errors", ResizeOrder, resize_errors),
        _order("start-task-exit", StartTaskOrder, start_task),
        _order("quota", Quota, set_quota),
        _simple("faults", "DELETE", faults.clear),
        _simple("requests", "GET", requests.seen),
        _simple("requests", "DELETE", requests.clear),
        _simple("settle", "POST", state.settle),
    ]


def _order(name: str, kind: type[Order] | Any, carry_out: Callable[[Order], None]) -> Route:
    """Return a route that takes one JSON value: 204, or 400 and 404 with the reason as text."""

    async def endpoint(request: Request) -> Response:
        try:
            carry_out(msgspec.json.decode(await request.body(), type=kind))
        except msgspec.MsgspecError as exc:
            return Response(str(exc), 400)
        except Refusal as exc:
            return Response(str(exc), exc.status)
        return Response(status_code=204)

    return Route(f"/_emulator/{name}", endpoint, methods=["POST"])


def _simple(name: str, method: str, run: Callable[[], object]) -> Route:
    """Return a route that takes nothing and answers what its function returns, as JSON."""

    async def endpoint(request: Request) -> Response:  # noqa: ARG001 - Starlette's form
        found = run()
        return Response(msgspec.json.encode(found), 200, media_type="application/json")

    return Route(f"/_emulator/{name}", endpoint, methods=[method])
