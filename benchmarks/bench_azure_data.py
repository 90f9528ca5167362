"""What files cost between this machine and blob storage: many small ones, and a large one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from batchcore.errors import EnvironmentNotReady
from frame import HERE, Cost, NotMeasured, Row, child, interleaved, python

GOALS = {"plain": 1.15, "fast": 0.6}
MOST_MIB = 200.0
FLOOR = "adlfs tuned"


def rows(*, tiny: bool = False) -> list[Row]:
    """Compare staging and collecting with adlfs at its best settings, against a real Azurite."""
    count, size = (10, 1 << 20) if tiny else (1000, 512 << 20)
    rounds = 1 if tiny else 3
    with tempfile.TemporaryDirectory(prefix="bench-") as name, _azurite() as environment:
        place = Path(name)
        _write(place, count, size)

        def cost(how: str, what: str) -> Cost:
            return child(
                python(HERE / "azure_transfers.py", how, what, place, str(count)), env=environment
            )

        def measure(how: str, what: str) -> float:
            return float(cost(how, what).output.split()[0])

        def seconds(what: str) -> dict[str, float]:
            ways = {how: partial(measure, how, what) for how in (*GOALS, "adlfs")}
            return interleaved(ways, rounds)

        cost("adlfs", "prepare")
        named = {
            "stage": f"{count} resources of 4 KiB staged",
            "collect": f"{count} tasks' outputs of 4 KiB collected",
            "large": f"one output of {size >> 20} MiB collected",
        }
        found = [row for what, text in named.items() for row in _compared(text, seconds(what))]
        memory = [_peak(size, how, cost(how, "large")) for how in GOALS]
        again = measure("plain", "again")
    second = Row(measure="resources sent by a second run", ours=again, unit="files", goal=0)
    return [*found, *memory, second]


def _compared(text: str, median: dict[str, float]) -> list[Row]:
    return [
        Row(
            measure=f"azure, {text}{', obstore' * (how == 'fast')}",
            ours=median[how],
            floor=median["adlfs"],
            floor_name=FLOOR,
            goal=goal,
        )
        for how, goal in GOALS.items()
    ]


def _peak(size: int, how: str, cost: Cost) -> Row:
    text = f"azure, memory for one output of {size >> 20} MiB{', obstore' * (how == 'fast')}"
    return Row(measure=text, ours=cost.peak_mib, unit="MiB", goal=MOST_MIB)


@contextmanager
def _azurite() -> Iterator[dict[str, str]]:
    """Start Azurite and give the environment in which the children find it."""
    missing = [name for name in ("azure.storage.blob", "adlfs", "obstore") if not _is_there(name)]
    if missing:
        raise NotMeasured(f"{missing[0]} is not installed")
    from batchcore_azure.emulator.azurite import Azurite  # noqa: TID251 - started, not measured

    azurite = Azurite()
    try:
        azurite.start()
    except EnvironmentNotReady as exc:
        raise NotMeasured(exc.reason) from exc
    try:
        yield {
            "STORAGE_ACCOUNT_CONNECTION_STRING": azurite.storage.connection_string,
            "BATCH_ACCOUNT_KEY": "Q0FOQVJZ",
            "NO_PROXY": "127.0.0.1,localhost",
        }
    finally:
        azurite.stop()


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _write(place: Path, count: int, size: int) -> None:
    (place / "in").mkdir()
    for number in range(count):
        (place / "in" / str(number)).write_bytes(os.urandom(4096))
    with (place / "large").open("wb") as stream:
        for _ in range(size >> 20):
            stream.write(os.urandom(1 << 20))
