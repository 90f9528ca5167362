"""The installed backends, and one of them."""

from __future__ import annotations

import inspect

import click
import msgspec

from batchcore.cli.completion import backend_names
from batchcore.cli.options import json_option, traceback_option
from batchcore.cli.session import Session
from batchcore.plugins import InstalledPlugin, Plugins
from batchcore.report.backends import (
    OptionLine,
    backend_data,
    backend_lines,
    backend_text,
    backends_text,
)
from batchcore.report.data import json_text
from batchcore.settings.merge import rows
from batchcore.settings.types import Type, describe, fields

LIST = "batchcore.backends/1"
SHOW = "batchcore.backend/1"


@click.command("list", epilog="Example:  batchcore backends list --json")
@json_option
@traceback_option
@click.pass_obj
def list_backends(session: Session) -> None:
    """List the installed backends.

    Nothing of them is imported; one that cannot be used is named with the reason.
    """
    lines = backend_lines(Plugins(environ=session.environ).names())
    if session.wants_json:
        session.out.json(json_text(LIST, {"backends": lines}))
    else:
        session.out.line(backends_text(lines, session.out.width))


@click.command("show", epilog="Example:  batchcore backends show local-docker")
@click.argument("name", metavar="NAME", shell_complete=backend_names)
@json_option
@traceback_option
@click.pass_obj
def show_backend(session: Session, name: str) -> None:
    """Show what a backend can do and its options; its SDK is not imported."""
    plugins = Plugins(environ=session.environ)
    spec = plugins.spec(name)
    wanted = plugins.settings_type(name)
    plugin = _plugin(plugins, name)
    options = [
        OptionLine(key=row.key, type=describe(_type(wanted, row.key)), default=row.value)
        for row in rows(msgspec.convert({}, wanted), {}, "")
    ]
    if session.wants_json:
        session.out.json(json_text(SHOW, dict(backend_data(spec, plugin, options))))
    else:
        session.out.line(backend_text(spec, plugin.label, options, inspect.getdoc(wanted) or ""))


def _plugin(plugins: Plugins, name: str) -> InstalledPlugin:
    return next(p for p in plugins.names() if p.name == name and not p.problem)


def _type(wanted: Type, key: str) -> Type:
    """Return the type of a key, which may lie in a table of the settings."""
    for word in key.split("."):
        wanted = (fields(wanted) or {})[word]
    return wanted
