"""The verb `replay`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import msgspec

from batchcore.cli.completion import backend_names, directories, run_names, task_ids
from batchcore.cli.execute import near, watched
from batchcore.cli.find import find_run, run_option, typed_name
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.cli.wishes import refuse_empty
from batchcore.errors import UsageError
from batchcore.replay import Ready, Replay, Wanted, open_shell, replay_task
from batchcore.report.data import json_text
from batchcore.report.replay import replay_text
from batchcore.report.text import printable

_DIFFERENT = 3


@click.command(epilog="Example:  batchcore replay sum-of-powers-7f3a --task seed-1")
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.option(
    "--task", metavar="ID", required=True, help="The task to run again.", shell_complete=task_ids
)
@click.option(
    "-b",
    "--backend",
    metavar="NAME",
    help="Where it runs.",
    shell_complete=backend_names,
)
@click.option("--set", "items", metavar="KEY=VALUE", multiple=True, help="Set a backend's option.")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    help="The run directory of the replay.",
    shell_complete=directories,
)
@click.option("--shell", is_flag=True, help="Open a shell in its place; the command waits.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what differs.")
@run_option
@json_option
@traceback_option
@click.pass_obj
def replay(
    session: Session,
    /,
    *,
    run: str,
    task: str,
    backend: str | None,
    items: tuple[str, ...],
    directory: str | None,
    shell: bool,
    quiet: bool,
    runs: str | None,
) -> int:
    """Run one task again, here, and say what differs.

    It gets what it had then: its command, its resources by their content, and its image. The run
    itself stays as it is. Without --backend it runs in a container where it has an image and Docker
    answers, else as a process. Exits 0 where it ended alike and left the same files, else 3.

    With --shell all is prepared, and a shell is opened there on this terminal. What it leaves is
    deleted when it ends.
    """
    refuse_empty({"backend": backend, "directory": directory, "runs": runs})
    found = find_run(run, runs)
    wanted = Wanted(
        run=found,
        task=task,
        backend=backend or "",
        directory=None if directory is None else Path(directory),
        items=items,
    )
    if shell:
        _open_shell(session, wanted)
        return 0
    with watched(session, found, typed_name(found, run, runs), quiet=quiet) as progress:
        done = replay_task(wanted, [progress])
    _show(session, done, quiet=quiet)
    return 0 if done.same else _DIFFERENT


def _open_shell(session: Session, wanted: Wanted) -> None:
    if session.wants_json:
        raise UsageError("--shell and --json contradict each other", hint="keep one of them")
    if not (session.may_ask and session.out.interactive):
        raise UsageError("--shell needs a terminal", hint="type it at one, or leave out --shell")

    def announce(ready: Ready) -> None:
        for note in ready.notes:
            session.err.line(f"note: {printable(note)}", "note")
        plan = ready.prepared.plan
        place = f"{wanted.task} of {wanted.run.id} on {ready.prepared.spec.name}"
        session.err.line(f"{place}; what is written here is deleted at the end")
        session.err.line(f"its command:  {shlex.join(plan.tasks[0].command)}")

    open_shell(wanted, announce)


def _show(session: Session, done: Replay, *, quiet: bool) -> None:
    if session.wants_json:
        data = msgspec.structs.asdict(done)
        session.out.json(json_text(data.pop("schema"), {"same": done.same, **data}))
        return
    session.out.line(replay_text(done, session.out.marks))
    if not quiet:
        session.err.line(f"its outputs, logs and record are in {near(done.directory)}")
