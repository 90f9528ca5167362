"""Carries out the faults that no route can: answers that are late, cut, replaced or never sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchcore_azure.emulator.faults import Fault, Faults, Requests

CONTROL = "/_emulator/"
# Close by a reset instead of an orderly end (socket(7), SO_LINGER with no time).
_RESET = struct.pack("ii", 1, 0)


class Broken:
    """An ASGI application around another: logs each request and breaks those it is told to."""

    def __init__(self, inner: ASGIApp, faults: Faults, requests: Requests) -> None:
        """Stand before the service; control routes pass untouched."""
        self._inner = inner
        self._faults = faults
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._inner(scope, receive, send)
            return
        content = await _content(receive)
        method, path = scope["method"], scope["path"]
        fault = self._faults.pick(method, path)
        query = scope["query_string"].decode("ascii")
        self._requests.note(method, path, query, len(content), fault)
        await self._answer({**scope, "fault": fault}, content, fault, send)

    async def _answer(self, scope: Scope, content: bytes, fault: Fault | None, send: Send) -> None:
        if fault is not None and fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
        breaks = fault is not None and fault.kind in {"status", "reset"}
        messages: list[Message] = []
        if fault is None or not breaks or fault.after_commit:
            messages = await _call(self._inner, scope, content)
        if fault is not None and fault.kind == "status":
            messages = _status(fault)
        if fault is not None and fault.kind == "reset":
            _reset(send)
            return
        if fault is not None and fault.kind == "short_body":
            # The server closes a connection whose answer is shorter than its length.
            body = messages[-1]["body"]
            messages[-1] = {**messages[-1], "body": body[: len(body) // 2], "more_body": True}
        for message in messages:
            await send(message)


async def _content(receive: Receive) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _call(inner: ASGIApp, scope: Scope, content: bytes) -> list[Message]:
    """Return all that an application sends for a request."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    async def keep(message: Message) -> None:
        messages.append(message)

    await inner(scope, receive, keep)
    return messages


def _status(fault: Fault) -> list[Message]:
    body = msgspec.json.encode(
        {"code": fault.code, "message": {"lang": "en-US", "value": fault.message}}
    )
    headers = {
        "content-type": "application/json;odata=minimalmetadata",
        "content-length": str(len(body)),
        **fault.headers,
    }
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return [
        {"type": "http.response.start", "status": fault.status, "headers": pairs},
        {"type": "http.response.body", "body": body},
    ]


def _reset(send: Send) -> None:
    """Break the connection; where there is none, as in a test without a server, raise instead."""
    # ASGI has no message for this: uvicorn's `send` is a method of what owns the connection.
    owner: Any = getattr(send, "__self__", None)
    transport = getattr(owner, "transport", None)
    if transport is None:
        raise ConnectionResetError("a fault broke the connection")
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
