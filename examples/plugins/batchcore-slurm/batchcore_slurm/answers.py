"""What Slurm's programs print, as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

# Fields of `squeue --Format` with their widths; a longer value is cut there.
_FIELDS = {
    "ArrayJobID": 20,
    "ArrayTaskID": 20,
    "State": 24,
    "exit_code": 12,
    "Reason": 80,
    "NodeList": 120,
    "Comment": 80,
}
QUEUE_FORMAT = ",".join(f"{name}:{width}" for name, width in _FIELDS.items())
ACCOUNT_FORMAT = "JobID,State,ExitCode,NodeList"

ENDED = frozenset(
    {
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED"),
        *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    }
)


class Row(Struct, frozen=True, kw_only=True):
    """One element of an array job as Slurm sees it.

    `state` is one of Slurm's own, such as ``RUNNING``; `code` the exit code of its script, None
    where a signal ended it; `waits_for` is why it is not running.
    """

    job: str
    index: int
    state: str
    code: int | None = None
    waits_for: str = ""
    node: str = ""
    comment: str = ""

    @property
    def ended(self) -> bool:
        """Whether Slurm is done with it."""
        return self.state in ENDED


def queue_rows(text: str) -> Iterator[Row]:
    """Yield the elements that ``squeue --array --noheader`` lists in `QUEUE_FORMAT`."""
    for line in text.splitlines():
        value, start = {}, 0
        for name, width in _FIELDS.items():
            value[name] = line[start : start + width].strip()
            start += width
        if value["ArrayTaskID"].isdigit():
            yield Row(
                job=value["ArrayJobID"],
                index=int(value["ArrayTaskID"]),
                state=value["State"],
                code=_exit_code(value["exit_code"]),
                waits_for=_plain(value["Reason"]),
                node=_plain(value["NodeList"]),
                comment=_plain(value["Comment"]),
            )


def account_rows(text: str) -> Iterator[Row]:
    """Yield the elements that ``sacct --parsable2 --noheader`` lists in `ACCOUNT_FORMAT`."""
    for line in text.splitlines():
        name, state, code, node = line.split("|")[:4]
        job, _, index = name.partition("_")
        if index.isdigit():
            number, _, signal = code.partition(":")
            yield Row(
                job=job,
                index=int(index),
                state=state.split()[0],  # "CANCELLED by 1000"
                code=int(number) if number.isdigit() and signal in {"", "0"} else None,
                node=_plain(node),
            )


def config_values(text: str) -> dict[str, str]:
    """Return what ``scontrol show config`` says, by name."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def job_id(text: str) -> str | None:
    """Return the id that ``sbatch --parsable`` prints, alone or before a cluster's name."""
    last = (text.strip().splitlines() or [""])[-1]
    number = last.partition(";")[0].strip()
    return number if number.isdigit() else None


def elements(job: str, indexes: Iterable[int]) -> list[str]:
    """Return words that name some elements of an array job, such as ``12_[0-3]``."""
    spans: list[list[int]] = []
    for index in sorted(indexes):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return [f"{job}_{a}" if a == b else f"{job}_[{a}-{b}]" for a, b in spans]


def _exit_code(text: str) -> int | None:
    """Return the code in a wait status, which squeue prints as one number."""
    status = int(text) if text.isdigit() else 0
    return None if status & 0x7F else status >> 8


def _plain(text: str) -> str:
    return "" if text in {"None", "(null)", "n/a", "None assigned"} else text
