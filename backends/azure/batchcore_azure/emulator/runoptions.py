"""The `containerRunOptions` that the emulator understands, and what Docker's API is told for them.

Options that reach beyond a task's own container (`--privileged`, `--volume`, `--device`, …) and
those unknown here are refused: a test shall see what a client sends, not have it ignored.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import Any, NoReturn

from batchcore_azure.emulator.failures import TaskFailure


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TaskFailure(
            "ContainerInvalidSettings", f"The emulator does not know these options: {message}"
        )


def parse(text: str | None) -> argparse.Namespace:
    """Return the options of a string as Docker's command line takes them.

    Raises `TaskFailure` ContainerInvalidSettings for an option that is not known here.
    """
    try:
        words = shlex.split(text or "")
    except ValueError as error:
        raise TaskFailure("ContainerInvalidSettings", f"containerRunOptions: {error}") from error
    return _parser().parse_args(words)


def _parser() -> _Parser:
    parser = _Parser(add_help=False, allow_abbrev=False, usage="")
    for flag in ("--init", "--rm", "--read-only"):
        parser.add_argument(flag, action="store_true")
    for repeated in ("--cap-drop", "--cap-add", "--security-opt", "--tmpfs", "--ulimit"):
        parser.add_argument(repeated, action="append", default=[])
    for repeated in ("--add-host", "--dns", "--dns-search", "--label"):
        parser.add_argument(repeated, action="append", default=[])
    parser.add_argument("-e", "--env", action="append", default=[])
    parser.add_argument("-m", "--memory")
    parser.add_argument("-u", "--user")
    parser.add_argument("-w", "--workdir")
    parser.add_argument("--net", "--network", dest="network")
    parser.add_argument("--cpus", type=float)
    parser.add_argument("--pids-limit", type=int)
    for single in ("--memory-swap", "--shm-size", "--entrypoint", "--hostname", "--stop-signal"):
        parser.add_argument(single)
    return parser


def host_config(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options as arguments of the Docker SDK's `create_host_config`."""
    given = {
        "cap_drop": options.cap_drop,
        "cap_add": options.cap_add,
        "security_opt": options.security_opt,
        "tmpfs": dict(pairs(options.tmpfs, ":")),
        "init": options.init,
        "read_only": options.read_only,
        "mem_limit": options.memory,
        "memswap_limit": options.memory_swap,
        "shm_size": options.shm_size,
        "pids_limit": options.pids_limit,
        "nano_cpus": int(options.cpus * 1e9) if options.cpus else None,
        "network_mode": _network(options.network),
        "dns": options.dns,
        "dns_search": options.dns_search,
        "extra_hosts": dict(pairs(options.add_host, ":")),
        "ulimits": [_ulimit(value) for value in options.ulimit],
    }
    return {name: value for name, value in given.items() if value}


def pairs(values: Sequence[str], mark: str) -> list[tuple[str, str]]:
    """Return what stands before and after the first mark in each value."""
    return [(name, rest) for name, _, rest in (value.partition(mark) for value in values)]


def _ulimit(value: str) -> dict[str, Any]:
    name, _, limits = value.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError as error:
        raise TaskFailure("ContainerInvalidSettings", f"invalid ulimit {value!r}") from error


def _network(name: str | None) -> str | None:
    if name in {None, "bridge", "none"}:
        return name
    raise TaskFailure(
        "ContainerInvalidSettings", f"The emulator does not give a container the network {name!r}"
    )
