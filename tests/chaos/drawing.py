"""What a seed stands for: forty tasks with the end that each must come to, and what goes wrong.

All of it is drawn from the seed and the backend alone. How each task must end follows from the
job, whatever goes wrong meanwhile: only faults are drawn that a run must outlive.
"""

from __future__ import annotations

import random
from typing import Any

from msgspec import Struct, field

from batchcore import crash

from .kinds import FAILING, GOOD, Expected, Make, blocked, dependent

TASKS = 40
# Faults that cost an attempt are fewer than this, so none of them may decide an end.
INTERRUPTIONS = 30
SHARED = "shared.txt"
# How long a run lasts when nothing goes wrong: faults come within it.
SPAN = {"local-process": 8.0, "local-docker": 16.0, "azure": 22.0}
AZURE_POINTS = (
    *("azure.pool_made", "azure.job_made", "azure.tasks_added", "azure.sealed"),
    *(point for point in crash.POINTS if not point.startswith("engine.")),
)
FAULTS = {
    "local-process": ("kill",),
    "local-docker": ("kill", "stop", "remove", "reset", "refuse", "hang", "truncate"),
    "azure": (
        *("preempt", "lose", "busy", "busy-time", "lost-answer", "slow", "short-answer", "entry"),
        *("storage-busy", "storage-refuse", "storage-lost", "storage-damage"),
    ),
}


class Fault(Struct, frozen=True):
    """What goes wrong `at` seconds after the start; `pick`, from 0 to 1, says to whom or where."""

    at: float
    kind: str
    pick: float


class Step(Struct, frozen=True):
    """One command before the last, and how it is disturbed.

    `how` is ``run``, ``submit`` (a driver in the background) or ``cold``: what drives in the
    background is killed, and `run` goes on. `end` is ``crash`` (at `point`), ``kill``, ``term``,
    ``int`` or ``rival`` (a second controller), `after` seconds later.
    """

    how: str
    end: str
    after: float
    point: str = ""


class Drawn(Struct, frozen=True):
    """A seed made concrete; `private` asks for a Docker daemon of the seed's own."""

    seed: int
    backend: str
    job: dict[str, Any]
    shared: str
    expected: dict[str, Expected]
    steps: tuple[Step, ...]
    faults: tuple[Fault, ...]
    private: bool = False
    spot: bool = False


class _Deck(Struct):
    """The tasks drawn so far."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    expected: dict[str, Expected] = field(default_factory=dict)


def draw(backend: str, seed: int) -> Drawn:
    """Return the plan of a seed: always the same one."""
    chance = random.Random(f"{backend} {seed}")
    shared = chance.randbytes(8192).hex() + "\n"
    # A run without a failure ends in another way: it tidies up by itself.
    deck = _deck(chance, shared, all_good=chance.random() < 0.25)
    job = {"name": f"chaos-{seed}", "interruptions": INTERRUPTIONS, "tasks": deck.tasks}
    private = backend == "local-docker" and chance.random() < 0.2
    return Drawn(
        seed=seed,
        backend=backend,
        job=job,
        shared=shared,
        expected=deck.expected,
        steps=tuple(_step(chance, backend) for _ in range(chance.randint(2, 4))),
        faults=_faults(chance, backend, private=private),
        private=private,
        spot=chance.random() < 0.5,
    )


def _deck(chance: random.Random, shared: str, *, all_good: bool) -> _Deck:
    deck = _Deck()
    for number in range(TASKS):
        name = f"t{number:02}"
        bad = not all_good and chance.random() < 0.3
        make: Make = chance.choice(FAILING if bad else GOOD)
        fields, expected = make(name, chance, shared)
        links = _links(chance, list(deck.expected))
        if any(on == "success" and deck.expected[n].state != "succeeded" for n, on in links):
            expected = blocked()
        deck.tasks.append({"id": name, **fields, **dependent(links)})
        deck.expected[name] = expected
    return deck


def _links(chance: random.Random, names: list[str]) -> list[tuple[str, str]]:
    """Return what a task waits for: nothing, the one before it, several, or any end of one."""
    kind = chance.random()
    if len(names) < 4 or kind < 0.65:
        return []
    if kind < 0.8:
        return [(names[-1], "success")]
    if kind < 0.9:
        return [(name, "success") for name in chance.sample(names, 3)]
    return [(chance.choice(names), "any")]


def _step(chance: random.Random, backend: str) -> Step:
    points = AZURE_POINTS if backend == "azure" else crash.POINTS
    count = chance.choice((1, 1, 2, 5, 12))
    return Step(
        how=chance.choice(("run", "run", "cold", "submit")),
        end=chance.choice(("crash", "crash", "kill", "kill", "term", "int", "rival")),
        after=round(chance.uniform(0.3, SPAN[backend] / 3), 2),
        point=f"{chance.choice(points)}:{count}",
    )


def _faults(chance: random.Random, backend: str, *, private: bool) -> tuple[Fault, ...]:
    kinds = [chance.choice(FAULTS[backend]) for _ in range(chance.randint(2, 6))]
    kinds += ["daemon"] * private
    drawn = (
        Fault(round(chance.uniform(0.5, SPAN[backend]), 2), kind, chance.random()) for kind in kinds
    )
    return tuple(sorted(drawn, key=lambda fault: fault.at))
