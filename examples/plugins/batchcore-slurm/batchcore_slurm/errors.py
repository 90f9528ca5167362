"""What Slurm's programs complain about, as this project's errors: one table."""

from __future__ import annotations

from batchcore.errors import BackendError, BatchcoreError, EnvironmentNotReady

# Texts of Slurm 22.05 (slurm/slurm_errno.h, src/common/slurm_errno.c) after which the same call
# may succeed later.
_PASSING = (
    "Unable to contact slurm controller",
    "Unable to establish",
    "Socket timed out",
    "Connection refused",
    "Connection timed out",
    "Connection reset",
    "Zero Bytes were transmitted",
    "temporarily unable to accept job",
    "Resource temporarily unavailable",
    "in standby mode",
    "Message receive failure",
    "Message send failure",
    "Job submit limit",
    "SubmitJobLimit",
    "SubmitJobPerUserLimit",
    "SubmitJobPerAccountLimit",
)
_NOT_SET_UP = (
    "Could not establish a configuration source",
    "Unable to process configuration file",
    "Protocol authentication error",
    "Munge encode failed",
    "no auth plugin",
)
_PREFIXES = ("sbatch: ", "scancel: ", "squeue: ", "scontrol: ", "sacct: ", "fatal: ", "error: ")
_SHOWN = 500


def missing(program: str) -> BatchcoreError:
    """Return the error for a program that is not there."""
    return EnvironmentNotReady(
        f"there is no program {program!r} on this machine, and slurm submits with it",
        hint="run this on a login node of the cluster, or install Slurm's client programs "
        "(slurm-client on Debian and Ubuntu)",
    )


def silent(program: str, seconds: float) -> BatchcoreError:
    """Return the error for a program that did not end in time."""
    return BackendError(f"{program} gave no answer in {seconds:g} s", hint=_HINT, transient=True)


def no_config(path: str) -> BatchcoreError:
    """Return the error for a configuration that is not there, for which Slurm waits a minute."""
    return EnvironmentNotReady(
        f"SLURM_CONF is {path!r}, and there is no such file",
        hint="point SLURM_CONF to the cluster's slurm.conf, or unset it",
    )


def complaint(program: str, stderr: str, code: int) -> BatchcoreError:
    """Return what a failed program means.

    Transient: the cluster's controller did not answer, or takes no more jobs now.
    """
    said = said_by(stderr) or f"exit code {code}"
    if any(text in stderr for text in _NOT_SET_UP):
        return EnvironmentNotReady(
            f"{program} cannot reach a cluster: {said}",
            hint="run this on a login node of the cluster, or point SLURM_CONF to its slurm.conf",
        )
    if is_passing(stderr):
        return BackendError(f"{program} failed: {said}", hint=_HINT, transient=True)
    return BackendError(f"{program} failed: {said}")


def is_passing(stderr: str) -> bool:
    """Return whether the same call may succeed later."""
    return any(text in stderr for text in _PASSING)


def said_by(stderr: str) -> str:
    """Return what a program said, without its name, on one line."""
    lines = []
    for line in stderr.splitlines():
        text = line.strip()
        for prefix in _PREFIXES:
            text = text.removeprefix(prefix)
        if text and text not in lines:
            lines.append(text)
    return "; ".join(lines)[:_SHOWN]


_HINT = "see whether `sinfo` answers; the same command goes on where this one stopped"
