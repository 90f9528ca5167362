"""The verb `completion`, and what the shell is offered for the words of the other verbs.

The script that the verb prints has the shell call ``batchcore`` again at each Tab, with the words
so far in variables of the environment; `complete` answers that call. All of it is click's, but for
what a word stands for: the functions here, which a verb names beside its arguments.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from batchcore.cli import COMPLETE
from batchcore.cli.session import Session

PROGRAM = "batchcore"
SHELLS = {
    "bash": 'put this line into ~/.bashrc:  eval "$(batchcore completion bash)"',
    "zsh": 'put this line into ~/.zshrc, below compinit:  eval "$(batchcore completion zsh)"',
    "fish": "type:  batchcore completion fish > ~/.config/fish/completions/batchcore.fish",
}


@click.command(epilog='Example:  eval "$(batchcore completion bash)"')
@click.argument("shell", metavar="SHELL", type=click.Choice(list(SHELLS)))
@click.pass_obj
def completion(session: Session, /, *, shell: str) -> None:
    """Print the script that completes words in a shell.

    \b
    bash:  eval "$(batchcore completion bash)"   in ~/.bashrc
    zsh:   eval "$(batchcore completion zsh)"    in ~/.zshrc, below compinit
    fish:  batchcore completion fish > ~/.config/fish/completions/batchcore.fish

    Tab then completes commands, options, runs, tasks, backends and files.
    """  # noqa: D301 - click's mark for lines to keep as they are
    from batchcore.cli.root import root

    maker = get_completion_class(shell)
    assert maker is not None  # noqa: S101 - click has all of SHELLS
    session.out.write(maker(root, {}, PROGRAM, COMPLETE).source())
    if session.out.interactive:
        session.err.line(SHELLS[shell])


def complete(root: click.Command, instruction: str) -> int:
    """Answer a shell that asks what may follow; what goes wrong leaves it without an answer."""
    with suppress(Exception):
        return shell_complete(root, {"obj": Session(())}, PROGRAM, COMPLETE, instruction)
    return 1


def run_names(ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer the runs, the newest first, or directories for what begins like a path."""
    from batchcore.cli.find import run_directories, runs_directory

    if os.sep in begun or begun.startswith((".", "~")):
        return [CompletionItem(begun, type="dir")]
    place = runs_directory(ctx.params.get("runs"))
    return _offered((one.name for one in run_directories(place)), begun)


def task_ids(ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer the tasks of the run that stands before."""
    from batchcore.cli.find import find_run

    run = find_run(ctx.params["run"], ctx.params.get("runs"))
    return _offered((task.id for task in run.plan.tasks), begun)


def backend_names(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer the installed backends; none is imported."""
    from batchcore.plugins import Plugins

    return _offered((plugin.name for plugin in Plugins().names() if not plugin.problem), begun)


def files(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer files, and directories on the way to them."""
    return [CompletionItem(begun, type="file")]


def directories(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Offer directories."""
    return [CompletionItem(begun, type="dir")]


def _offered(names: Iterable[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(begun)]
