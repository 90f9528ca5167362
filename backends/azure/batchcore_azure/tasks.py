"""Putting attempts into jobs: each exactly once, in order, in a job that still takes tasks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec
from azure.core.exceptions import (  # noqa: TID253 - only loaded once the backend is used
    HttpResponseError,
)

from batchcore import crash
from batchcore.backend import RunContext, TaskSubmission
from batchcore.errors import BackendError, Conflict
from batchcore_azure.auth import Account
from batchcore_azure.calls import send
from batchcore_azure.errors import azure_errors, code
from batchcore_azure.jobs import Jobs
from batchcore_azure.outcome import lowered
from batchcore_azure.redaction import redact
from batchcore_azure.translate import MOST_BYTES

MOST_TASKS = 100  # of one request, as are the bytes
MOST_ROUNDS = 6
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_MOST_PARTS = 1_000
_TOO_LARGE = frozenset({"RequestBodyTooLarge", "RequestEntityTooLarge"})
_CLOSED = frozenset({"JobCompleted", "JobBeingTerminated", "JobTerminating", "JobNotActive"})

Body = dict[str, Any]
BodyOf = Callable[[TaskSubmission], Body]


class Rejection(NamedTuple):
    """Why the service took a task in no job: its code and its words."""

    code: str
    text: str


class _Sent(NamedTuple):
    """What became of one request: tasks to send again, ids that were there before, refusals."""

    again: list[Body]
    present: list[str]
    rejected: dict[str, Rejection]


class Tasks:
    """Places attempts in the jobs of their run."""

    def __init__(
        self,
        account: Account,
        jobs: Jobs,
        pause: Callable[[float], None],
        chance: random.Random | None = None,
    ) -> None:
        """Take the jobs; `pause` waits some seconds between tries, `chance` is for the jitter."""
        self._account = account
        self._jobs = jobs
        self._pause = pause
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret

    def place(
        self, run: RunContext, attempt: int, wanted: Sequence[TaskSubmission], body_of: BodyOf
    ) -> tuple[dict[str, str], dict[str, Rejection]]:
        """Have every attempt of this number in one of its jobs.

        Returns the job of each task that is in one, and why the others were refused. What is in
        a job already is adopted. A job that is complete is followed by one with the next part
        number. Raises `Conflict` for a job or a task of the same name that is not this run's, and
        `BackendError` (transient) where the service is busy for too long.
        """
        left = {submission.task.id.lower(): submission for submission in wanted}
        placed: dict[str, str] = {}
        for part in range(1, _MOST_PARTS):
            job = self._jobs.ensure(run, attempt, part)
            if job.may_hold_tasks:
                placed |= self._adopt(job.id, left)
            if not left:
                return placed, {}
            if job.is_open:
                rejected = self._add(job.id, left, body_of)
                if rejected is not None:
                    return placed | dict.fromkeys(_ids(left.values(), rejected), job.id), rejected
                self._jobs.forget(job.id)
                placed |= self._adopt(job.id, left)
        raise BackendError(
            f"every job for attempt {attempt} of run {run.run_id} is complete before it has tasks",
            hint="see who ends them: `az batch job list`",
        )

    def _adopt(self, job: str, left: dict[str, TaskSubmission]) -> dict[str, str]:
        """Take out of `left` what the job holds already."""
        specs = self._jobs.specs(job)
        adopted = [submission for key, submission in left.items() if key in specs]
        for submission in adopted:
            _check_spec(job, submission, specs)
            del left[submission.task.id.lower()]
        return {submission.task.id: job for submission in adopted}

    def _add(
        self, job: str, left: dict[str, TaskSubmission], body_of: BodyOf
    ) -> dict[str, Rejection] | None:
        """Add tasks in order; None where the job turned out to be closed, some may be in then.

        While the service answers one request, the bodies of the next are made.
        """
        wanted = list(left.values())

        def make(first: int) -> list[Body]:
            return [body_of(submission) for submission in wanted[first : first + MOST_TASKS]]

        with ThreadPoolExecutor(1, "body") as maker:
            made = maker.map(make, range(0, len(wanted), MOST_TASKS))
            return self._add_bodies(job, left, chain.from_iterable(made))

    def _add_bodies(
        self, job: str, left: dict[str, TaskSubmission], bodies: Iterator[Body]
    ) -> dict[str, Rejection] | None:
        todo: list[Body] = []
        rejected: dict[str, Rejection] = {}
        present: list[str] = []
        most, rounds = MOST_TASKS, 0
        while todo := [*todo, *islice(bodies, MOST_TASKS - len(todo))]:
            chunk = take_chunk(todo, most)
            with azure_errors(f"adding tasks to the job {job}"):
                try:
                    sent = self._send(job, chunk)
                except HttpResponseError as exc:
                    if code(exc) in _CLOSED:
                        return None
                    if code(exc) == "JobNotFound":
                        raise self._vanished(job) from exc
                    if code(exc) not in _TOO_LARGE:
                        raise
                    if len(chunk) > 1:
                        most = len(chunk) // 2
                        continue
                    sent = _Sent([], [], {chunk[0]["id"]: _too_large(chunk[0])})
            crash.reach("azure.tasks_added")
            present += sent.present
            rejected |= sent.rejected
            todo[: len(chunk)] = sent.again
            rounds = rounds + 1 if sent.again else 0
            if sent.again:
                self._wait(rounds, sent.again)
        if present:
            specs = self._jobs.specs(job)
            for task_id in present:
                _check_spec(job, left[task_id.lower()], specs)
        return rejected

    def _send(self, job: str, chunk: list[Body]) -> _Sent:
        # The SDK's models of 100 tasks and their results take longer than the request.
        path, client = f"/jobs/{job}/addtaskcollection", self._account.batch
        results = send(client, "POST", path, {"value": chunk}).json().get("value") or ()
        entries = {entry["taskId"].lower(): entry for entry in results}
        sent = _Sent([], [], {})
        for body in chunk:
            entry = entries.get(body["id"].lower(), {})
            status = lowered(entry.get("status", "servererror"))
            found, text = _error_of(entry)
            if found == "TaskExists":
                sent.present.append(body["id"])
            elif status == "servererror":
                sent.again.append(body)
            elif status != "success":
                sent.rejected[body["id"]] = Rejection(found or "Unknown", text)
        return sent

    def _vanished(self, job: str) -> BackendError:
        self._jobs.forget(job)
        return BackendError(
            f"the job {job} was deleted while tasks were added to it",
            hint="the same command makes it again",
            transient=True,
        )

    def _wait(self, rounds: int, again: list[Body]) -> None:
        if rounds > MOST_ROUNDS:
            shown = ", ".join(body["id"] for body in again[:3])
            raise BackendError(
                f"Batch does not take {len(again)} tasks, and says only that it failed: {shown}",
                hint="the same command goes on where this one stopped",
                transient=True,
            )
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**rounds)
        self._pause(longest * self._chance.uniform(0.5, 1))


def take_chunk(todo: Sequence[Body], most: int) -> list[Body]:
    """Return the first tasks that one request can carry, at least one."""
    chunk: list[Body] = []
    size = 0
    for body in todo[:most]:
        size += len(msgspec.json.encode(body)) + 2
        if chunk and size > MOST_BYTES:
            break
        chunk.append(body)
    return chunk


def _ids(submissions: Iterable[TaskSubmission], rejected: dict[str, Rejection]) -> Iterable[str]:
    return (s.task.id for s in submissions if s.task.id not in rejected)


def _error_of(entry: Body) -> tuple[str, str]:
    error = entry.get("error")
    if not error:
        return "", ""
    text = str((error.get("message") or {}).get("value") or "")
    details = [f"{item.get('key')}: {item.get('value')}" for item in error.get("values") or ()]
    words = "; ".join([text.split("\n", 1)[0], *details])
    return str(error.get("code") or ""), redact(" ".join(words.split()))


def _too_large(body: Body) -> Rejection:
    resources = len(body.get("resourceFiles") or ())
    text = f"the task is too large for one request; it has {resources} resource files"
    return Rejection("RequestBodyTooLarge", text)


def _check_spec(job: str, submission: TaskSubmission, specs: dict[str, str]) -> None:
    found = specs.get(submission.task.id.lower())
    if found is not None and found != submission.task.spec_hash:
        raise Conflict(
            f"the job {job} has a task {submission.task.id!r} that is not the one of this run",
            hint="start a new run: add --fresh",
            code="BC9001",
        )
