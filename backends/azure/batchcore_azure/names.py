"""Every id, name and path that a run has on Azure. Pure.

Rules of the service: ids of pools, jobs and tasks are 1 to 64 of ``A-Za-z0-9_-`` and unique
ignoring case; containers are 3 to 63 of ``a-z0-9-`` without two hyphens in a row ("Naming and
Referencing Containers, Blobs, and Metadata", Microsoft Learn).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

LONGEST_ID = 64
_LONGEST_STEM = 40

RUN = "batchcore.run"
SPEC = "batchcore.spec"
VERSION = "batchcore.version"
CONTAINER_RUN = "batchcore_run"  # the metadata of containers takes no dots

_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")
_SUFFIX = re.compile(r"(?:-a(?P<attempt>\d+))?(?:-b(?P<part>\d+))?")


def job_id(run_id: str, attempt: int, part: int = 1) -> str:
    """Return the Batch job for attempts of this number: the run's id, then ``…-a2``, ``…-a3``.

    `part` counts further jobs for the same number, ``…-b2``: a completed job takes no more tasks.
    """
    suffix = (f"-a{attempt}" if attempt > 1 else "") + (f"-b{part}" if part > 1 else "")
    return _fitting(run_id, suffix)


def job_prefix(run_id: str) -> str:
    """Return what the ids of all of a run's jobs begin with; others' may begin so too."""
    return run_id[:_LONGEST_STEM]


def job_of_attempt(run_id: str, job: str) -> tuple[int, int] | None:
    """Return attempt number and part of a job of this run, None for any other job."""
    for stem in (run_id, _short(run_id)):
        if not job.lower().startswith(stem):
            continue
        match = _SUFFIX.fullmatch(job.lower()[len(stem) :])
        if match is None:
            continue
        attempt, part = int(match["attempt"] or 1), int(match["part"] or 1)
        if job_id(run_id, attempt, part) == job.lower():
            return attempt, part
    return None


def pool_id(run_id: str) -> str:
    """Return the id of the run's own pool."""
    return _fitting(run_id, "-pool")


def output_container(run_id: str) -> str:
    """Return the name of the run's own container for what its tasks write."""
    stem = re.sub(r"-+", "-", run_id)[:_LONGEST_STEM].strip("-")
    return "-".join(part for part in ("bc", stem, _digest(run_id)) if part)


def is_container_name(text: str) -> bool:
    """Return whether storage takes a name for a container."""
    return _CONTAINER.fullmatch(text) is not None


def store_url(container: str, run_id: str) -> str:
    """Return the URL under which the run's resources are staged."""
    return f"az://{container}/{run_id}"


def resource_blob(run_id: str, key: str) -> str:
    """Return the blob that holds the resource with this key."""
    return f"{run_id}/resources/{key}"


def attempt_prefix(run_id: str, task_id: str, attempt: int) -> str:
    """Return the virtual directory for all that an attempt writes."""
    return f"{run_id}/{task_id}/{attempt}"


def working_prefix(run_id: str, task_id: str, attempt: int) -> str:
    """Return the virtual directory for the outputs of an attempt."""
    return f"{attempt_prefix(run_id, task_id, attempt)}/wd"


def log_blob(run_id: str, task_id: str, attempt: int, stream: str) -> str:
    """Return the blob for a log of an attempt, `stream` being ``stdout`` or ``stderr``."""
    return f"{attempt_prefix(run_id, task_id, attempt)}/{stream}.txt"


def job_metadata(run_id: str, spec_hash: str, version: str) -> dict[str, str]:
    """Return the metadata that says whose a job is."""
    return {RUN: run_id, SPEC: spec_hash, VERSION: version}


def is_ours(metadata: Mapping[str, str], run_id: str) -> bool:
    """Return whether the metadata of a job, a pool or a container names this run."""
    return run_id in {metadata.get(RUN), metadata.get(CONTAINER_RUN)}


def _fitting(run_id: str, suffix: str) -> str:
    whole = run_id + suffix
    return whole if len(whole) <= LONGEST_ID else _short(run_id) + suffix


def _short(run_id: str) -> str:
    return f"{run_id[:_LONGEST_STEM]}-{_digest(run_id)}"


def _digest(run_id: str) -> str:
    return hashlib.sha256(run_id.encode()).hexdigest()[:10]
