"""Run the benchmarks, print their table, and write ``results.md``.

``--only NAME`` runs one and writes nothing: the file holds figures of one machine on one day.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version

from batchcore.report.text import table
from frame import HERE, NotMeasured, Row

HEADS = ("MEASURE", "OURS", "FLOOR", "RATIO", "GOAL", "MET")


def main() -> int:
    """Run what was asked for; the exit code is 0 whether the goals are met or not."""
    wish = _arguments()
    rows: list[Row] = []
    missing: list[str] = []
    for name in [wish.only] if wish.only else names():
        print(f"measuring {name}", file=sys.stderr, flush=True)
        try:
            rows += import_module(f"bench_{name}").rows(tiny=wish.tiny)
        except NotMeasured as exc:
            missing.append(f"{name} was not measured: {exc}")
    print("\n".join([table(HEADS, cells(rows)), *missing]))
    if not (wish.only or wish.tiny):
        (HERE / "results.md").write_text(page(rows, missing))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME", choices=names(), help=", ".join(names()))
    parser.add_argument("--tiny", action="store_true", help="sizes of a test; figures mean nothing")
    return parser.parse_args()


def names() -> list[str]:
    """Return the names of all benchmarks."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def cells(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """Return the rows as the texts of the table."""
    return [
        (
            row.measure,
            f"{row.ours:.3g} {row.unit}",
            "-" if row.floor is None else f"{row.floor:.3g} {row.unit} ({row.floor_name})",
            "-" if row.ratio is None else f"{row.ratio:.2f}",
            _goal(row),
            {True: "yes", False: "NO", None: "-"}[row.met],
        )
        for row in rows
    ]


def _goal(row: Row) -> str:
    if row.goal is None:
        return "-"
    return f"{row.goal:g} {row.unit}" if row.floor is None else f"{row.goal:g} x"


def page(rows: Iterable[Row], missing: Sequence[str] = ()) -> str:
    """Return ``results.md``: where and when it was measured, and the table."""
    lines = [
        "# What batchcore costs",
        "",
        "Written by `make bench`. A ratio compares the medians of rounds that alternate between",
        "the two; trust it more than the seconds.",
        "",
        *(f"- {fact}" for fact in facts()),
        "",
        *(f"| {' | '.join(line)} |" for line in (HEADS, ("---",) * len(HEADS), *cells(rows))),
        *(f"\n{text}" for text in missing),
    ]
    return "\n".join(lines) + "\n"


def facts() -> Iterator[str]:
    """Say when and on what kind of machine this is."""
    yield f"{datetime.now(UTC):%Y-%m-%d}"
    yield f"{os.cpu_count()} cores, {_system()}, kernel {platform.release()}"
    yield f"Python {platform.python_version()}, batchcore {version('batchcore')}"
    if docker := _docker():
        yield f"Docker {docker}"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _docker() -> str:
    if shutil.which("docker") is None:
        return ""
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
