"""An HTTP proxy that goes wrong as a test tells it to, in front of a service that works."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Literal

from msgspec import Struct

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_RESET = struct.pack("ii", 1, 0)


class Fault(Struct, frozen=True, kw_only=True):
    """What goes wrong, and with which requests.

    `method` and `path` are regular expressions; `times` requests that match go wrong, after
    `skip` that do not. The kinds: ``status`` answers with `status` and `headers` and passes
    nothing on; ``refuse`` breaks off before anything is passed on; ``lose`` passes on and breaks
    off without the answer; ``cut`` breaks off after half of the body; ``short`` says that the
    half was all; ``flip`` alters one byte,
    where there is any.
    """

    kind: Literal["status", "refuse", "lose", "cut", "short", "flip"]
    method: str = ".*"
    path: str = ".*"
    status: int = 503
    headers: Mapping[str, str] = MappingProxyType({})
    times: int = 1
    skip: int = 0


class Request(Struct, frozen=True):
    """A request that came: without its query, which may hold a signature."""

    method: str
    path: str


class FaultProxy(ThreadingHTTPServer):
    """Passes requests on to ``127.0.0.1`` at a port; `requests` lists those that came."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: int) -> None:
        """Listen on a free port of the loopback, in front of the port `upstream`."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.requests: list[Request] = []
        self._faults: list[tuple[Fault, list[Request]]] = []
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def add(self, fault: Fault) -> None:
        """Let requests go wrong from now on; where several faults match, the oldest is taken."""
        with self._lock:
            self._faults.append((fault, []))

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._faults = []

    def count(self, method: str, path: str = ".*") -> int:
        """Return how many requests came that match."""
        with self._lock:
            return sum(_matches(method, path, request) for request in self.requests)

    def fault_of(self, request: Request) -> Fault | None:
        """Note a request that came, and return what is to go wrong with it."""
        with self._lock:
            self.requests.append(request)
            for fault, met in self._faults:
                if _matches(fault.method, fault.path, request):
                    met.append(request)
                    if fault.skip < len(met) <= fault.skip + fault.times:
                        return fault
        return None

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that were broken off."""


def _matches(method: str, path: str, request: Request) -> bool:
    return bool(re.fullmatch(method, request.method) and re.search(path, request.path))


class _Handler(BaseHTTPRequestHandler):
    server: FaultProxy
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Take every method the same way."""
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault_of(Request(self.command, self.path.partition("?")[0]))
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            self._answer(fault.status, fault.headers, b"", 0)
            return
        if kind == "refuse":
            self._break_off()
            return
        status, headers, content, length = self._pass_on(body)
        if kind == "lose":
            self._break_off()
            return
        half = len(content) // 2
        if kind == "flip" and content:
            content = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        elif kind == "short":
            content, length = content[:half], half
        elif kind == "cut":
            content = content[:half]
        self._answer(status, headers, content, length)
        if kind == "cut":
            self._break_off()

    def _pass_on(self, body: bytes) -> tuple[int, Mapping[str, str], bytes, int]:
        """Return what the service answers, with the length that it says its body has."""
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        try:
            upstream.request(self.command, self.path, body or None, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
            length = int(answer.headers.get("Content-Length") or len(content))
            return answer.status, dict(answer.headers), content, length
        finally:
            upstream.close()

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes, length: int) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def _break_off(self) -> None:
        """End the connection with a reset, as a service does that dies."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def fault_proxy(upstream: int) -> Iterator[FaultProxy]:
    """Serve until the block ends."""
    with FaultProxy(upstream) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
