"""Spans of runs, tasks and attempts, as a collector gets them."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import batchcore as bc
from batchcore import otel
from batchcore.errors import Detached, EnvironmentNotReady
from batchcore.events import Event, Observer, RunEnded, RunLeft, RunStarted, TaskChanged
from batchcore.states import FailureReason, TaskState


class Collector:
    """A provider whose spans stay in memory."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))

    def spans(self, name: str, **wanted: Any) -> list[ReadableSpan]:
        """Return the finished spans of a name that have these attributes."""
        return [
            span
            for span in self._kept.get_finished_spans()
            if span.name == f"batchcore.{name}"
            and wanted.items()
            <= {k.rpartition(".")[2]: v for k, v in (span.attributes or {}).items()}.items()
        ]

    def one(self, name: str, **wanted: Any) -> ReadableSpan:
        (span,) = self.spans(name, **wanted)
        return span


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def watch(collector: Collector) -> Observer:
    return otel.observer(collector.provider)


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def seconds(span: ReadableSpan) -> tuple[float, float]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e9, span.end_time / 1e9


def started(directory: Path | str = "", at: float = 100.0, **more: Any) -> RunStarted:
    known = {"tasks": 1, "already_succeeded": 0, "resumed": False, **more}
    return RunStarted(at=at, run_id="demo-1", backend="memory", directory=str(directory), **known)


def changed(at: float, old: str, new: str, attempt: int = 1, **more: Any) -> TaskChanged:
    states = {"old": TaskState(old), "new": TaskState(new)}
    return TaskChanged(at=at, task_id="a", attempt=attempt, **states, **more)


def ended(at: float, **counts: int) -> RunEnded:
    known = {"succeeded": 0, "failed": 0, "canceled": 0, **counts}
    state = next(name for name in ("failed", "canceled", "succeeded") if known[name])
    return RunEnded(at=at, run_id="demo-1", state=state, **known)


def tell(watch: Observer, *events: Event) -> None:
    for event in events:
        watch(event)


def test_a_run_is_a_tree_of_spans(collector: Collector, watch: Observer, tmp_path: Path) -> None:
    job = bc.Job("demo").with_task("good", shell="true").with_task("bad", shell="exit 3")
    run = job.run("local-process", directory=tmp_path / "run", observers=[watch])
    root = collector.one("run")
    tasks = {id_: collector.one("task", id=id_) for id_ in ("good", "bad")}
    assert root.parent is None
    for span in collector.spans("task"):
        assert parent_of(span) == root.context.span_id
        assert (span.attributes or {})["batchcore.run.id"] == run.id
    for span in collector.spans("attempt"):
        task_id = str((span.attributes or {})["batchcore.task.id"])
        assert parent_of(span) == tasks[task_id].context.span_id
    assert len({span.context.trace_id for span in (root, *tasks.values())}) == 1


def test_the_times_of_an_attempt_are_those_of_the_record(
    collector: Collector, watch: Observer, tmp_path: Path
) -> None:
    job = bc.Job("demo").with_task("a", shell="true")
    run = job.run("local-process", directory=tmp_path / "run", observers=[watch])
    task = run.task("a")
    assert seconds(collector.one("attempt")) == pytest.approx((task.started_at, task.ended_at))
    inner, outer = seconds(collector.one("task")), seconds(collector.one("run"))
    assert outer[0] <= inner[0] <= inner[1] <= outer[1]


def test_failures_are_marked_and_successes_left_alone(
    collector: Collector, watch: Observer, tmp_path: Path
) -> None:
    job = bc.Job("demo").with_task("good", shell="true")
    job = job.with_task("bad", shell="echo no number >&2; exit 3")
    job.run("local-process", directory=tmp_path / "run", observers=[watch])
    for name in ("task", "attempt"):
        bad, good = collector.one(name, id="bad"), collector.one(name, id="good")
        assert (bad.status.status_code, good.status.status_code) == (
            StatusCode.ERROR,
            StatusCode.UNSET,
        )
        assert bad.status.description == "no number"
        assert (bad.attributes or {})["error.type"] == "exit_code"
    assert collector.one("attempt", id="bad", code=3)
    root = collector.one("run", state="failed", succeeded=1, failed=1)
    assert root.status.description == "1 failed"


def test_each_attempt_has_a_span(collector: Collector, watch: Observer, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    shell = f"[ -e {flag} ] && exit 0; touch {flag}; exit 9"
    job = bc.Job("demo").with_task("a", shell=shell, retries=1)
    job.run("local-process", directory=tmp_path / "run", observers=[watch])
    first, second = (collector.one("attempt", attempt=number) for number in (1, 2))
    assert (first.status.status_code, second.status.status_code) == (
        StatusCode.ERROR,
        StatusCode.UNSET,
    )
    assert collector.one("task", state="succeeded").status.status_code is StatusCode.UNSET


def test_an_attempt_that_never_started_lasts_while_it_waited(
    collector: Collector, watch: Observer
) -> None:
    failed = {"reason": FailureReason.IMAGE, "detail": "no such image"}
    tell(
        watch,
        started(),
        changed(101.0, "pending", "queued", 0),
        changed(105.0, "preparing", "failed", **failed),
        ended(106.0, failed=1),
    )
    assert seconds(collector.one("attempt")) == (101.0, 105.0)


def test_a_task_that_could_not_start_has_no_attempt(collector: Collector, watch: Observer) -> None:
    failed = {"reason": FailureReason.DEPENDENCY, "detail": "it waits for 'x'"}
    tell(watch, started(), changed(101.0, "pending", "failed", 0, **failed), ended(102.0, failed=1))
    assert collector.spans("attempt") == []
    assert collector.one("task", type="dependency")


def test_a_run_belongs_to_the_span_of_its_caller(
    collector: Collector, watch: Observer, tmp_path: Path
) -> None:
    tracer = collector.provider.get_tracer("caller")
    with tracer.start_as_current_span("nightly") as outer:
        bc.Job("demo").with_task("a", shell="true").run(
            "local-process", directory=tmp_path / "run", observers=[watch]
        )
    assert parent_of(collector.one("run")) == outer.get_span_context().span_id


def test_a_run_that_is_gone_on_with_is_linked_to_the_one_before(
    collector: Collector, watch: Observer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    shell = f"n=0; while [ ! -e {gate} ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done"
    job = bc.Job("demo").with_task("a", shell=shell)

    def leave(event: Event) -> None:
        if isinstance(event, TaskChanged) and event.new is TaskState.RUNNING:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Detached):
        job.run("local-process", directory=tmp_path / "run", observers=[watch, leave])
    left = collector.one("run", state="left")
    assert left.status.status_code is StatusCode.UNSET
    assert collector.one("task", state="running")
    again = otel.observer(collector.provider)  # as another process would make one
    watching = [again, lambda _event: gate.touch()]
    job.run("local-process", directory=tmp_path / "run", observers=watching)
    second = collector.one("run", state="succeeded", resumed=True)
    assert [link.context.span_id for link in second.links] == [left.context.span_id]
    assert second.context.trace_id != left.context.trace_id
    attempt = collector.one("attempt")
    assert seconds(attempt)[0] < seconds(second)[0] < seconds(attempt)[1]


def test_a_driver_that_fails_marks_the_run(collector: Collector, watch: Observer) -> None:
    gone = RunLeft(at=103.0, run_id="demo-1", why="the service is gone", failed=True)
    tell(watch, started(), changed(101.0, "pending", "queued", 0), gone)
    run = collector.one("run", state="left", type="driver_failed")
    assert run.status.description == "the service is gone"
    assert collector.one("task", state="queued").status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("content", ["", "not json", "[]", '{"traceparent": "odd"}'])
def test_a_damaged_note_of_the_last_span_is_no_link(
    collector: Collector, watch: Observer, tmp_path: Path, content: str
) -> None:
    (tmp_path / "trace.json").write_text(content)
    tell(watch, started(tmp_path), ended(101.0, succeeded=1))
    assert collector.one("run").links == ()


def test_one_observer_takes_one_run_after_the_other(collector: Collector, watch: Observer) -> None:
    for at in (100.0, 200.0):
        tell(watch, started(at=at), ended(at + 1, succeeded=1))
    assert [seconds(span) for span in collector.spans("run")] == [(100.0, 101.0), (200.0, 201.0)]


def test_without_a_provider_nothing_is_made(tmp_path: Path) -> None:
    tell(otel.observer(), started(tmp_path), ended(101.0, succeeded=1))
    assert list(tmp_path.iterdir()) == []


def test_without_opentelemetry_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "batchcore.otel.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(EnvironmentNotReady) as caught:
        otel.observer()
    assert caught.value.hint == "pip install opentelemetry-sdk"


def test_running_a_job_does_not_import_opentelemetry(tmp_path: Path) -> None:
    code = (
        "import sys, batchcore as bc\n"
        "bc.Job('demo').with_task('a', shell='true').run('local-process', directory='run')\n"
        "print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "False\n"


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector that speaks OTLP over HTTP: where it listens, and what it got."""
    got: list[ExportTraceServiceRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", got
        server.shutdown()
        thread.join()


def test_the_spans_reach_a_collector_over_http(
    receiver: tuple[str, list[ExportTraceServiceRequest]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address, got = receiver
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(address)))
    job = bc.Job("demo").with_task("a", shell="true")
    job.run("local-process", directory=tmp_path / "run", observers=[otel.observer(provider)])
    provider.shutdown()
    spans = [
        span
        for request in got
        for resource in request.resource_spans
        for scope in resource.scope_spans
        if scope.scope.name == "batchcore"
        for span in scope.spans
    ]
    names = {span.name: span for span in spans}
    assert sorted(names) == ["batchcore.attempt", "batchcore.run", "batchcore.task"]
    assert names["batchcore.attempt"].parent_span_id == names["batchcore.task"].span_id
    assert names["batchcore.task"].parent_span_id == names["batchcore.run"].span_id
