"""The options of `azure`. A credential is none of them: see `environment`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from batchcore.errors import JobError
from batchcore.units import seconds
from batchcore_azure import names

# Of the options of `docker create` those that give a task nothing of its machine or of others.
HARMLESS = (
    "--add-host",
    "--dns",
    "--dns-search",
    "--hostname",
    "--label",
    "--network=none",
    "--read-only",
    "--shm-size",
    "--stop-signal",
    "--tmpfs",
    "--ulimit",
)

Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Slots = Annotated[int, Meta(ge=1, le=256)]
BatchId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Url = Annotated[str, Meta(pattern=r"^https?://[^/?#@]+(/[^?#]*)?$")]


class AzureSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `azure`.

    `endpoint` is the URL of the Batch account, `account_name` its name where the URL does not
    begin with it. `storage_account` names the storage account, `storage_endpoint` is the URL of
    its blobs, default the public cloud's. `container` holds the resources of all runs;
    `output_container` what the tasks write, default one of the run's own.

    `pool` is an existing pool, or the id of the one to create; default one of the run's own. The
    next options are those of a created pool: `vm_size`; `nodes` and `spot_nodes`, how many
    dedicated and spot machines; `autoscale`, whether those are the most and none run without
    work; `slots_per_node`, how many tasks share a machine; `image`, ``"publisher/offer/sku"`` of
    the virtual machines, default the newest that Batch supports; `subnet` and `identity`, Azure's
    ids of a subnet and of a user-assigned identity; `start_task`, a command line for each new
    machine; `prefetch`, whether a machine takes tasks only once it has their images, and none if it
    cannot get one; `registry_server` and `registry_username` for private images.

    `max_queue_time` is how long a task may wait for a machine and `default_time_limit` how long
    one without a timeout of its own may run: together they decide how long the signed URLs of a
    task are valid. `max_requeues` is how often Batch itself may start a task again after it lost
    the machine. `pids_limit` is how many processes and threads one task may have,
    `container_options` are further options of ``docker create``, from a list of harmless ones.
    `delete_pool_when_done`, `delete_job_when_done` and `delete_container_when_done` delete what
    the run has made there after a full success; else it stays until `batchcore clean`.
    """

    endpoint: Url | None = None
    account_name: str | None = None
    storage_account: str | None = None
    storage_endpoint: Url | None = None
    container: str = "batchcore"
    output_container: str | None = None
    pool: BatchId | None = None
    vm_size: str = "Standard_D2s_v5"
    nodes: Count = 1
    spot_nodes: Count = 0
    autoscale: bool = True
    slots_per_node: Slots = 1
    image: Annotated[str, Meta(pattern=r"^[^/\s]+/[^/\s]+/[^/\s]+$")] | None = None
    subnet: str | None = None
    identity: str | None = None
    start_task: str | None = None
    prefetch: bool = False
    registry_server: str | None = None
    registry_username: str | None = None
    max_queue_time: float | str = "24h"
    default_time_limit: float | str = "24h"
    max_requeues: Count = 5
    pids_limit: Positive = 4096
    container_options: tuple[str, ...] = ()
    delete_pool_when_done: bool = False
    delete_job_when_done: bool = False
    delete_container_when_done: bool = False

    aliases: ClassVar[Mapping[str, str]] = {
        "BATCH_ACCOUNT_NAME": "account_name",
        "BATCH_ACCOUNT_ENDPOINT": "endpoint",
        "STORAGE_ACCOUNT_NAME": "storage_account",
        "REGISTRY_SERVER": "registry_server",
        "REGISTRY_USERNAME": "registry_username",
    }
    """Variables with names of their own, which fill what nothing else gives."""

    credentials: ClassVar[tuple[str, ...]] = (
        "batch_account_key",
        "storage_account_key",
        "storage_account_connection_string",
        "registry_password",
    )
    """What is read from the environment by the backend itself and never becomes a setting."""

    def __post_init__(self) -> None:
        """Turn times into seconds and refuse names and options that cannot be."""
        for name in ("max_queue_time", "default_time_limit"):
            force_setattr(self, name, seconds(getattr(self, name), name))
        self._check_containers()
        self._check_options()

    def _check_containers(self) -> None:
        for name in ("container", "output_container"):
            value = getattr(self, name)
            if value is not None and not names.is_container_name(value):
                raise JobError.of(
                    "BC2400",
                    f"{value!r} is not the name of a container",
                    hint="use 3 to 63 of a-z 0-9 and single hyphens between them",
                    key=name,
                )
        if self.output_container == self.container:
            raise JobError.of(
                "BC2400",
                "container and output_container are the same, so tasks could change resources",
                hint="leave output_container out, or name another container",
                key="output_container",
            )

    def _check_options(self) -> None:
        for option in self.container_options:
            if option not in HARMLESS and option.partition("=")[0] not in HARMLESS:
                raise JobError.of(
                    "BC2400",
                    f"{option!r} is not one of the options that a task's container may get",
                    hint=f"write them as --name=value; allowed are {', '.join(HARMLESS)}",
                    key="container_options",
                )

    @property
    def queue_seconds(self) -> float:
        """`max_queue_time` in seconds."""
        return float(self.max_queue_time)

    @property
    def limit_seconds(self) -> float:
        """`default_time_limit` in seconds."""
        return float(self.default_time_limit)
