"""The loops that somebody would write by hand: container tasks over Docker's SDK, or its CLI.

``docker_loops.py sdk|cli DIRECTORY COUNT AT_ONCE IMAGE``; each task copies ``input.txt`` of the
directory in, runs ``cp`` in a container, and copies the result out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

COMMAND = ["cp", "input.txt", "output.txt"]


def main() -> None:
    """Run the tasks; the first failure ends it."""
    kind, directory, count, at_once, image = sys.argv[1:]
    run = _by_sdk(image) if kind == "sdk" else _by_cli(image)
    with ThreadPoolExecutor(int(at_once)) as pool:
        list(pool.map(lambda number: _task(Path(directory), number, run), range(int(count))))


def _task(directory: Path, number: int, run: Callable[[Path], None]) -> None:
    work = directory / f"work-{number}"
    work.mkdir()
    shutil.copyfile(directory / "input.txt", work / "input.txt")
    run(work)
    shutil.copyfile(work / "output.txt", directory / f"output-{number}.txt")
    shutil.rmtree(work)


def _by_sdk(image: str) -> Callable[[Path], None]:
    """Return the fastest way to run a fresh container: no network, no logs of the daemon."""
    import docker

    client = docker.APIClient(version="auto", max_pool_size=16)

    def run(work: Path) -> None:
        made = client.create_container_from_config(  # type: ignore[no-untyped-call]
            {
                "Image": image,
                "Cmd": COMMAND,
                "WorkingDir": "/work",
                "User": f"{os.getuid()}:{os.getgid()}",
                "NetworkDisabled": True,
                "HostConfig": {
                    "Mounts": [{"Type": "bind", "Source": str(work), "Target": "/work"}],
                    "LogConfig": {"Type": "none", "Config": {}},
                },
            }
        )
        client.start(made["Id"])
        if client.wait(made["Id"])["StatusCode"]:
            raise SystemExit("a task failed")
        client.remove_container(made["Id"], v=True, force=True)

    return run


def _by_cli(image: str) -> Callable[[Path], None]:
    user = f"{os.getuid()}:{os.getgid()}"

    def run(work: Path) -> None:
        place = ["--mount", f"type=bind,src={work},dst=/work", "--workdir", "/work"]
        command = ["docker", "run", "--rm", "--user", user, *place, image, *COMMAND]
        subprocess.run(command, check=True)

    return run


if __name__ == "__main__":
    main()
