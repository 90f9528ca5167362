"""From the state of an ended container to an `Exit`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from batchcore import units
from batchcore.local.runner import Exit
from batchcore.states import FailureReason

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126


def exit_of(container: Mapping[str, Any], *, not_started: bool = False) -> Exit:
    """Return how an ended container ended; `not_started`: its command was never executed.

    The flag OOMKilled counts and not the code, as a shell may turn a killed child into any code;
    with exit code 0 the command has coped, which is no failure.
    """
    state, limit = container["State"], container["HostConfig"].get("Memory") or 0
    started, ended = _times(state)
    native = str(container["Id"])[:12]
    code = int(state["ExitCode"])
    if not_started or state["Status"] == "created":
        return Exit(
            reason=FailureReason.START_FAILED,
            detail=_start_detail(container, code),
            native=native,
            retryable=False,
            started_at=started,
            ended_at=ended,
        )
    if state.get("OOMKilled"):
        most = f"its limit of {units.show_bytes(limit)}" if limit else "what this machine has"
        return Exit(
            code=code,
            reason=FailureReason.OUT_OF_MEMORY if code else None,
            detail=f"a process of the task was killed: it needed more memory than {most}",
            native=native,
            started_at=started,
            ended_at=ended,
        )
    detail = " ".join(str(state.get("Error", "")).split())
    return Exit(code=code, detail=detail, native=native, started_at=started, ended_at=ended)


def _start_detail(container: Mapping[str, Any], code: int) -> str:
    """Say which program could not be started, and why."""
    config = container["Config"]
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    if writes_own_logs(container):
        words = list(config.get("Cmd") or ())
    program = repr(words[0]) if words else "the command"
    image = (config.get("Labels") or {}).get("batchcore.image") or config["Image"]
    error = " ".join(str(container["State"].get("Error", "")).split())
    if code == _NOT_FOUND:
        return f"there is no program {program} in the image {image!r}"
    if code == _NOT_EXECUTABLE:
        return f"{program} in the image {image!r} may not be executed"
    return f"{program} could not be started in the image {image!r}" + (error and f": {error}")


def writes_own_logs(container: Mapping[str, Any]) -> bool:
    """Return whether the logs go to files by themselves, and not through the daemon."""
    return bool(container["HostConfig"]["LogConfig"]["Type"] == "none")


def _times(state: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return both times in order: Docker has been seen to end a container before its start."""
    started, ended = seconds(state.get("StartedAt")), seconds(state.get("FinishedAt"))
    if started is not None and ended is not None:
        ended = max(started, ended)
    return started, ended


def seconds(text: str | None) -> float | None:
    """Return one of Docker's times as seconds since the epoch; its year 1 means never."""
    if not text or text.startswith("0001-"):
        return None
    return datetime.fromisoformat(text).timestamp()
