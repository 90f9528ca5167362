"""Make a Docker daemon answer: nothing to do where one does, else Debian's engine is started.

A daemon started here outlives this script; its log is /var/log/batchcore-dockerd.log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

LOG = Path("/var/log/batchcore-dockerd.log")
PID_FILES = {
    Path("/var/run/docker.pid"): "dockerd",
    Path("/var/run/docker/containerd/containerd.pid"): "containerd",
}
START_SECONDS = 60


def ensure() -> None:
    """Return when a daemon answers; raise SetupError with the reason when none can be had."""
    reason = _silence()
    if reason is None:
        return
    if "DOCKER_HOST" in os.environ:
        raise machine.SetupError(reason)
    obstacle = machine.why_no_packages()
    if obstacle is not None:
        raise machine.SetupError(f"{reason}; cannot set one up: {obstacle}")
    if shutil.which("dockerd") is None:
        machine.say("installing the Docker engine from Debian's packages")
        machine.install_packages(
            "docker.io", "iptables", where_offered=("ca-certificates", "docker-cli", "tini")
        )
    machine.say("starting the Docker engine")
    if not (_start_service() or _start(os.environ["PATH"]) or _start_with_legacy_iptables()):
        machine.say(f"the end of {LOG}:\n{_log_end()}")
        raise machine.SetupError("the Docker engine does not come up")


def _silence() -> str | None:
    try:
        machine.connect(timeout=10).close()
    except machine.SetupError as error:
        return str(error)
    return None


def _start_service() -> bool:
    if not Path("/run/systemd/system").is_dir():
        return False
    command = ["systemctl", "start", "docker"]
    subprocess.run(command, capture_output=True, check=False, timeout=START_SECONDS)
    return _silence() is None


def _forget_dead_engine() -> None:
    """Remove the pid files of an engine that was killed; a number of theirs may be in use again.

    The engine refuses to start beside a pid file whose number lives, whoever that is (seen with
    dockerd 20.10).
    """
    for path, program in PID_FILES.items():
        try:
            name = Path("/proc", path.read_text().strip(), "comm").read_text().strip()
        except OSError:
            name = ""
        if name != program:
            path.unlink(missing_ok=True)


def _start(path: str) -> bool:
    _forget_dead_engine()
    command = ["dockerd"]
    tini = shutil.which("tini-static")
    if shutil.which("docker-init") is None and tini is not None:
        command += ["--init-path", tini]
    with LOG.open("ab") as log:
        # A session of its own, so that neither Ctrl-C nor a closing terminal ends it.
        process = subprocess.Popen(
            command,
            cwd="/",
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _silence() is None:
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.3)
    process.terminate()
    process.wait(timeout=30)
    return False


def _start_with_legacy_iptables() -> bool:
    # Kernels without nftables refuse the default one. A folder ahead in PATH changes it for this
    # daemon alone, where update-alternatives would change it for the machine.
    legacy = {name: shutil.which(f"{name}-legacy") for name in ("iptables", "ip6tables")}
    if legacy["iptables"] is None or "iptables" not in _log_end():
        return False
    machine.say("starting it again with iptables-legacy")
    folder = Path(tempfile.mkdtemp(prefix="batchcore-iptables-"))
    for name, program in legacy.items():
        if program is not None:
            (folder / name).symlink_to(program)
    return _start(f"{folder}{os.pathsep}{os.environ['PATH']}")


def _log_end() -> str:
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-20:]) if LOG.exists() else ""


if __name__ == "__main__":
    try:
        ensure()
    except machine.SetupError as error:
        sys.exit(f"docker: {error}")
