"""The options of `slurm`."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.,@+-]+$", max_length=200)]

_OPTION = re.compile(r"--([a-z][a-z-]*)(=.+)?")
_OURS = (
    *("array", "chdir", "clusters", "comment", "error", "export", "export-file", "get-user-env"),
    *("help", "input", "job-name", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output"),
    *("parsable", "quiet", "requeue", "signal", "test-only", "usage", "version", "wait", "wrap"),
)


class SlurmSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `slurm`.

    `partition`, `account`, `qos` and `reservation` are those of `sbatch`, default the cluster's.
    `sbatch_options` are further options of it, each one word such as ``"--constraint=skylake"``;
    those that decide how a task is started and found are refused. `containers` says how a task
    with an image runs: ``"none"``, on the node as it is; ``"apptainer"`` or ``"docker"``.
    `image_paths` says where files of the image are on the shared file system while it is
    ``"none"``: a word of a command that equals a key is replaced by the value, a path relative to
    the job's directory. `array_size` is the most tasks of one array job, within the cluster's own
    limit. `patience` is how long, in seconds, a node's last words may take to be seen here: NFS may
    show an old listing of a directory for 60 s (nfs(5), acdirmax).
    """

    aliases: ClassVar[dict[str, str]] = {
        "SBATCH_ACCOUNT": "account",
        "SBATCH_PARTITION": "partition",
        "SBATCH_QOS": "qos",
        "SBATCH_RESERVATION": "reservation",
    }

    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    reservation: Name | None = None
    sbatch_options: tuple[str, ...] = ()
    containers: Literal["none", "apptainer", "docker"] = "none"
    image_paths: dict[str, str] = {}
    array_size: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    patience: Annotated[float, Meta(ge=0, le=600)] = 75.0

    def __post_init__(self) -> None:
        """Refuse options of `sbatch` that would break what this backend relies on."""
        for option in self.sbatch_options:
            found = _OPTION.fullmatch(option)
            if found is None:
                msg = f'{option!r} is not one long option: write "--name=value"'
                raise ValueError(msg)
            # sbatch takes an option that is cut short for the whole one.
            meant = next((ours for ours in _OURS if ours.startswith(found[1])), None)
            if meant is not None:
                msg = f"{option!r} cannot be given: batchcore itself decides about --{meant}"
                raise ValueError(msg)
