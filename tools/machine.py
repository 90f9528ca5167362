"""What the scripts of this folder share: messages, a Docker client, Debian packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

ROOT = Path(__file__).resolve().parent.parent
PUBLIC_IMAGE = "python:3.12-slim"

# requests' errors, which the Docker SDK lets through, are OSErrors.
DOCKER_ERRORS = (DockerException, OSError)

_PLAIN_REASONS = {
    "FileNotFoundError": "there is no socket",
    "PermissionError": "this user may not use its socket",
    "ConnectionRefusedError": "nothing listens there",
}


class SetupError(Exception):
    """A part cannot be made available; the message says why in one line."""


def say(text: str) -> None:
    """Tell the user what goes on, on stderr: stdout belongs to the result."""
    print(text, file=sys.stderr, flush=True)


def connect(timeout: float = 60) -> docker.DockerClient:
    """Return a client of a daemon that answers; `timeout` bounds each silence of the daemon."""
    try:
        client = docker.from_env(timeout=int(timeout))
        client.ping()
    except DOCKER_ERRORS as error:
        where = os.environ.get("DOCKER_HOST", "the default socket")
        text = str(error)
        reason = next((plain for name, plain in _PLAIN_REASONS.items() if name in text), text)
        raise SetupError(f"no Docker daemon answers at {where}: {reason}") from error
    return client


def has_image(client: docker.DockerClient, name: str) -> bool:
    """Whether the daemon holds the image."""
    return bool(client.images.list(name=name))


def registry_answers() -> bool:
    """Whether the public Python image can be had: already here, or offered by a registry."""
    with closing(connect(timeout=10)) as client:
        if has_image(client, PUBLIC_IMAGE):
            return True
        try:
            client.api.inspect_distribution(PUBLIC_IMAGE)  # type: ignore[no-untyped-call]
        except DOCKER_ERRORS:
            return False
        return True


def build(client: docker.DockerClient, tag: str, **options: Any) -> None:
    """Build an image and show the builder's output only when it fails."""
    shown: list[str] = []
    for step in client.api.build(tag=tag, rm=True, forcerm=True, decode=True, **options):
        shown.append(str(step.get("stream", "")))
        if "error" in step:
            say("".join(shown[-40:]))
            raise SetupError(f"cannot build {tag}: {str(step['error']).strip()}")


def why_no_packages() -> str | None:
    """Why Debian packages cannot be installed here, or None where they can."""
    if shutil.which("apt-get") is None:
        return "this machine has no apt-get"
    if os.geteuid() != 0:
        return "only root may install packages"
    return None


def install_packages(*names: str, where_offered: tuple[str, ...] = ()) -> None:
    """Install Debian packages; those of `where_offered` only if this release has them."""
    try:
        _apt("update")
    except SetupError as error:
        # One broken source of many is no reason to give up; the install will tell.
        say(str(error))
    offered = [
        name
        for name in where_offered
        if subprocess.run(
            ["apt-cache", "show", name], capture_output=True, check=False, timeout=60
        ).returncode
        == 0
    ]
    _apt("install", "--no-install-recommends", *names, *offered)


def _apt(verb: str, *arguments: str) -> None:
    command = ["apt-get", "-y", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120", verb]
    try:
        done = subprocess.run(
            [*command, *arguments],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"apt-get {verb} did not end in 10 minutes") from error
    if done.returncode != 0:
        say("\n".join(done.stdout.splitlines()[-20:]))
        raise SetupError(f"apt-get {verb} failed with exit code {done.returncode}")
