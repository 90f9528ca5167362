"""A group of verbs that knows their names and imports one when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class LazyGroup(click.Group):
    """A group whose `verbs` map a name to ``module:attribute`` and its one-line help."""

    def __init__(self, *, verbs: Mapping[str, tuple[str, str]], **given: Any) -> None:
        """Keep the table; nothing is imported."""
        super().__init__(invoke_without_command=True, callback=_show_help, **given)
        self.verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one verb."""
        if cmd_name not in self.verbs:
            return None
        module, _, attribute = self.verbs[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - a slip in the table, for mypy too
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the verbs without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.verbs.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the verbs without importing any, and the options."""
        from click.shell_completion import CompletionItem

        verbs = [
            CompletionItem(name, help=text)
            for name, (_, text) in self.verbs.items()
            if name.startswith(incomplete)
        ]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a verb, or say which one may be meant."""
        if args[0] not in self.verbs and not ctx.resilient_parsing:
            from difflib import get_close_matches

            from batchcore.errors import UsageError

            near = get_close_matches(args[0], self.verbs, n=1)
            raise UsageError(
                f"there is no command {f'{ctx.command_path} {args[0]}'!r}",
                hint=f'did you mean "{near[0]}"?' if near else f"see: {ctx.command_path} --help",
            )
        return super().resolve_command(ctx, args)


def _show_help() -> int:
    """Answer a group that is called without a verb: with its help, as a wrong call."""
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is not None:
        return 0
    click.echo(ctx.get_help(), err=True)
    return 2
