"""Azure Batch on this machine: `python -m batchcore_azure.emulator`.

Prints lines for a shell to source, which make `--backend azure` use it, and serves until Ctrl-C;
with `--run COMMAND…` it runs one command in that environment and ends with its exit code.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from batchcore.errors import BatchcoreError
from batchcore_azure.emulator.azurite import Azurite
from batchcore_azure.emulator.cloud import Emulator
from batchcore_azure.emulator.machines import RunSettings

_NOT_READY, _INTERRUPTED = 6, 130
_LAST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, or run one command; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.run == []:
        parser.error("--run needs a command")
    # TERM ends it as Ctrl-C does: with all that it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    nodes = RunSettings(boot_seconds=options.boot_seconds, instant=options.instant)
    try:
        emulator = Emulator(nodes=nodes, azurite=Azurite(options.azurite), port=options.port)
    except OSError as error:
        click.echo(f"port {options.port} cannot be had: {error}", err=True)
        return _NOT_READY
    try:
        with emulator:
            environment = {
                **emulator.environment,
                "BATCHCORE_AZURE_NODES": str(options.nodes),
                "BATCHCORE_AZURE_SLOTS_PER_NODE": str(options.slots),
            }
            if options.run:
                return _run(options.run, environment)
            _serve(emulator, environment)
    except BatchcoreError as error:
        click.echo(error, err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        return _NOT_READY
    except KeyboardInterrupt:
        return _INTERRUPTED
    except OSError as error:
        click.echo(f"the emulator cannot run: {error}", err=True)
        return _NOT_READY
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m batchcore_azure.emulator", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="of the service; default any free one"
    )
    parser.add_argument(
        "--azurite",
        type=shlex.split,
        default=(),
        metavar="COMMAND",
        help="what starts Azurite's blob service",
    )
    parser.add_argument(
        "--nodes", type=int, default=1, help="how many nodes a new pool gets; default 1"
    )
    parser.add_argument(
        "--slots", type=int, default=2, help="how many tasks run on a node at once; default 2"
    )
    parser.add_argument(
        "--boot-seconds", type=float, default=0, help="how long a node takes to start; default 0"
    )
    parser.add_argument(
        "--instant", action="store_true", help="run nothing: every task succeeds at once"
    )
    parser.add_argument(
        "--run", nargs=argparse.REMAINDER, metavar="COMMAND", help="run this and end; comes last"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 to {_LAST_PORT}")
    return int(text)


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    try:
        child = subprocess.Popen(command, env={**os.environ, **environment})
    except OSError as error:
        click.echo(f"{command[0]} cannot be run: {error}", err=True)
        return 127
    # Ctrl-C reaches the command too, which decides what becomes of it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.terminate()
        code = child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def _serve(emulator: Emulator, environment: dict[str, str]) -> None:
    """Print the environment and wait for Ctrl-C or TERM."""
    with suppress(KeyboardInterrupt):
        for name, value in environment.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        click.echo(f"Azure Batch is emulated at {emulator.endpoint}; Ctrl-C ends it", err=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())
