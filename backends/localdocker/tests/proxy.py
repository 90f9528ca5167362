"""A socket in front of a daemon's own, which can answer with an error or not at all."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_REFUSAL = b'{"message":"the disk is on fire"}'
_ANSWER = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_REFUSAL), _REFUSAL)
)


class FaultProxy(socketserver.ThreadingUnixStreamServer):
    """Passes everything on until `fail` or `hang`; `host` is what ``DOCKER_HOST`` should be."""

    daemon_threads = True

    def __init__(self, path: Path, upstream: Path) -> None:
        super().__init__(str(path), _Pump)
        self.host = f"unix://{path}"
        self.upstream = upstream
        self.mode = "pass"
        self._faulty = threading.Event()
        self._open: set[socket.socket] = set()

    def fail(self) -> None:
        """Answer every request with status 500 from now on."""
        self._become("fail")

    def hang(self) -> None:
        """Accept requests and answer none from now on."""
        self._become("hang")

    def truncate(self) -> None:
        """Break off every answer halfway from now on."""
        self._become("truncate")

    def mend(self) -> None:
        """Pass everything on again."""
        self._become("pass")

    def keep(self, *connections: socket.socket) -> None:
        self._open.update(connections)

    def heard(self) -> None:
        """Wait until a request has met the fault."""
        assert self._faulty.wait(timeout=60)

    def note(self) -> None:
        self._faulty.set()

    def _become(self, mode: str) -> None:
        self.mode = mode
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that this proxy has broken off."""


class _Pump(socketserver.BaseRequestHandler):
    server: FaultProxy

    def handle(self) -> None:
        self.server.keep(self.request)
        if self.server.mode in {"pass", "truncate"}:
            self._pass_on()
        elif self.request.recv(65536):
            self.server.note()
            if self.server.mode == "fail":
                self.request.sendall(_ANSWER)
            while self.request.recv(65536):
                pass

    def _pass_on(self) -> None:
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(str(self.server.upstream))
            self.server.keep(daemon)
            halve = self.server.mode == "truncate"
            back = threading.Thread(target=_copy, args=[daemon, self.request, halve])
            back.start()
            _copy(self.request, daemon)
            back.join()


def _copy(source: socket.socket, target: socket.socket, halve: bool = False) -> None:
    """Copy until either side ends, or half of what comes first; the other one is then told."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data[: len(data) // 2] if halve else data)
            if halve:
                break
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def fault_proxy(path: Path, upstream: Path) -> Iterator[FaultProxy]:
    """Serve until the block ends."""
    with FaultProxy(path, upstream) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield server
        finally:
            server.mend()
            server.shutdown()
            thread.join()
