"""Events of a run as spans; of OpenTelemetry the API alone is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import Struct
from opentelemetry import trace
from opentelemetry.trace import Link, Span, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from batchcore.events import Event, RunEnded, RunLeft, RunStarted, TaskChanged
from batchcore.states import TaskState

FILE = "trace.json"
_W3C = TraceContextTextMapPropagator()


class _OpenTask(Struct):
    """A task whose span has begun; `waiting` since a time for its next attempt."""

    span: Span
    state: TaskState
    waiting: float


class Spans:
    """An observer of runs, one after the other."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """Begin before the first event."""
        self._tracer = trace.get_tracer("batchcore", version("batchcore"), provider)
        self._run_id = ""
        self._run: Span = trace.INVALID_SPAN
        self._tasks: dict[str, _OpenTask] = {}

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case RunStarted():
                self._begin(event)
            case TaskChanged():
                self._change(event)
            case RunEnded():
                for state in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELED):
                    self._run.set_attribute(f"batchcore.tasks.{state}", getattr(event, state))
                if event.failed:
                    _fail(self._run, "tasks_failed", f"{event.failed} failed")
                self._close(event, event.state)
            case RunLeft():
                if event.failed:
                    _fail(self._run, "driver_failed", event.why)
                self._close(event, "left")
            case _:
                pass

    def _begin(self, event: RunStarted) -> None:
        self._close(event, "left")  # a run that was followed, and whose driver has gone
        self._run_id = event.run_id
        self._run = self._tracer.start_span(
            "batchcore.run",
            start_time=_nanoseconds(event.at),
            links=list(_earlier(event.directory)),
            attributes={
                "batchcore.run.id": event.run_id,
                "batchcore.backend": event.backend,
                "batchcore.tasks": event.tasks,
                "batchcore.resumed": event.resumed,
            },
        )
        _remember(event.directory, self._run)

    def _change(self, event: TaskChanged) -> None:
        task = self._tasks.get(event.task_id)
        if task is None:
            task = self._tasks[event.task_id] = self._begin_task(event)
        task.state = event.new
        if event.attempt and (event.new.final or event.reason):
            self._add_attempt(task, event)
        if event.new is TaskState.QUEUED:
            task.waiting = event.at
        if event.new.final:
            _judge(task.span, event)
            self._end_task(self._tasks.pop(event.task_id), event.at)

    def _begin_task(self, event: TaskChanged) -> _OpenTask:
        # One that went on while nobody drove the run has begun before this driver heard of it.
        begun = min(event.at, event.started_at or event.at)
        span = self._span("batchcore.task", self._run, begun, event)
        return _OpenTask(span=span, state=event.new, waiting=begun)

    def _add_attempt(self, task: _OpenTask, event: TaskChanged) -> None:
        """Add the span of an attempt that has ended, with the time in which it ran."""
        start = event.started_at or task.waiting
        span = self._span("batchcore.attempt", task.span, start, event)
        span.set_attribute("batchcore.attempt", event.attempt)
        if event.exit_code is not None:
            span.set_attribute("process.exit.code", event.exit_code)
        _judge(span, event)
        span.end(_nanoseconds(max(event.ended_at or event.at, start)))

    def _span(self, name: str, parent: Span, start: float, event: TaskChanged) -> Span:
        return self._tracer.start_span(
            name,
            context=trace.set_span_in_context(parent),
            start_time=_nanoseconds(start),
            attributes={"batchcore.run.id": self._run_id, "batchcore.task.id": event.task_id},
        )

    def _end_task(self, task: _OpenTask, at: float) -> None:
        task.span.set_attribute("batchcore.state", task.state.value)
        task.span.end(_nanoseconds(at))

    def _close(self, event: Event, state: str) -> None:
        """End the span of the run, and before it those of tasks that are still under way."""
        for task in self._tasks.values():
            self._end_task(task, event.at)
        self._run.set_attribute("batchcore.state", state)
        self._run.end(_nanoseconds(event.at))
        self._run, self._tasks = trace.INVALID_SPAN, {}


def _judge(span: Span, event: TaskChanged) -> None:
    """Mark what failed; a success is left unmarked, as instrumentation should leave it."""
    if event.reason:
        _fail(span, event.reason.value, event.detail)


def _fail(span: Span, kind: str, text: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, text))


def _earlier(directory: str) -> Iterator[Link]:
    """Yield a link to the span of the driver before this one, where that is known."""
    try:
        carrier = msgspec.json.decode(Path(directory, FILE).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return
    context = trace.get_current_span(_W3C.extract(carrier)).get_span_context()
    if context.is_valid:
        yield Link(context)


def _remember(directory: str, span: Span) -> None:
    """Keep the span for the next driver; without that the run itself goes on all the same."""
    if span.get_span_context().is_valid and directory:
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, trace.set_span_in_context(span))
        with suppress(OSError):
            Path(directory, FILE).write_bytes(msgspec.json.encode(carrier))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
