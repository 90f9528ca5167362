"""Moving files: staging resources into a store, collecting outputs out of a task's files.

Only fsspec, never a cloud's SDK. Everything that lands in a final place was written under a
temporary name beside it, verified by size and SHA-256, and renamed. `files` has the primitives,
`stage` fills a store and a working directory, `collect` reads what a task left, `logs` its logs,
`remove` deletes it.

What a backend whose tasks share a file system with the controller needs is public, and imported
when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batchcore.lazy import attribute

if TYPE_CHECKING:
    from batchcore.transfer.files import UnsafeFile, open_beneath, write_error, write_whole
    from batchcore.transfer.logs import log_chunk
    from batchcore.transfer.remove import remove_tree
    from batchcore.transfer.stage import local_path, materialise, resource_url

__all__ = [
    "UnsafeFile",
    "local_path",
    "log_chunk",
    "materialise",
    "open_beneath",
    "remove_tree",
    "resource_url",
    "write_error",
    "write_whole",
]

_HOMES = {
    "UnsafeFile": "files",
    "local_path": "stage",
    "log_chunk": "logs",
    "materialise": "stage",
    "open_beneath": "files",
    "remove_tree": "remove",
    "resource_url": "stage",
    "write_error": "files",
    "write_whole": "files",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    return attribute(__name__, _HOMES, name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
