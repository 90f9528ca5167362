"""The verb `explain`."""

from __future__ import annotations

import click
import msgspec

from batchcore.cli.completion import run_names, task_ids
from batchcore.cli.find import find_run, run_option, typed_name
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.explain import explain_run
from batchcore.report.data import json_text
from batchcore.report.explain import explanation_text


@click.command(epilog="Example:  batchcore explain sum-of-powers-7f3a seed-1")
@click.argument("run", metavar="RUN", shell_complete=run_names)
@click.argument("task", metavar="[TASK]", required=False, default="", shell_complete=task_ids)
@run_option
@json_option
@traceback_option
@click.pass_obj
def explain(session: Session, /, *, run: str, task: str, runs: str | None) -> None:
    """Say why tasks failed or wait, and what to type next.

    Tasks with the same cause are told together. The backend is asked about those that it has.
    """
    found = find_run(run, runs)
    name = typed_name(found, run, runs)
    explanation = explain_run(found, task, name=name, now=session.clock.now())
    if session.wants_json:
        data = msgspec.structs.asdict(explanation)
        session.out.json(json_text(data.pop("schema"), data))
        return
    session.out.line(explanation_text(explanation, session.out.marks))
    if not explanation.groups:
        session.err.line(
            "nothing to explain: " + (f"{task} has" if task else "all tasks have") + " succeeded"
        )
