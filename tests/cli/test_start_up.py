"""What the command line imports before it is asked for anything, and what its help says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

from batchcore.cli.group import LazyGroup
from batchcore.cli.root import root

Call = Callable[..., Any]


def imported(*argv: str) -> set[str]:
    """Return the top-level modules that a command imports."""
    line = [sys.executable, "-X", "importtime", "-m", "batchcore", *argv]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    lines = [x.rpartition("|")[2].strip() for x in done.stderr.splitlines() if "|" in x]
    return {name.split(".")[0] for name in lines}


def commands(group: LazyGroup) -> list[tuple[str, click.Command]]:
    found = []
    for name in group.verbs:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, LazyGroup):
            found += [(f"{name} {inner}", one) for inner, one in commands(command)]
    return found


ALL = commands(root)


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["backends", "--help"]])
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    heavy = {"rich", "msgspec", "fsspec", "sqlite3", "filelock", "pluggy", "asyncio"}
    assert imported(*argv) & heavy == set()


def test_plain_output_does_not_import_rich() -> None:
    assert "rich" not in imported("config", "show", "--no-config")


def test_version(cli: Call) -> None:
    from importlib.metadata import version

    done = cli("--version")
    assert (done.code, done.out) == (0, f"batchcore {version('batchcore')}\n")


def test_help_lists_the_verbs(cli: Call) -> None:
    done = cli("--help")
    assert done.code == 0
    assert all(f"\n  {name}  " in done.out for name in root.verbs)


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_every_verb_has_an_example(name: str, command: click.Command) -> None:
    assert command.epilog is not None
    assert f"batchcore {name}" in command.epilog


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_the_list_says_what_the_verb_says(name: str, command: click.Command) -> None:
    *groups, last = name.split()
    table = root.verbs
    for group in groups:
        inner = root.get_command(click.Context(root), group)
        assert isinstance(inner, LazyGroup)
        table = inner.verbs
    said = table[last][1].rstrip(".")
    assert (command.help or "").startswith(said)


@pytest.mark.parametrize(("name", "command"), ALL, ids=[name for name, _ in ALL])
def test_every_option_has_a_help_text(name: str, command: click.Command) -> None:
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    assert [option.name for option in options if not option.help] == []
