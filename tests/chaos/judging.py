"""The oracle: what is left of a seed must be what its plan alone says, whatever went wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from batchcore.results import TaskResult
from batchcore.run import Run
from batchcore.states import Budget, FailureReason, budget_of

from .drawing import INTERRUPTIONS
from .kinds import Expected
from .playing import Player

_GONE_SECONDS = 10.0


def judge_run(player: Player) -> Iterator[str]:
    """Say what is wrong with a run that has ended."""
    run = Run.load(player.directory)
    expected = player.drawn.expected
    run.verify()
    if [task.id for task in run.tasks] != list(expected):
        yield "the tasks are not those of the job"
    for task in run.tasks:
        yield from (
            f"{task.id}: {words}" for words in _of_task(run, task, expected[task.id], player)
        )
    yield from _of_files(player, run)
    if not player.world.restarts:
        for name, count in player.world.starts().items():
            if count > 1:
                yield f"attempt {name} was started {count} times"


def _of_task(run: Run, task: TaskResult, expected: Expected, player: Player) -> Iterator[str]:
    if (task.state, task.reason) != (expected.state, expected.reason):
        wanted = f"{expected.state} {expected.reason}"
        yield f"{task.state} {task.reason} and not {wanted}: {task.detail}"
    if task.exit_code not in expected.codes:
        yield f"exit code {task.exit_code} and not {expected.codes}"
    yield from _of_attempts(run.attempts(task.id), expected, player)
    if expected.log is not None and run.log(task.id) != expected.log:
        yield f"its log has {len(run.log(task.id))} bytes and not {len(expected.log)}, or others"


def _of_attempts(
    attempts: list[dict[str, Any]], expected: Expected, player: Player
) -> Iterator[str]:
    """Hold the attempts to both budgets: only what a fault interrupts may take more of them."""
    lost = [one for one in attempts if _is_interruption(one["reason"])]
    own = len(attempts) - len(lost)
    told = [
        (one["attempt"], str(one["reason"]), one["exit_code"], one["detail"]) for one in attempts
    ]
    if len(lost) > min(INTERRUPTIONS, 2 * len(player.drawn.faults)):
        yield f"{len(lost)} interruptions: {told}"
    at_least = 1 if expected.state == "succeeded" else expected.own
    most = expected.own * player.rounds
    # An attempt that was interrupted has a number too, and what fails at first fails by that.
    if not (at_least if lost else expected.own) <= own <= most:
        yield f"{own} attempts of its own and not {expected.own}: {told}"
    if lost and not player.gremlin.hit:
        yield f"interrupted without a fault: {told}"


def _is_interruption(reason: str | None) -> bool:
    return reason is not None and budget_of(FailureReason(reason)) is Budget.INTERRUPTIONS


def _of_files(player: Player, run: Run) -> Iterator[str]:
    root = player.directory / "outputs"
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    wanted = {to: data for one in player.drawn.expected.values() for to, data in one.files.items()}
    for name in sorted(found ^ set(wanted)):
        yield f"{name} {'must not be' if name in found else 'is not'} among the results"
    for name in sorted(found & set(wanted)):
        if (root / name).read_bytes() != wanted[name]:
            yield f"{name} has the wrong content"
    listed = {str(file.file.relative_to(root)) for task in run.tasks for file in task.outputs}
    if listed != found:
        yield f"the record and the directory differ: {sorted(listed ^ found)}"


def judge_rest(player: Player, run_id: str) -> Iterator[str]:
    """Say what is left, after `clean`, that should be gone."""
    yield from (f"left behind: {thing}" for thing in player.world.left(run_id))
    for name in ("work", "incoming"):
        if (player.directory / name).exists():
            yield f"left behind: {name}/ in the run directory"
    places = [*player.directory.rglob("*"), *(player.here / "tmp").iterdir()]
    for path in places:
        temporary = path.name.startswith(".bc-") or path.name.endswith((".part", ".tmp"))
        if temporary or path.parent.name == "tmp":
            yield f"left behind: {path.relative_to(player.here)}"
    until = time.monotonic() + _GONE_SECONDS
    while (alive := player.processes()) and time.monotonic() < until:
        time.sleep(0.1)
    yield from (f"process {pid} still runs: {words}" for pid, words in alive.items())
