"""A task's process in a container of this machine's Docker."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from docker import APIClient, from_env  # noqa: TID253 - the emulator's own extra
from docker.errors import APIError, DockerException, NotFound  # noqa: TID253 - as above
from docker.types import LogConfig, Mount  # noqa: TID253 - as above

from batchcore_azure.emulator import runoptions
from batchcore_azure.emulator.failures import SERVER, TaskFailure
from batchcore_azure.emulator.places import LABEL, NODE_ROOT, SHARES, TaskPlace
from batchcore_azure.emulator.processes import Launch

_CALL_SECONDS = 120


class Docker:
    """The daemon; connected on first use, so that an emulator without containers needs none."""

    def __init__(self, name: str) -> None:
        """Keep the emulator's name: all its containers carry it as a label."""
        self.name = name
        self._lock = threading.Lock()
        self._client: APIClient | None = None

    @property
    def client(self) -> APIClient:
        """The client; raises `TaskFailure` (the server's fault) while no daemon answers."""
        with self._lock:
            if self._client is None:
                try:
                    self._client = from_env(timeout=_CALL_SECONDS, max_pool_size=64).api
                except (DockerException, OSError) as error:
                    raise _no_answer(error) from error
            return self._client

    def require_image(self, image: str) -> str:
        """Return the id of an image of this machine.

        Raises `TaskFailure`: ContainerInvalidImage, or the server's fault where the daemon fails.
        """
        try:
            return str(self.client.inspect_image(image)["Id"])  # type: ignore[no-untyped-call]
        except (NotFound, ValueError) as error:
            raise TaskFailure(
                "ContainerInvalidImage",
                "The image is not on this machine; the emulator pulls none",
                ImageName=image,
            ) from error
        except (DockerException, OSError) as error:
            raise _no_answer(error) from error

    def close(self) -> None:
        """Remove every container of this emulator and let go of the connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is None:
            return
        with suppress(DockerException, OSError):
            for found in client.containers(all=True, filters={"label": f"{LABEL}={self.name}"}):
                with suppress(APIError):
                    client.remove_container(found["Id"], v=True, force=True)
        client.close()


class ContainerProcess:
    """A container; its output is written to the task's files while it runs."""

    def __init__(self, docker: Docker, settings: Mapping[str, Any], launch: Launch) -> None:
        """Create and start it; raises `TaskFailure`."""
        image = docker.require_image(str(settings["imageName"]))
        options = runoptions.parse(settings.get("containerRunOptions"))
        self._client, self._launch = docker.client, launch
        self._code: int | None = None
        self._error = ""
        try:
            made = self._client.create_container(
                image,
                launch.command or None,
                user=options.user or launch.place.user,
                environment=launch.environment | dict(_pair(text) for text in options.env),
                working_dir=options.workdir or _directory(settings, launch.place),
                entrypoint=None if options.entrypoint is None else [options.entrypoint],
                hostname=options.hostname,
                labels=dict(runoptions.pairs(options.label, "=")) | {LABEL: docker.name},
                stop_signal=options.stop_signal,
                host_config=self._client.create_host_config(
                    mounts=mounts(settings, launch.place),
                    # What it writes goes to the task's files; a second copy helps nobody.
                    log_config=LogConfig(type="none"),
                    **runoptions.host_config(options),
                ),
            )
        except APIError as error:
            raise TaskFailure(
                "ContainerInvalidSettings", f"Docker refuses the container: {error.explanation}"
            ) from error
        self._id = str(made["Id"])
        self._start()

    def _start(self) -> None:
        output = self._client.attach(self._id, stream=True, demux=True)
        try:
            self._client.start(self._id)
        except APIError as error:
            _close(output)
            self._remove()
            text = str(error.explanation)
            missing = "not found" in text or "no such file" in text
            raise TaskFailure(
                "CommandProgramNotFound" if missing else "ContainerMiscError",
                f"Docker could not start the container: {text}",
            ) from error
        self._thread = threading.Thread(target=self._copy, args=[output], daemon=True)
        self._thread.start()

    def _copy(self, output: Any) -> None:
        """Write what the container says until it ends."""
        try:
            for pair in output:
                for data, log in zip(pair, (self._launch.out, self._launch.err), strict=True):
                    if data:
                        log.write(data)
                        log.flush()
            self._code = int(self._client.wait(self._id)["StatusCode"])
        except (DockerException, OSError) as error:
            self._error = str(error)
        finally:
            _close(output)
            self._launch.ended()

    def code(self) -> int | None:
        """Return its exit code; raises `TaskFailure` where it was lost."""
        if self._error:
            raise TaskFailure("ContainerMiscError", self._error, category=SERVER)
        return self._code

    def signal(self, name: str) -> None:
        """Signal the container's first process."""
        with suppress(APIError):
            self._client.kill(self._id, name)

    def container(self) -> dict[str, Any]:
        """Return its `containerInfo`."""
        return {"containerId": self._id, "state": "running" if self._code is None else "exited"}

    def close(self) -> None:
        """Remove the container."""
        self._remove()
        self._thread.join()

    def _remove(self) -> None:
        with suppress(APIError):
            self._client.remove_container(self._id, v=True, force=True)


def _no_answer(error: Exception) -> TaskFailure:
    return TaskFailure("ContainerMiscError", f"No Docker daemon answers: {error}", category=SERVER)


def _close(output: Any) -> None:
    """Close a stream of an attached container."""
    output.close()
    output._response.close()  # noqa: SLF001 - docker 7.2 leaves the socket's other handle open


def mounts(settings: Mapping[str, Any], place: TaskPlace) -> list[Mount]:
    """Return what a container sees of its node: all of it, unless the task names what it wants."""
    wanted = settings.get("containerHostBatchBindMounts")
    if wanted is None:
        return [Mount(NODE_ROOT, str(place.node.root), type="bind")]
    found = []
    for entry in wanted:
        source = str(entry["source"])
        inside = place.inside if source == "Task" else SHARES.get(source)
        if inside is None:
            raise TaskFailure("ContainerInvalidSettings", f"There is no bind mount {source!r}")
        found.append(
            Mount(
                f"{NODE_ROOT}/{inside}",
                str(place.node.root / inside),
                type="bind",
                read_only=bool(entry.get("isReadOnly")),
            )
        )
    return found


def _directory(settings: Mapping[str, Any], place: TaskPlace) -> str | None:
    if str(settings.get("workingDirectory") or "").lower() == "containerimagedefault":
        return None
    return f"{place.seen(NODE_ROOT)}/wd"


def _pair(text: str) -> tuple[str, str]:
    # Docker's client would take a bare name's value from its own environment: here there is none.
    name, _, value = text.partition("=")
    return name, value
