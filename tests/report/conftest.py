"""A real browser, spoken to over the DevTools protocol; `tools/chromium.py` installs it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from batchcore.model import Job, Requirements, Task
from batchcore.plan import plan_job
from batchcore.record import Header, Record, TaskRow, manifest
from batchcore.run import Run
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.collect import Collected
from conftest import lacking

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe"),
)
# What Chromium was told to speak by: it reads from the one and writes to the other.
PIPES = (3, 4)
ABOVE_THEM = 10


class Browser:
    """One page of Chromium; what it says and what it asks for is kept."""

    def __init__(self, program: str, profile: Path) -> None:
        here_read, there_write = os.pipe()
        there_read, here_write = os.pipe()
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, ABOVE_THEM) for fd in (there_read, there_write)]

        def take_ends() -> None:
            for end, pipe in zip(ends, PIPES, strict=True):
                os.dup2(end, pipe)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=PIPES,
            preexec_fn=take_ends,  # noqa: PLW1509 - it calls dup2 and nothing else
        )
        for fd in (there_read, there_write, *ends):
            os.close(fd)
        self._reader, self._writer = os.fdopen(here_read, "rb"), os.fdopen(here_write, "wb")
        self._left, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._writer.write(json.dumps(message).encode() + b"\0")
        self._writer.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def open(self, page: Path, *, width: int = 1200, scheme: str = "light") -> None:
        """Show a file and wait until all of it is there."""
        self.events.clear()
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=media)
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()

    def value(self, script: str) -> Any:
        """Return what an expression of the page's JavaScript is."""
        told = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def said(self) -> list[dict[str, Any]]:
        """Return what the console shows."""
        kinds = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
        return [event for event in self.events if event["method"] in kinds]

    def asked_for(self) -> list[str]:
        """Return the URLs that were requested beside the page itself."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls[1:] if not url.startswith("data:")]

    def picture(self, height: int | None = None) -> bytes:
        """Return a PNG of the page from its top, default the whole of it."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"]}
        shot = self.call(
            "Page.captureScreenshot", clip={**clip, "scale": 1}, captureBeyondViewport=True
        )
        return base64.b64decode(shot["data"])

    def close(self) -> None:
        """End the process."""
        self._session = ""
        self.call("Browser.close")
        self._process.wait(timeout=30)
        self._reader.close()
        self._writer.close()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            more = os.read(self._reader.fileno(), 1 << 20)
            assert more, "Chromium has gone"
            self._left += more
        text, _, self._left = self._left.partition(b"\0")
        message = dict(json.loads(text))
        if "method" in message:
            self.events.append(message)
        return message


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium without a window, with a profile of its own."""
    program = shutil.which("chromium")
    if program is None:
        lacking("there is no Chromium; tools/chromium.py installs it as root on Debian")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


BEGUN = 1_795_000_000.0
REASONS = (
    (FailureReason.EXIT_CODE, 1, "ValueError: negative size"),
    (FailureReason.OUT_OF_MEMORY, 137, "it used more than its 512 MiB"),
    (FailureReason.TIMEOUT, 143, "stopped after its time limit of 600 s"),
)


class Place(Struct):
    """A node that can run one task at a time, and when it is free."""

    name: str
    free: float


class Maker:
    """Makes the directory of a run that nobody ran, from chance that is always the same."""

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        job = Job("simulated", retries=1, requirements=Requirements(cpus=1, memory="512MiB"))
        job = replace(job, tasks=[Task(name, shell="true", image="worker:v1") for name in names])
        plan = plan_job(job, base=directory)
        header = Header(
            run_id="simulated-7f3a0c2b",
            backend="local-docker",
            created_at=BEGUN,
            version="1.2.3",
            spec_hash=plan.spec_hash,
            fingerprint={"worker:v1": "sha256:" + "9c1d" * 16},
            job=job,
            plan=plan,
        )
        self.record = Record.create(directory, header)
        self.rows = self.record.rows()
        self.chance = random.Random(7)

    def simulate(self, nodes: int, *, ended: float = 1.0) -> None:
        """Run the tasks on so many nodes; those behind the part that `ended` run or wait."""
        places = [Place(f"tvm-{n // 4}-slot-{n % 4}", BEGUN + 9) for n in range(nodes)]
        self.record.save_staging(BEGUN + 1, BEGUN + 7.5)
        for number, row in enumerate(self.rows):
            row.submitted_at = BEGUN + 8
            place = min(places, key=lambda place: place.free)
            if number < ended * len(self.rows):
                self._end(row, place)
            elif number < ended * len(self.rows) + nodes:
                row.state, row.attempt = TaskState.RUNNING, 1
                row.started_at, row.node = place.free + 1, place.name
            else:
                row.state, row.attempt = TaskState.QUEUED, 1
        self.record.save(self.rows)
        if ended >= 1:
            self.record.save_meta("state", "failed")

    def _end(self, row: TaskRow, place: Place) -> None:
        row.attempt, row.node, row.exit_code = row.attempt + 1, place.name, 0
        row.started_at = place.free + 0.4
        row.ended_at = row.started_at + self.chance.lognormvariate(3, 0.5)
        row.state, place.free = TaskState.SUCCEEDED, row.ended_at + 0.6
        fate = self.chance.random()
        if fate < 0.02 and row.attempt == 1:
            row.state, row.reason, row.exit_code = TaskState.FAILED, FailureReason.PREEMPTED, None
            row.detail = "the node was taken away"
            self.record.save_attempt(row)
            row.interruptions, row.reason, row.detail = 1, None, ""
            self._end(row, place)
        elif fate > 0.985:
            row.state = TaskState.FAILED
            row.reason, row.exit_code, row.detail = self.chance.choice(REASONS)
            self._write_log(row)
            self.record.save_end(row, ())
        else:
            file = Collected("out.txt", f"{row.id}/out.txt", 20_000, "0" * 64)
            self._publish(row, file)
            self.record.save_end(row, (file,))

    def _publish(self, row: TaskRow, file: Collected) -> None:
        assert row.started_at
        assert row.ended_at
        published = manifest.Published(
            task=row.id,
            attempt=row.attempt,
            files=(file,),
            preparing_at=row.started_at - 0.4,
            collected_at=row.ended_at + 0.6,
        )
        manifest.add(self.record.directory, published)

    def _write_log(self, row: TaskRow) -> None:
        log = self.record.log_path(row.id, row.attempt, "stderr")
        log.parent.mkdir(parents=True)
        log.write_text(f'Traceback (most recent call last):\n  File "/worker.py"\n{row.detail}\n')


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Make a run of so many tasks on so many nodes."""

    @cache
    def make(tasks: int, nodes: int, ended: float = 1.0) -> Run:
        directory = tmp_path_factory.mktemp("run") / "simulated"
        maker = Maker(directory, [f"seed-{n}" for n in range(tasks)])
        with closing(maker.record):
            maker.simulate(nodes, ended=ended)
        return Run.load(directory)

    return make
