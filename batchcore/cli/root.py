"""The verbs, in the order in which people meet them."""

from __future__ import annotations

import click

from batchcore.cli.group import LazyGroup

VERBS = {
    "init": ("batchcore.cli.init:init", "Write a small project: a job, or a new backend."),
    "run": ("batchcore.cli.run:run", "Run a job to its end, or go on with it."),
    "submit": ("batchcore.cli.submit:submit", "Hand a job over and leave; print the run's id."),
    "attach": ("batchcore.cli.attach:attach", "Take up a run that another machine began."),
    "wait": ("batchcore.cli.wait:wait", "Wait until runs have ended; go on where nobody does."),
    "status": ("batchcore.cli.status:status", "Show how far a run is, or the recent runs."),
    "logs": ("batchcore.cli.logs:logs", "Print what tasks wrote to stdout and stderr."),
    "explain": ("batchcore.cli.explain:explain", "Say why tasks failed or wait."),
    "report": ("batchcore.cli.report:report", "Make one HTML page of a run."),
    "retry": ("batchcore.cli.retry:retry", "Run again what failed, or some of it."),
    "replay": ("batchcore.cli.replay:replay", "Run one task again, here, and say what differs."),
    "fetch": ("batchcore.cli.fetch:fetch", "Verify and copy the collected files."),
    "cancel": ("batchcore.cli.cancel:cancel", "Stop a run, or some of its tasks."),
    "clean": ("batchcore.cli.clean:clean", "Delete what a run, or every run, left; results stay."),
    "drive": ("batchcore.cli.drive:drive", "Drive a run; what works in the background."),
    "doctor": ("batchcore.cli.doctor:doctor", "Look for what keeps tasks from running."),
    "backends": ("batchcore.cli.backends:backends", "List and describe the backends."),
    "config": ("batchcore.cli.config:config", "Show the settings and where they come from."),
    "completion": (
        "batchcore.cli.completion:completion",
        "Print the script that completes words in a shell.",
    ),
}


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"batchcore {version('batchcore')}")
        ctx.exit()


root = LazyGroup(
    name="batchcore",
    verbs=VERBS,
    help="Describe a batch job once; run it here, on Azure Batch or on any engine.",
    epilog="""\b
New here? Three lines to a first result:
  batchcore init my-job
  cd my-job
  batchcore run job.toml""",
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Print the version and exit.",
        ),
        click.Option(["--traceback"], is_flag=True, expose_value=False, hidden=True),
    ],
)
