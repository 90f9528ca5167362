"""`local-docker`: a proxy stands before the daemon, and the daemon may be the seed's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import docker
from docker.errors import APIError

from conftest import BASE_IMAGE

from .drawing import Drawn, Fault
from .world import SLOTS, World

PARTS = Path(__file__).parents[2] / "backends/localdocker/tests"
SOCKET = Path("/var/run/docker.sock")


def part(name: str) -> ModuleType:
    """Import a module of that backend's own tests."""
    spec = util.spec_from_file_location(f"chaos_{name}", PARTS / f"{name}.py")
    assert spec
    assert spec.loader
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DockerWorld(World):
    """Containers are killed and removed from outside; the daemon answers badly, late or not."""

    def __init__(self, here: Path, drawn: Drawn, proxy: Any, daemon: Any) -> None:
        super().__init__(here, drawn)
        self._proxy = proxy
        self._daemon = daemon
        self.client = docker.APIClient(f"unix://{proxy.upstream}", version="auto", timeout=60)
        self.environment = {
            "DOCKER_HOST": proxy.host,
            "BATCHCORE_LOCAL_DOCKER_SLOTS": SLOTS,
            "BATCHCORE_LOCAL_DOCKER_PULL": "never",
        }
        # A daemon that dies while it starts a container does not know whether it has.
        self.restarts = daemon is not None

    def fields(self) -> Mapping[str, Any]:
        place = str(self.starts_file.parent)
        mount = {"path": place, "source": place, "read_only": False}
        image = "small:v1" if self._daemon else BASE_IMAGE
        return {**super().fields(), "image": image, "mounts": [mount]}

    def strike(self, fault: Fault) -> bool:
        seconds = 0.3 + 1.5 * fault.pick
        if fault.kind in {"kill", "stop", "remove"}:
            return self._hit_container(fault)
        if fault.kind == "daemon":
            return self._end_daemon(seconds, kill=fault.pick < 0.5)
        if fault.kind == "reset":
            self._proxy.mend()
            return True
        change: Callable[[], None] = {
            "refuse": self._proxy.fail,
            "hang": self._proxy.hang,
            "truncate": self._proxy.truncate,
        }[fault.kind]
        change()
        time.sleep(seconds)
        self._proxy.mend()
        return True

    def _hit_container(self, fault: Fault) -> bool:
        with suppress(APIError):
            chosen = self.choice(sorted(one for one in self._containers() if one[0]), fault)
            if chosen is None:
                return False
            task, ident = chosen
            if fault.kind == "remove":
                self.client.remove_container(ident, force=True)
            else:
                self.client.kill(ident, "SIGKILL" if fault.kind == "kill" else "SIGTERM")
            self._hit[task] += 1
            return True
        return False

    def _containers(self, **which: Any) -> Iterator[tuple[str, str]]:
        """Yield the task, if it has one, and the id of each container of the seed's run.

        Default of those that are up.
        """
        for one in self.client.containers(filters={"label": "batchcore.directory"}, **which):
            if one["Labels"]["batchcore.directory"].endswith(f":{self.directory}"):
                yield one["Labels"].get("batchcore.task", ""), one["Id"]

    def _end_daemon(self, seconds: float, *, kill: bool) -> bool:
        if kill:
            self._daemon.kill()
        else:
            self._daemon.stop()
        time.sleep(seconds)
        self._daemon.start()
        return True

    def calm(self) -> None:
        self._proxy.mend()

    def left(self, run_id: str) -> Iterator[str]:
        labels = {"label": f"batchcore.run={run_id}"}
        for container in self.client.containers(all=True, filters=labels):
            yield f"container {container['Names'][0]}"
        for network in self.client.networks(filters=labels):
            yield f"network {network['Name']}"

    def sweep(self) -> None:
        """Leave no container of a seed that went wrong."""
        for _task, ident in self._containers(all=True):
            with suppress(APIError):
                self.client.remove_container(ident, force=True)


@contextmanager
def docker_world(here: Path, drawn: Drawn) -> Iterator[DockerWorld]:
    """Give the world of a seed, with a daemon of its own where it asks for one."""
    with ExitStack() as stack:
        daemon, upstream = None, SOCKET
        if drawn.private:
            daemon = stack.enter_context(part("daemon").private_daemon())
            upstream = daemon.socket
        proxy = stack.enter_context(part("proxy").fault_proxy(here / "docker.sock", upstream))
        world = DockerWorld(here, drawn, proxy, daemon)
        stack.enter_context(closing(world.client))
        stack.callback(world.sweep)
        yield world
