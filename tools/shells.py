"""Install zsh and fish from Debian's packages, for the tests of what a shell completes."""

from __future__ import annotations

import shutil
import sys

import machine

SHELLS = ("zsh", "fish")


def ensure() -> None:
    """Return when the shells are there; raise SetupError with the reason when one cannot be had."""
    missing = [shell for shell in SHELLS if shutil.which(shell) is None]
    if not missing:
        return
    obstacle = machine.why_no_packages()
    if obstacle is not None:
        raise machine.SetupError(f"there is no {missing[0]}, and {obstacle}")
    machine.say(f"installing {' and '.join(missing)} from Debian's packages")
    machine.install_packages(*missing)


if __name__ == "__main__":
    try:
        ensure()
    except machine.SetupError as error:
        sys.exit(f"shells: {error}; the tests that need it will be skipped")
