"""Install Azurite, Microsoft's emulator of blob storage, for the tests of the azure backend.

It goes into a directory of this Python's environment (`.venv/azurite` under make), where
`batchcore_azure.emulator.azurite` finds it. Node and npm are taken from Debian's packages where
they are missing and root runs this.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import machine

# The last that runs on the Node of Debian 12 (18); 3.36 and later want Node 22.
VERSION = "3.35.0"
VARIABLE = "BATCHCORE_AZURITE"
NPM_SECONDS = 600


def target() -> Path:
    """Return where Azurite is installed."""
    return Path(sys.prefix) / "azurite"


def ensure() -> None:
    """Return when Azurite can be started; raise SetupError with the reason when it cannot be."""
    if os.environ.get(VARIABLE) or installed() == VERSION:
        return
    if shutil.which("azurite-blob") is not None:
        return
    _ensure_node()
    machine.say(f"installing Azurite {VERSION} into {target()}")
    _npm()
    if installed() != VERSION:
        raise machine.SetupError("npm installed no Azurite, and named no error")


def installed() -> str | None:
    """Return the version that is in place, None for none."""
    package = target() / "node_modules" / "azurite" / "package.json"
    try:
        return str(json.loads(package.read_text())["version"])
    except (OSError, ValueError, KeyError):
        return None


def _ensure_node() -> None:
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if not missing:
        return
    obstacle = machine.why_no_packages()
    if obstacle is not None:
        raise machine.SetupError(f"there is no {' and no '.join(missing)} here, and {obstacle}")
    machine.say("installing Node and npm from Debian's packages")
    machine.install_packages("nodejs", "npm")


def _npm() -> None:
    target().mkdir(parents=True, exist_ok=True)
    command = [
        *("npm", "install", "--prefix", str(target()), "--no-audit", "--no-fund"),
        *("--no-save", "--loglevel", "error", f"azurite@{VERSION}"),
    ]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=NPM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise machine.SetupError("npm did not end in 10 minutes") from error
    if done.returncode != 0:
        machine.say("\n".join(done.stdout.splitlines()[-20:]))
        raise machine.SetupError(f"npm failed with exit code {done.returncode}; see above")


if __name__ == "__main__":
    try:
        ensure()
    except machine.SetupError as error:
        sys.exit(f"azurite: {error}")
