"""How long a person waits for ``batchcore --help``."""

from __future__ import annotations

from frame import Row, child, interleaved, python

GOAL = 1.5


def rows(*, tiny: bool = False) -> list[Row]:
    """Compare the help with the import of the library that prints it."""
    median = interleaved(
        {
            "help": lambda: child(python("-m", "batchcore", "--help")).seconds,
            "click": lambda: child(python("-c", "import click")).seconds,
        },
        rounds=1 if tiny else 21,
    )
    return [
        Row(
            measure="batchcore --help",
            ours=median["help"],
            floor=median["click"],
            floor_name="import click",
            goal=GOAL,
        )
    ]
