"""A Docker daemon of the tests' own, which may be killed, starved and restarted.

It lives in namespaces of its own: processes, so that nothing outlives it; mounts, so that a
directory can be hidden from it and every mount ends with it; network, as a daemon changes the
network of the machine that it starts on.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import docker

from conftest import lacking

IMAGE = "small:v1"
START_SECONDS = 30
STOP_SECONDS = 60

_PROGRAMS = ("sh", "cat", "sleep", "dd")
_NEEDED = ("dockerd", "containerd", "runc", "unshare", "nsenter", "ip", "ldd")
_NAMESPACES = [
    *("unshare", "--net", "--mount", "--propagation", "slave"),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
    *("sh", "-c", "ip link set lo up && echo ready && cat >/dev/null"),
]
_CGROUPS = Path("/sys/fs/cgroup")
# Kubernetes' part of containerd takes most of its start.
_CONTAINERD = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'


class PrivateDaemon:
    """A daemon with a small image, `IMAGE`; `close` leaves nothing of it behind.

    `host` is its address as ``DOCKER_HOST`` has it.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Make the namespaces; `options` are further ones of dockerd. Nothing runs yet."""
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.log = folder / "dockerd.log"
        self._group = f"bc-test-{secrets.token_hex(4)}"
        self._options = options
        self._processes: list[subprocess.Popen[bytes]] = []
        (folder / "containerd.toml").write_text(_CONTAINERD)
        # Ends when its input does, also if the tests are killed, and all of the rest with it.
        self._holder = subprocess.Popen(
            _NAMESPACES,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"

    def inside(self, *command: str) -> None:
        """Run a command to its end in the daemon's namespaces."""
        subprocess.run([*self._enter(), *command], check=True, timeout=STOP_SECONDS)

    def hide(self, directory: Path, size: str = "1m") -> None:
        """Give the daemon an empty directory of `size` in place of what is there."""
        self.inside("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory))

    def fill(self) -> None:
        """Leave no space on the daemon's disk."""
        self.inside("sh", "-c", f"cat /dev/zero >{self.data}/full 2>/dev/null; true")

    def start(self) -> None:
        """Start, or start again; on return the daemon answers."""
        containerd = self.folder / "containerd.sock"
        if not _answers(containerd):
            self._spawn(
                *("containerd", "--config", self.folder / "containerd.toml"),
                *("--root", self.folder / "containerd", "--state", self.folder / "state"),
                *("--address", containerd, "--log-level", "warn"),
            )
            _until(lambda: _answers(containerd), "containerd", self.log)
        # That of a daemon which was killed may name any process.
        self._pid_file.unlink(missing_ok=True)
        self._spawn(
            *("dockerd", "--containerd", containerd, "--host", self.host),
            *("--data-root", self.data, "--exec-root", self.folder / "exec"),
            *("--pidfile", self._pid_file, "--cgroup-parent", self._group),
            *("--iptables=false", "--ip6tables=false", "--shutdown-timeout", "1"),
            *self._options,
        )
        _until(self._has_started, "dockerd", self.log)

    def stop(self) -> None:
        """Stop it as a service manager does: TERM, and containers end with it."""
        self._end("TERM")

    def kill(self) -> None:
        """End it at once; containers go on."""
        self._end("KILL")

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def load(self) -> None:
        """Import the small image."""
        with closing(self.client()) as client:
            client.import_image_from_data(small_image(), repository=IMAGE)

    def client(self) -> docker.APIClient:
        """Return a client, which the caller closes."""
        return docker.APIClient(self.host, version="auto", timeout=STOP_SECONDS)

    def containers(self) -> list[str]:
        """Return the names of all containers."""
        with closing(self.client()) as client:
            return [container["Names"][0] for container in client.containers(all=True)]

    def close(self) -> None:
        """End every process in it, and delete what they leave."""
        self._holder.communicate()
        for process in self._processes:
            process.wait(timeout=STOP_SECONDS)
        for top in _CGROUPS.glob(f"**/{self._group}"):
            for group, _dirs, _files in os.walk(top, topdown=False):
                Path(group).rmdir()

    @property
    def data(self) -> Path:
        """Where the daemon keeps images and containers."""
        return self.folder / "data"

    @property
    def _pid_file(self) -> Path:
        return self.folder / "docker.pid"

    def _enter(self) -> list[str]:
        children = f"/proc/{self._holder.pid}/task/{self._holder.pid}/children"
        inner = Path(children).read_text().split()[0]
        return ["nsenter", "--target", inner, "--net", "--mount", "--pid"]

    def _spawn(self, *command: str | Path) -> None:
        with self.log.open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*self._enter(), *map(str, command)], stdout=log, stderr=subprocess.STDOUT
                )
            )

    def _has_started(self) -> bool:
        assert self._processes[-1].poll() is None, self.log.read_text()[-2000:]
        if not _answers(self.socket):
            return False
        with closing(self.client()) as client:
            return bool(client.ping())

    def _end(self, signal: str) -> None:
        self.inside("sh", "-c", f'kill -{signal} "$(cat {self._pid_file})"')
        self._processes.pop().wait(timeout=STOP_SECONDS)


def _answers(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as trial:
        trial.connect(str(path))
        return True
    return False


def _until(reached: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"{what} does not start: {log.read_text()[-2000:]}"
        time.sleep(0.02)


@cache
def small_image() -> bytes:
    """Return an image as a tar: a shell and a few programs of this machine with their libraries."""
    files = {}
    for name in _PROGRAMS:
        program = os.path.realpath(str(shutil.which(name)))
        files[f"bin/{name}"] = program
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        files |= {library: library for library in re.findall(r"/\S+", linked.stdout)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        for place, file in files.items():
            tar.add(file, place)
    return packed.getvalue()


@contextmanager
def private_daemon(*options: str, disk: str = "") -> Iterator[PrivateDaemon]:
    """Give a daemon that has started and has the image; the test ends where it cannot be had.

    `options` are further ones of dockerd, `disk` is how large a disk of its own it gets.
    """
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if sys.platform != "linux" or os.geteuid() != 0:
        lacking("a Docker daemon of the tests' own takes root on Linux")
    if missing:
        lacking(f"a Docker daemon of the tests' own needs {', '.join(missing)}")
    if subprocess.run(_NAMESPACES, input=b"", capture_output=True, check=False).returncode:
        lacking("a Docker daemon of the tests' own needs namespaces, which are forbidden here")
    # Not below tmp_path: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="bc-daemon-") as folder:
        daemon = PrivateDaemon(Path(folder), *options)
        try:
            if disk:
                daemon.data.mkdir()
                daemon.hide(daemon.data, disk)
            daemon.start()
            daemon.load()
            yield daemon
        finally:
            daemon.close()
