"""The verbs `backends list` and `backends show`."""

from __future__ import annotations

from batchcore.cli.group import LazyGroup

backends = LazyGroup(
    name="backends",
    verbs={
        "list": ("batchcore.cli.backendlist:list_backends", "List the installed backends."),
        "show": ("batchcore.cli.backendlist:show_backend", "Show what a backend can do."),
    },
    help="List and describe the backends.",
    epilog="Example:  batchcore backends show local-docker",
)
