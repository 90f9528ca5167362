"""What `fault_proxy` does to an answer."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from batchcore.testing import Fault, fault_proxy


class _Echo(BaseHTTPRequestHandler):
    """Answers with the path, without its slash."""

    def do_GET(self) -> None:
        body = self.path[1:].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[int]:
    """The port of a service."""
    with HTTPServer(("127.0.0.1", 0), _Echo) as service:
        thread = threading.Thread(target=service.serve_forever, args=[0.05])
        thread.start()
        yield service.server_port
        service.shutdown()
        thread.join()


def read(port: int, word: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/{word}") as answer:
        return bytes(answer.read())


@pytest.mark.parametrize(("word", "arrives"), [("abc", b"acc"), ("", b"")])
def test_flip_alters_one_byte_where_there_is_any(upstream, word, arrives) -> None:
    with fault_proxy(upstream) as proxy:
        proxy.add(Fault(kind="flip"))
        assert read(proxy.port, word) == arrives


def test_after_clear_nothing_goes_wrong_any_more(upstream) -> None:
    with fault_proxy(upstream) as proxy:
        proxy.add(Fault(kind="flip", times=2))
        assert read(proxy.port, "abc") == b"acc"
        proxy.clear()
        assert read(proxy.port, "abc") == b"abc"
