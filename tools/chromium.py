"""Install Chromium from Debian's packages, for the tests that look at the report in a browser."""

from __future__ import annotations

import shutil
import sys

import machine

PROGRAM = "chromium"
# Without a font, text has no size, and a test of the layout would say nothing.
FONTS = "fonts-dejavu-core"


def ensure() -> None:
    """Return when Chromium can be started; raise SetupError with the reason when it cannot be."""
    if shutil.which(PROGRAM) is not None:
        return
    obstacle = machine.why_no_packages()
    if obstacle is not None:
        raise machine.SetupError(f"there is no {PROGRAM} here, and {obstacle}")
    machine.say("installing Chromium from Debian's packages")
    machine.install_packages(PROGRAM, FONTS)


if __name__ == "__main__":
    try:
        ensure()
    except machine.SetupError as error:
        sys.exit(f"chromium: {error}")
