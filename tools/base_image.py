"""Make the image that the tests' containers start from: Python with numpy and joblib.

It comes from an image registry where one answers, else from Debian packages.
"""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import time
from contextlib import closing

import docker

import machine

REPOSITORY = "batchcore-test-base"
IMAGE = f"{REPOSITORY}:latest"
# Workers call `python`, which Debian names python3 unless told otherwise.
DEBIAN_PACKAGES = "python3,python-is-python3,python3-numpy,python3-joblib"
# A task's user cannot write beside the modules, and no test should depend on whether it can.
ENVIRONMENT = "ENV PYTHONDONTWRITEBYTECODE=1"
DOCKERFILE = f"""\
FROM {machine.PUBLIC_IMAGE}
{ENVIRONMENT}
RUN pip install --no-cache-dir numpy joblib
"""


def ensure(client: docker.DockerClient) -> None:
    """Return when the image exists; raise SetupError with the reasons when it cannot be made."""
    if machine.has_image(client, IMAGE):
        return
    try:
        _from_registry(client)
    except (machine.SetupError, *machine.DOCKER_ERRORS) as error:
        machine.say(f"{error}; making {IMAGE} from Debian packages (about a minute)")
        _from_debian(client)


def _from_registry(client: docker.DockerClient) -> None:
    if not machine.registry_answers():
        raise machine.SetupError(f"no image registry offers {machine.PUBLIC_IMAGE}")
    machine.say(f"building {IMAGE} from {machine.PUBLIC_IMAGE}")
    machine.build(client, IMAGE, fileobj=io.BytesIO(DOCKERFILE.encode()))


def _from_debian(client: docker.DockerClient) -> None:
    release = platform.freedesktop_os_release()
    is_debian = release.get("ID") == "debian"
    if shutil.which("mmdebstrap") is None:
        obstacle = machine.why_no_packages()
        if obstacle is not None:
            raise machine.SetupError(f"mmdebstrap is missing: {obstacle}")
        machine.install_packages("mmdebstrap", "debian-archive-keyring")
    suite = release.get("VERSION_CODENAME", "bookworm") if is_debian else "bookworm"
    command = ["timeout", "900", "mmdebstrap", "--quiet", "--variant=minbase"]
    command += [f"--include={DEBIAN_PACKAGES}", suite, "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        # Imported under a name of its own: a tar that breaks off must not become the base.
        unchecked = f"unchecked-{time.time_ns()}"
        client.api.import_image_from_stream(
            process.stdout, repository=REPOSITORY, tag=unchecked, changes=[ENVIRONMENT]
        )
        code = process.wait(timeout=60)
    if code == 0:
        client.images.get(f"{REPOSITORY}:{unchecked}").tag(REPOSITORY, "latest")
    client.images.remove(f"{REPOSITORY}:{unchecked}")
    if code != 0:
        raise machine.SetupError(f"mmdebstrap failed with exit code {code}")


if __name__ == "__main__":
    try:
        with closing(machine.connect(timeout=600)) as daemon:
            ensure(daemon)
    except (machine.SetupError, *machine.DOCKER_ERRORS) as error:
        sys.exit(f"test base image: {error}")
