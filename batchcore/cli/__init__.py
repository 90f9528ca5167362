"""The command line: one file per group of verbs, each imported when it is used.

`root` lists the verbs, `group` finds them; `session` is what one command knows of the process it
runs in, and `screen` writes to it; `edge` turns every way a command can end into an exit code.
`completion` is what the shell is offered at a Tab.
`execute` runs a job for the verb `run` and for `batchcore.main` alike, and `progress` and `live`
show how it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

# The variable by which the script of `completion` asks what may follow.
COMPLETE = "_BATCHCORE_COMPLETE"


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code; `argv` defaults to the process's own."""
    import os
    import sys

    from batchcore.cli.edge import call
    from batchcore.cli.root import root
    from batchcore.cli.session import Session

    asked = os.environ.get(COMPLETE)
    if asked:
        from batchcore.cli.completion import complete

        sys.exit(complete(root, asked))
    sys.exit(call(root, Session(sys.argv[1:] if argv is None else argv)))
