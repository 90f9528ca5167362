"""Azurite, Microsoft's emulator of blob storage: found on this machine, started and stopped."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from batchcore.errors import EnvironmentNotReady
from batchcore_azure.emulator.startable import Startable

VARIABLE = "BATCHCORE_AZURITE"
PROGRAM = "azurite-blob"
ACCOUNT = "bcstorage"
KEY = "CANARYbatchcoreEmulatorStorageKeyKnownToAll="  # 32 bytes, as a real one is base64

_START_SECONDS = 60
_STOP_SECONDS = 10
# Azurite 3.35 says "Azurite Blob service successfully listens on http://127.0.0.1:PORT".
_LISTENS = re.compile(r"successfully listen\w* (?:on|at) http://[^:\s]+:(\d+)")
_OPTIONS = (
    "--silent",
    "--disableTelemetry",
    "--inMemoryPersistence",
    # The SDK may be newer than Azurite; it still sends nothing that Azurite does not know.
    "--skipApiVersionCheck",
    "--blobHost",
    "127.0.0.1",
    "--blobPort",
)


class Storage(Struct, frozen=True):
    """A storage account; `url` is the URL of its blobs."""

    account: str
    key: str
    url: str

    def __repr__(self) -> str:
        return f"Storage({self.account!r}, {self.url!r})"

    @property
    def connection_string(self) -> str:
        """The connection string that tools and SDKs take."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={self.account};"
            f"AccountKey={self.key};BlobEndpoint={self.url};"
        )


def find() -> list[str]:
    """Return the command that starts Azurite's blob service, without options.

    Looked for: the command in ``BATCHCORE_AZURITE``; `azurite-blob` on PATH; then in
    ``node_modules``, of this Python's environment (where `tools/azurite.py` installs it) and of
    the current directory. Raises `EnvironmentNotReady` where there is none, or the variable has a
    quote without its end.
    """
    if given := os.environ.get(VARIABLE):
        try:
            return shlex.split(given)
        except ValueError as error:
            raise EnvironmentNotReady(
                f"{VARIABLE} is no command: {error}", hint="quote it as for a shell"
            ) from error
    places = (
        shutil.which(PROGRAM),
        Path(sys.prefix, "azurite", "node_modules", ".bin", PROGRAM),
        Path("node_modules", ".bin", PROGRAM).absolute(),
    )
    for place in places:
        if place and os.access(place, os.X_OK):
            return [str(place)]
    raise EnvironmentNotReady(
        "Azurite is not on this machine",
        hint=f"type `npm install -g azurite`, or set {VARIABLE} to the command that starts it",
    )


class Azurite(Startable):
    """A process with blobs in memory, on a free loopback port; `storage` says where.

    The account is one of its own, not Azurite's well-known one, so that nothing meant for another
    Azurite can reach it.
    """

    def __init__(self, command: Sequence[str] = ()) -> None:
        """Keep the command, default that of `find`."""
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._answered = threading.Event()
        self._lines: list[str] = []
        self._port = 0

    @property
    def storage(self) -> Storage:
        """The account; its port is known once it has started."""
        return Storage(ACCOUNT, KEY, f"http://127.0.0.1:{self._port}/{ACCOUNT}")

    def start(self) -> None:
        """Start it and wait until it listens; raises `EnvironmentNotReady` with what it said."""
        command = [*(self._command or find()), *_OPTIONS, "0"]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
                # Ctrl-C must stop its client first.
                start_new_session=True,
            )
        except OSError as error:
            raise EnvironmentNotReady(
                f"Azurite cannot be started: {error}", hint=f"check {VARIABLE}"
            ) from error
        self._reader = threading.Thread(target=self._read, name="azurite", daemon=True)
        self._reader.start()
        self._answered.wait(_START_SECONDS)
        if not self._port:
            self.stop()
            raise EnvironmentNotReady(
                "Azurite does not come up: " + (" ".join(self._lines[-5:]) or "it says nothing"),
                hint=f"try `{shlex.join(command)}`",
            )

    def stop(self) -> None:
        """End it with all its blobs, and what started it; may be called again."""
        process, self._process = self._process, None
        if process is None:
            return
        # The command may be a script whose child is what serves.
        _signal_all(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
        _signal_all(process, signal.SIGKILL)
        process.wait()
        if self._reader is not None:
            self._reader.join()

    def _read(self) -> None:
        """Read what it says, to its end: a full pipe would stop it."""
        stream = self._process.stdout if self._process else None
        if stream is None:
            return
        with stream:
            for line in stream:
                if self._port:
                    continue
                self._lines.append(line.strip())
                if found := _LISTENS.search(line):
                    self._port = int(found[1])
                    self._answered.set()
        self._answered.set()


def _signal_all(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal a process that leads a session, and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
