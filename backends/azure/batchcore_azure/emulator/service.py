"""The emulator served over HTTP, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import datetime

import uvicorn

from batchcore_azure.emulator.app import create_app
from batchcore_azure.emulator.call import Context, Evaluate, no_nodes
from batchcore_azure.emulator.faults import Faults, Requests
from batchcore_azure.emulator.ground import now
from batchcore_azure.emulator.records import Files, NoFiles
from batchcore_azure.emulator.settings import EmulatorSettings
from batchcore_azure.emulator.startable import Startable
from batchcore_azure.emulator.state import State

# How long an answer that is under way, as one that a fault delays, holds up the end.
_GRACE_SECONDS = 1
_STOP_SECONDS = 30


class Service(Startable):
    """The account on a loopback port: `url` is its endpoint, `state` what it holds.

    The port is taken at once (0: any free one), the answers begin with `start`. It executes
    nothing: a scheduler works on `state`.
    """

    def __init__(
        self,
        settings: EmulatorSettings | None = None,
        *,
        port: int = 0,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Take the port; raises `OSError` where it is taken."""
        self._socket = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.settings = settings or EmulatorSettings()
        self.state = State(self.settings, url=self.url, clock=clock)
        self.faults = Faults()
        self.requests = Requests()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, files: Files | None = None, evaluate: Evaluate = no_nodes) -> None:
        """Answer from now on; `files` answers the file routes, `evaluate` scaling formulas."""
        context = Context(self.state, files or NoFiles(), evaluate)
        app = create_app(context, self.faults, self.requests)
        config = uvicorn.Config(
            app,
            log_level="critical",
            lifespan="off",
            server_header=False,
            http="h11",
            ws="none",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="batch-emulator", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; may be called again, and without a start."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_STOP_SECONDS)
        self._socket.close()
