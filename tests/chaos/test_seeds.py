"""Forty tasks and faults of chance; whatever goes wrong, the run ends as its job says, and in time.

`drawing` makes a plan of tasks and faults from a seed, `playing` plays it with real commands, and
`judging` compares what is left with the plan. Moments are those of a clock, so one seed need not
meet the same instruction twice, but always the same tasks, faults and order.

Which faults could change an end, and why they do not here:

- A task that is killed from outside, a machine that is lost, a file that cannot be moved and an
  answer that stays away cost an interruption; there are more of these in the budget than faults.
- A signal to the command alone, as `kill` on a machine without containers, cannot be told from a
  task that ends itself. On `local-process` the whole process group is killed, the shell that
  writes the exit code down too.
- What a machine of Azure downloads or uploads is not altered on the way: the service has no
  checksum there. What the controller downloads is.
- A service that stays away longer than batchcore is patient ends the command with 7, or 6 where it
  has not begun; the same command again must be enough.

`make chaos SEEDS=50 BACKEND=local-docker` plays more of them; `SEED=17` one again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from batchcore.run import Run

from .commands import WrongError
from .drawing import Drawn, draw
from .judging import judge_rest, judge_run
from .playing import Player
from .world import World

FEW = {"local-process": (7,), "local-docker": (4,), "azure": (1,)}


def seeds() -> Iterator[Any]:
    """Yield what to play: a few seeds of every backend, or what ``CHAOS_…`` ask for."""
    asked = os.environ.get("CHAOS_BACKEND")
    if asked is None:
        chosen = FEW
    elif one := os.environ.get("CHAOS_SEED"):
        chosen = {asked: (int(one),)}
    else:
        chosen = {asked: tuple(range(1, int(os.environ.get("CHAOS_SEEDS", "50")) + 1))}
    for backend, numbers in chosen.items():
        marks = [pytest.mark.docker] if backend != "local-process" else []
        for number in numbers:
            yield pytest.param(backend, number, marks=marks, id=f"{backend}-{number}")


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Drawn], Any]:
    """Make the world of a seed."""

    def make(drawn: Drawn) -> AbstractContextManager[World]:
        if drawn.backend == "local-process":
            return nullcontext(World(tmp_path, drawn))
        request.getfixturevalue("worker_base_image")
        if drawn.backend == "local-docker":
            from .docker_world import docker_world

            return docker_world(tmp_path, drawn)
        from .azure_world import azure_world

        return azure_world(tmp_path, drawn, request.getfixturevalue("azurite_storage"))

    return make


def play(player: Player) -> list[str]:
    """Play a seed and return what is wrong."""
    try:
        player.play()
        run_id = Run.load(player.directory).id
        wrong = list(judge_run(player))
        player.clean()
        return [*wrong, *judge_rest(player, run_id)]
    except WrongError as error:
        return [str(error)]
    finally:
        player.end()


def again(backend: str, seed: int) -> str:
    """Return the command that plays a seed again."""
    name = "azure-emulated" if backend == "azure" else backend
    return f"make chaos SEED={seed} BACKEND={name}"


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("backend", "seed"), list(seeds()))
def test_no_seed_ends_wrong_or_hangs(backend, seed, world, record_property) -> None:
    begun = time.monotonic()
    with world(draw(backend, seed)) as made:
        player = Player(made, made.drawn)
        wrong = play(player)
    seconds = time.monotonic() - begun
    hit = " ".join([*player.happened, *player.gremlin.hit]) or "nothing"
    verdict = "wrong" if wrong else "right"
    record_property("chaos", f"{backend}  seed {seed:<4} {seconds:6.1f} s  {verdict}  {hit}")
    record_property("again", again(backend, seed))
    assert not wrong, "\n".join([f"{again(backend, seed)}  # {hit}", *wrong])


@pytest.mark.parametrize("backend", FEW)
def test_a_seed_always_stands_for_the_same_tasks_and_faults(backend) -> None:
    assert draw(backend, 17) == draw(backend, 17)
    assert draw(backend, 17) != draw(backend, 18)
