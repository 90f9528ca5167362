"""Where the files of a run lie: containers, URLs, and a file system for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.util import find_spec

from azure.core.exceptions import (  # noqa: TID253 - only loaded once the backend is used
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import ContainerClient  # noqa: TID253 - as above

from batchcore.backend import RunContext, TaskFiles, TaskSubmission
from batchcore.clock import Clock, SystemClock
from batchcore.errors import BackendError, Conflict
from batchcore_azure import names
from batchcore_azure.auth import Account
from batchcore_azure.blobs import BlobFileSystem
from batchcore_azure.environment import Secret
from batchcore_azure.errors import azure_errors, code
from batchcore_azure.lifetimes import lifetime
from batchcore_azure.sas import Signer
from batchcore_azure.settings import AzureSettings
from batchcore_azure.translate import Places

_AT_ONCE = 16
_GONE = frozenset({"ContainerNotFound", "ContainerBeingDeleted", "BlobNotFound"})


class Storage:
    """The containers of runs in one storage account, for one process.

    May be used in several threads. Every method raises `EnvironmentNotReady` where the credential
    is refused and `BackendError` (transient) where the service does not answer.
    """

    def __init__(
        self, settings: AzureSettings, account: Account, clock: Clock | None = None
    ) -> None:
        """Take the account; nothing is sent yet."""
        self._settings = settings
        self._account = account
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._filesystem: tuple[Secret | None, BlobFileSystem] | None = None

    def store(self, run: RunContext) -> str:
        """Return the URL under which a run's resources are staged; the containers are there then.

        Raises `Conflict` where the container for its outputs is there and not this run's.
        """
        self._make(self._settings.container, run.run_id)
        output = self._output_container(run.run_id)
        owner = self._make(output, run.run_id)
        if output != self._settings.output_container and not names.is_ours(owner, run.run_id):
            raise Conflict(
                f"the container {output} is not this run's",
                hint="delete it if you can do without it, or set output_container",
                where=output,
            )
        return names.store_url(self._settings.container, run.run_id)

    def outputs(self, run: RunContext, attempt: TaskSubmission) -> TaskFiles:
        """Return where what an attempt has written lies; nothing is asked."""
        container, task = self._output_container(run.run_id), attempt.task.id
        working = names.working_prefix(run.run_id, task, attempt.attempt)
        stdout, stderr = (
            f"az://{container}/{names.log_blob(run.run_id, task, attempt.attempt, stream)}"
            for stream in ("stdout", "stderr")
        )
        return TaskFiles(tree=f"az://{container}/{working}", stdout=stdout, stderr=stderr)

    def places(self, run: RunContext, limit: float) -> Places:
        """Return what a machine needs for a task that may run for `limit` seconds.

        The URLs are signed and live for that, for the queue and a margin; those for a pool with
        an identity of its own carry no signature.
        """
        container, output = self._settings.container, self._output_container(run.run_id)
        signer = self._signer()
        if self._settings.identity:
            return Places(
                resource_url=lambda key: signer.unsigned(
                    container, names.resource_blob(run.run_id, key)
                ),
                output_container=signer.unsigned(output),
                identity=self._settings.identity,
            )
        life = lifetime(self._clock.now(), self._settings.queue_seconds, limit)
        with azure_errors("asking for a key to sign URLs with (role Storage Blob Delegator)"):
            writable = signer.container(output, life)
        return Places(
            resource_url=cache(
                lambda key: signer.blob(container, names.resource_blob(run.run_id, key), life)
            ),
            output_container=writable,
        )

    def filesystem(self, url: str) -> tuple[BlobFileSystem, str]:
        """Return the file system of the account, whatever the environment says, and the path."""
        key = self._account.storage_key
        with self._lock:
            if self._filesystem is None or self._filesystem[0] != key:
                self._filesystem = (key, _file_system(self._account))
            return self._filesystem[1], url.removeprefix("az://")

    def read(self, url: str, offset: int, most: int) -> bytes | None:
        """Return at most so many bytes of a blob from an offset on; None where there is none."""
        container, _, name = url.removeprefix("az://").partition("/")
        blob = self._account.blobs.get_blob_client(container, name)
        with azure_errors(f"reading {url}"):
            try:
                return bytes(blob.download_blob(offset, most).readall())
            except ResourceNotFoundError:
                return None
            except HttpResponseError as exc:
                if code(exc) == "InvalidRange":  # nothing there yet, or read to its end
                    return b""
                raise

    def leftovers(self, run: RunContext) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield a line for each thing that the run has in storage, and what deletes it.

        The container for resources stays, as other runs have theirs in it, unless this run made
        it, it is empty and `delete_container_when_done` asks for it.
        """
        container, output = self._settings.container, self._output_container(run.run_id)
        yield from self._left_blobs(container, f"{run.run_id}/")
        if self._settings.output_container:
            yield from self._left_blobs(output, f"{run.run_id}/")
        elif names.is_ours(self._metadata(output) or {}, run.run_id):
            yield f"container {output}", partial(self._delete_container, output)
        if self._settings.delete_container_when_done and names.is_ours(
            self._metadata(container) or {}, run.run_id
        ):
            yield (
                f"container {container}, if no other run uses it",
                partial(self._delete_if_empty, container),
            )

    def close(self) -> None:
        """Let go of the file system's connections; the account closes its own. Idempotent."""
        with self._lock:
            if self._filesystem is not None:
                self._filesystem[1].close()
            self._filesystem = None

    def _output_container(self, run_id: str) -> str:
        return self._settings.output_container or names.output_container(run_id)

    def _signer(self) -> Signer:
        """Return a new signer: each keeps one key of Entra ID, and places differ in their times."""
        account = self._account
        return Signer(
            account.storage_account,
            account.storage_endpoint,
            account.storage_key,
            account.blobs.get_user_delegation_key,
        )

    def _make(self, container: str, run_id: str) -> dict[str, str]:
        """Make a container where there is none, and return the metadata that it has."""
        with azure_errors(f"making the container {container!r}"):
            mine = {names.CONTAINER_RUN: run_id}
            try:
                self._container(container).create_container(metadata=mine)
            except ResourceExistsError as exc:
                if code(exc) == "ContainerBeingDeleted":
                    raise _being_deleted(container) from exc
                return self._metadata(container) or {}
            return mine

    def _metadata(self, container: str) -> dict[str, str] | None:
        with azure_errors(f"looking at the container {container!r}"):
            try:
                return dict(self._container(container).get_container_properties().metadata or {})
            except ResourceNotFoundError:
                return None

    def _left_blobs(self, container: str, prefix: str) -> Iterator[tuple[str, Callable[[], None]]]:
        if self._has_blobs(container, prefix):
            where = f"blobs az://{container}/{prefix}"
            yield where, partial(self._delete_blobs, container, prefix)

    def _has_blobs(self, container: str, prefix: str) -> bool:
        with azure_errors(f"listing az://{container}/{prefix}"):
            try:
                pages = self._container(container).list_blob_names(
                    name_starts_with=prefix, results_per_page=1
                )
                return next(iter(pages), None) is not None
            except ResourceNotFoundError:
                return False

    def _delete_blobs(self, container: str, prefix: str) -> None:
        client = self._container(container)
        with (
            azure_errors(f"deleting az://{container}/{prefix}"),
            ThreadPoolExecutor(_AT_ONCE, "delete") as pool,
        ):
            listed = client.list_blob_names(name_starts_with=prefix)
            for done in [pool.submit(_delete_blob, client, name) for name in listed]:
                done.result()

    def _delete_container(self, container: str) -> None:
        with azure_errors(f"deleting the container {container!r}"):
            try:
                self._container(container).delete_container()
            except (ResourceNotFoundError, ResourceExistsError) as exc:
                if code(exc) not in _GONE:
                    raise

    def _delete_if_empty(self, container: str) -> None:
        if not self._has_blobs(container, ""):
            self._delete_container(container)

    def _container(self, name: str) -> ContainerClient:
        return self._account.blobs.get_container_client(name)


def _file_system(account: Account) -> BlobFileSystem:
    """Return the fastest file system that is installed."""
    if find_spec("obstore") is None:
        return BlobFileSystem(account)
    from batchcore_azure.fast import FastFileSystem

    return FastFileSystem(account)


def _delete_blob(client: ContainerClient, name: str) -> None:
    try:
        client.delete_blob(name, delete_snapshots="include")
    except ResourceNotFoundError as exc:
        if code(exc) not in _GONE:
            raise


def _being_deleted(container: str) -> BackendError:
    return BackendError(
        f"the container {container} is still being deleted",
        hint="that takes Azure half a minute; run the same command again then",
        where=container,
        transient=True,
        retry_after=30,
    )
