"""What `local-process` adds to short tasks that each copy one small file to another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import batchcore as bc
from frame import Row, child, interleaved, python

GOAL = 4.0
COMMAND = ["cp", "in", "out"]


def rows(*, tiny: bool = False) -> list[Row]:
    """Compare a run with a loop over `subprocess` that moves the same files, as many at once."""
    count = 10 if tiny else 1000
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        (place / "inputs").mkdir()
        for number in range(count):
            source(place, number).write_text(f"hello {number}\n")

        def seconds(how: str) -> float:
            made = place / "made"
            cost = child(python(__file__, how, place, str(count)), cwd=place)
            shutil.rmtree(made)
            return cost.seconds

        median = interleaved(
            {"ours": lambda: seconds("ours"), "loop": lambda: seconds("loop")},
            rounds=1 if tiny else 5,
        )
    return [
        Row(
            measure=f"local-process, {count} tasks",
            ours=median["ours"],
            floor=median["loop"],
            floor_name="subprocess loop",
            goal=GOAL,
        )
    ]


def source(place: Path, number: int) -> Path:
    """Return the input of a task."""
    return place / "inputs" / str(number)


def ours(place: Path, count: int) -> None:
    """Run the tasks as one job."""
    tasks = [
        bc.Task(
            f"t{number}",
            command=COMMAND,
            resources=[bc.Resource("in", source=str(source(place, number)))],
            outputs=[bc.Output("out", to=f"{number}.txt")],
        )
        for number in range(count)
    ]
    run = bc.run_job(
        bc.Job("bench", tasks=tasks), backend="local-process", directory=place / "made"
    )
    run.raise_for_state()


def loop(place: Path, count: int) -> None:
    """Do the same by hand, without any care."""
    made = place / "made"
    (made / "outputs").mkdir(parents=True)

    def one(number: int) -> None:
        directory = made / f"t{number}"
        directory.mkdir()
        shutil.copyfile(source(place, number), directory / "in")
        with (made / f"{number}.out").open("wb") as out, (made / f"{number}.err").open("wb") as err:
            subprocess.run(
                COMMAND, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=True
            )
        shutil.copyfile(directory / "out", made / "outputs" / f"{number}.txt")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, range(count)))


if __name__ == "__main__":
    {"ours": ours, "loop": loop}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
