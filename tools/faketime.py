"""Install libfaketime from Debian's packages, for the tests that set the clock of a command."""

from __future__ import annotations

import sys
from pathlib import Path

import machine

PACKAGE = "libfaketime"


def library() -> Path | None:
    """Return the library that is in place, None for none."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def ensure() -> None:
    """Return when the library is there; raise SetupError with the reason when it cannot be."""
    if library() is not None:
        return
    obstacle = machine.why_no_packages()
    if obstacle is not None:
        raise machine.SetupError(f"there is no {PACKAGE} here, and {obstacle}")
    machine.say(f"installing {PACKAGE} from Debian's packages")
    machine.install_packages(PACKAGE)
    if library() is None:
        raise machine.SetupError(f"the package {PACKAGE} has no library where Debian puts it")


if __name__ == "__main__":
    try:
        ensure()
    except machine.SetupError as error:
        sys.exit(f"faketime: {error}; the tests that need it will be skipped")
