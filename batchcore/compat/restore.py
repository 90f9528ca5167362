"""A client as plain data, and the run behind such data where it was begun elsewhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from batchcore.backend import Backend, RunContext
from batchcore.compat.config import Config
from batchcore.errors import NotFound, UsageError
from batchcore.life.attach import rebuild
from batchcore.model import Job
from batchcore.plan import plan_job
from batchcore.record import Header

_HOW = "give from_data what json.load returns for a file that json.dump(client.data, …) wrote"


def to_data(
    config: Config, backend: str, outputs: Iterable[str], header: Header | None
) -> dict[str, Any]:
    """Return what another process needs to collect the results: plain data, no credential."""
    names = [os.path.relpath(path, config.directory) for path in outputs]
    return {
        "config": {**config.clean, "BATCH_DIRECTORY": str(config.directory)},
        "output_files": [Path(name).as_posix() for name in names],
        "backend": backend,
        "run": None if header is None else msgspec.to_builtins(header),
    }


class Data(Struct, frozen=True):
    """The data of a client; that of super_batch itself has neither `backend` nor `run`."""

    config: dict[str, Any]
    output_files: list[str]
    backend: str = ""
    run: Header | None = None


def read_data(data: object) -> Data:
    """Return the parts of what `to_data` has made; raises `UsageError` (permanent) for others."""
    try:
        return msgspec.convert(data, Data)
    except msgspec.ValidationError as exc:
        raise UsageError(f"this is not the data of a client: {exc}", hint=_HOW) from None


def planned(job: Job, run_id: str, backend: str) -> Header:
    """Return the header of a run that has not begun; reads the resources and creates nothing."""
    return Header.new(job, plan_job(job), run_id=run_id, backend=backend)


def adopt(directory: Path, header: Header, backend: Backend) -> None:
    """Make the record of a run that another machine has submitted.

    Raises `NotFound` (permanent) where it has not, or where the backend keeps its runs on the
    machine that began them. Transient: the backend did not answer.
    """
    with tempfile.TemporaryDirectory() as nothing:  # what a local backend would find here
        context = RunContext(run_id=header.run_id, plan=header.plan, directory=Path(nothing))
        updates = backend.poll(context, "", 0).updates
        if not updates:
            raise NotFound(
                f"nothing is known here of the job {header.job.name!r}",
                hint="call run() first; or it has been deleted; a local backend knows its jobs "
                "in their BATCH_DIRECTORY alone",
                where=header.run_id,
            )
    rebuild(directory, header, updates=updates)
