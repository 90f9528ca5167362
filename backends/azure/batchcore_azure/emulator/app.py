"""The emulator's HTTP surface: the table of routes, and what holds for all of them."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from batchcore_azure.emulator import bodies, control, signature
from batchcore_azure.emulator import file_routes as file
from batchcore_azure.emulator import job_routes as job
from batchcore_azure.emulator import pool_routes as pool
from batchcore_azure.emulator import task_routes as task
from batchcore_azure.emulator.bodies import Answer
from batchcore_azure.emulator.broken import Broken
from batchcore_azure.emulator.call import Call, Context
from batchcore_azure.emulator.faults import Fault, Faults, Requests
from batchcore_azure.emulator.records import Refusal

Handler = Callable[[Call], Answer]

_LARGEST_BODY = 1024 * 1024
_POOL, _NODE = "/pools/{pool}", "/pools/{pool}/nodes/{node}"
_JOB, _TASK = "/jobs/{job}", "/jobs/{job}/tasks/{task}"

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/pools", pool.create_pool),
    ("GET", "/pools", pool.list_pools),
    ("GET", _POOL, pool.get_pool),
    ("PATCH", _POOL, pool.patch_pool),
    ("DELETE", _POOL, pool.delete_pool),
    ("POST", f"{_POOL}/updateproperties", pool.replace_pool_properties),
    ("POST", f"{_POOL}/resize", pool.resize_pool),
    ("POST", f"{_POOL}/stopresize", pool.stop_resize),
    ("POST", f"{_POOL}/enableautoscale", pool.enable_autoscale),
    ("POST", f"{_POOL}/disableautoscale", pool.disable_autoscale),
    ("POST", f"{_POOL}/evaluateautoscale", pool.evaluate_autoscale),
    ("POST", f"{_POOL}/removenodes", pool.remove_nodes),
    ("GET", f"{_POOL}/nodes", pool.list_nodes),
    ("GET", _NODE, pool.get_node),
    ("GET", "/nodecounts", pool.count_nodes),
    ("GET", "/supportedimages", pool.list_images),
    ("POST", "/jobs", job.create_job),
    ("GET", "/jobs", job.list_jobs),
    ("GET", _JOB, job.get_job),
    ("PATCH", _JOB, job.patch_job),
    ("PUT", _JOB, job.replace_job),
    ("DELETE", _JOB, job.delete_job),
    ("POST", f"{_JOB}/terminate", job.terminate_job),
    ("POST", f"{_JOB}/disable", job.disable_job),
    ("POST", f"{_JOB}/enable", job.enable_job),
    ("GET", f"{_JOB}/taskcounts", job.count_tasks),
    ("GET", f"{_JOB}/jobpreparationandreleasetaskstatus", job.list_preparations),
    ("POST", f"{_JOB}/tasks", task.add_task),
    ("GET", f"{_JOB}/tasks", task.list_tasks),
    ("POST", f"{_JOB}/addtaskcollection", task.add_tasks),
    ("GET", _TASK, task.get_task),
    ("PUT", _TASK, task.replace_task),
    ("DELETE", _TASK, task.delete_task),
    ("POST", f"{_TASK}/terminate", task.terminate_task),
    ("POST", f"{_TASK}/reactivate", task.reactivate_task),
    ("GET", f"{_TASK}/subtasksinfo", task.list_subtasks),
)
# These read a disk, which may take its time: others are not kept waiting.
FILE_ROUTES: tuple[tuple[str, str, Handler], ...] = tuple(
    route
    for owner in (_NODE, _TASK)
    for route in (
        ("GET", f"{owner}/files", file.list_files),
        ("GET", f"{owner}/files/{{file:path}}", file.get_file),
        ("DELETE", f"{owner}/files/{{file:path}}", file.delete_file),
    )
)


def create_app(context: Context, faults: Faults, requests: Requests) -> ASGIApp:
    """Return the service as an ASGI application; it holds nothing of its own."""
    service = _Service(context)
    routes = [
        Route(path, service.endpoint(handler, lock), methods=[method])
        for table, lock in ((ROUTES, context.state.changed), (FILE_ROUTES, nullcontext()))
        for method, path, handler in table
    ]
    missing = {404: service.no_such_route, 405: service.no_such_verb}
    return Broken(
        Starlette(
            routes=[*control.routes(context.state, faults, requests), *routes],
            exception_handlers=cast("dict[Any, Any]", missing),
        ),
        faults,
        requests,
    )


class _Service:
    """Turns a request into a call of its handler, and what that says into a response."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._state = context.state

    def endpoint(
        self, handler: Handler, lock: AbstractContextManager[Any]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return what Starlette calls for one route; its answer is made holding a lock."""

        async def answer(request: Request) -> Response:
            content = await request.body()
            return await run_in_threadpool(self._respond, handler, request, content, lock)

        return answer

    def _respond(
        self,
        handler: Handler,
        request: Request,
        content: bytes,
        lock: AbstractContextManager[Any],
    ) -> Response:
        request_id = str(uuid.uuid4())
        try:
            self._check(request, content)
            with lock:
                answer = handler(self._call(request, content, request_id))
                return self._response(answer, request_id, request.method)
        except Refusal as exc:
            return self._refuse(exc, request_id, request.method)

    def _check(self, request: Request, content: bytes) -> None:
        signature.verify(
            self._state.settings,
            method=request.method,
            raw_path=request.scope["raw_path"].decode("ascii"),
            query=request.scope["query_string"].decode("ascii"),
            headers=request.headers,
            now=self._state.time(),
        )
        if "api-version" not in request.query_params:
            raise Refusal(
                400, "UnsupportedRequestVersion", "The request names no version of the API."
            )
        if len(content) > _LARGEST_BODY:
            raise Refusal(
                413, "RequestBodyTooLarge", "The size of the request body exceeds the maximum size."
            )

    def _call(self, request: Request, content: bytes, request_id: str) -> Call:
        fault: Fault | None = request.scope.get("fault")
        return Call(
            context=self._context,
            method=request.method,
            path=request.scope["raw_path"].decode("ascii"),
            ids=request.path_params,
            query=dict(request.query_params),
            headers=request.headers,
            content=content,
            request_id=request_id,
            fault=fault,
        )

    def _refuse(self, refusal: Refusal, request_id: str, method: str) -> Response:
        answer = bodies.error(self._state.url, refusal, request_id, self._state.time())
        return self._response(answer, request_id, method)

    def _response(self, answer: Answer, request_id: str, method: str) -> Response:
        kind = (
            "application/octet-stream"
            if isinstance(answer.body, bytes)
            else "application/json;odata=minimalmetadata"
        )
        response = Response(b"" if method == "HEAD" else answer.content(), answer.status)
        response.headers["Content-Type"] = kind
        response.headers["DataServiceVersion"] = "3.0"
        response.headers["request-id"] = request_id
        response.headers["Server"] = "Microsoft-HTTPAPI/2.0"
        for name, value in answer.headers.items():
            response.headers[name] = value
        return response

    async def no_such_route(self, request: Request, _exc: Exception) -> Response:
        """Answer a path that the service does not have."""
        return self._refuse(
            Refusal(404, "ResourceNotFound", "The specified resource does not exist."),
            str(uuid.uuid4()),
            request.method,
        )

    async def no_such_verb(self, request: Request, _exc: Exception) -> Response:
        """Answer a method that a path does not take."""
        return self._refuse(
            Refusal(405, "UnsupportedHttpVerb", "The resource doesn't support this HTTP verb."),
            str(uuid.uuid4()),
            request.method,
        )
