"""Logs: from the machine while a task runs, from storage once they were brought there."""

from __future__ import annotations

from azure.batch import BatchClient  # noqa: TID253 - only loaded once the backend is used
from azure.core.exceptions import HttpResponseError  # noqa: TID253 - as above

from batchcore.backend import LogChunk, RunContext, Stream, TaskSubmission
from batchcore_azure import names
from batchcore_azure.auth import Account
from batchcore_azure.errors import azure_errors, code, status_of
from batchcore_azure.storage import Storage

MOST = 1 << 20
_MOST_PARTS = 100
_ELSEWHERE = frozenset({"TaskNotFound"})
# No task, no machine, no file yet or any more, or not so many bytes.
_NOTHING = frozenset({404, 409, 416})


def read_log(  # noqa: PLR0917 - the contract's arguments, and whom to ask
    account: Account,
    storage: Storage,
    run: RunContext,
    attempt: TaskSubmission,
    stream: Stream,
    offset: int,
) -> LogChunk:
    """Return bytes of a log from `offset` on, at most 1 MiB.

    A log in storage is whole: the machine puts it there when the task has ended. Before that, and
    where it could not, the machine itself is asked.
    """
    kept = storage.read(_url(storage, run, attempt, stream), offset, MOST)
    if kept is not None:
        return LogChunk(kept, complete=len(kept) < MOST)
    with azure_errors(f"reading the log of task {attempt.task.id!r}"):
        data = _from_machine(account.batch, run.run_id, attempt, stream, offset)
    return LogChunk(data, complete=False)


def _url(storage: Storage, run: RunContext, attempt: TaskSubmission, stream: Stream) -> str:
    files = storage.outputs(run, attempt)
    return (files.stdout if stream == "stdout" else files.stderr) or ""


def _from_machine(
    client: BatchClient, run_id: str, attempt: TaskSubmission, stream: Stream, offset: int
) -> bytes:
    name = f"{stream}.txt"
    for part in range(1, _MOST_PARTS):
        job = names.job_id(run_id, attempt.attempt, part)
        try:
            # Of a refused download the SDK cannot tell the code, and it logs a traceback.
            end = min(_size(client, job, attempt.task.id, name), offset + MOST)
            if end <= offset:
                return b""
            chunks = client.download_task_file(
                job, attempt.task.id, name, ocp_range=f"bytes={offset}-{end - 1}"
            )
            return b"".join(chunks)[:MOST]
        except HttpResponseError as exc:
            if code(exc) in _ELSEWHERE:
                continue
            if status_of(exc) not in _NOTHING:
                raise
            break
    return b""


def _size(client: BatchClient, job: str, task_id: str, name: str) -> int:
    """Return how long a file of a task is by now, 0 where there is none."""
    for file in client.list_task_files(job, task_id):
        if file.name == name and file.properties is not None:
            return int(file.properties.content_length)
    return 0
