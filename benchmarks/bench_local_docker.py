"""What containers cost: many small tasks, each with one resource and one output."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from frame import HERE, Cost, NotMeasured, Row, child, interleaved, python

IMAGE = "batchcore-test-base:latest"
AT_ONCE = 4
FLOOR_GOAL = 1.15
CLI_GOAL = 0.55
MEMORY_GOAL = 120
LOOPS = HERE / "docker_loops.py"


def rows(*, tiny: bool = False) -> list[Row]:
    """Compare a run with a loop over Docker's SDK and one over its command line."""
    look = ["docker", "image", "inspect", IMAGE]
    if subprocess.run(look, capture_output=True, check=False).returncode:
        raise NotMeasured(f"there is no image {IMAGE}; type `make test`")
    count = 4 if tiny else 100
    costs: list[Cost] = []

    def ours() -> float:
        costs.append(_in_a_directory(_our_command, count))
        return costs[-1].seconds

    median = interleaved(
        {
            "ours": ours,
            "sdk": lambda: _in_a_directory(_loop("sdk"), count).seconds,
            "cli": lambda: _in_a_directory(_loop("cli"), count).seconds,
        },
        rounds=1 if tiny else 3,
    )
    what = f"local-docker, {count} tasks, {AT_ONCE} at once"
    return [
        Row(
            measure=f"{what}, against a loop that makes no networks",
            ours=median["ours"],
            floor=median["sdk"],
            floor_name="tuned SDK loop",
            goal=FLOOR_GOAL,
        ),
        Row(
            measure=f"{what}, against docker run",
            ours=median["ours"],
            floor=median["cli"],
            floor_name="docker run --rm",
            goal=CLI_GOAL,
        ),
        Row(
            measure=f"{what}, memory of the controller",
            ours=max(cost.peak_mib for cost in costs),
            unit="MiB",
            goal=MEMORY_GOAL,
        ),
    ]


def _in_a_directory(command: Callable[[Path, int], list[str]], count: int) -> Cost:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "input.txt").write_text("input\n")
        return child(command(work, count), cwd=work)


def _our_command(work: Path, count: int) -> list[str]:
    ids = "\n".join(f"t{number}" for number in range(count))
    (work / "tasks.csv").write_text(f"id\n{ids}\n")
    (work / "job.toml").write_text(
        f"""\
name = "bench"
image = "{IMAGE}"
command = ["cp", "input.txt", "output.txt"]
resources = [{{ path = "input.txt", source = "input.txt" }}]

[tasks]
table = "tasks.csv"
outputs = [{{ path = "output.txt", to = "{{id}}.txt" }}]
"""
    )
    return python(
        *("-m", "batchcore", "run", "job.toml", "--backend", "local-docker"),
        *("--set", f"slots={AT_ONCE}"),
    )


def _loop(kind: str) -> Callable[[Path, int], list[str]]:
    return lambda work, count: python(LOOPS, kind, str(work), str(count), str(AT_ONCE), IMAGE)
