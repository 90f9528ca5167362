"""What `local-docker` refuses, before there is a container."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.docker

Check = Callable[..., None]

JOB = 'name = "j"\nimage = "batchcore-test-base"\n[[tasks]]\nid = "a"\ncommand = ["true"]\n'

CASES: dict[str, tuple[str, int, tuple[str, ...]]] = {
    # the fault: the sixth line, the exit code, what the answer says
    "an odd image": ('image = "Not An Image"', 2, ("tasks[0].image", "'Not An Image'")),
    "memory of no machine": ('requirements.memory = "900TiB"', 2, ("requirements.memory",)),
    "processors of no machine": ("requirements.cpus = 9000", 2, ("requirements.cpus", "9000")),
    "a mount of nothing": ('mounts = [{ path = "/d", source = "no" }]', 2, ("mounts", "no")),
    "an odd network": ('[backend.local-docker]\nnetwork = "brige"', 2, ('mean "bridge"?',)),
    "an odd pull": ('[backend.local-docker]\npull = "allways"', 2, ('mean "always"?',)),
    "no processes": ("[backend.local-docker]\npids_limit = 0", 2, ("pids_limit", "at least 1")),
}


@pytest.mark.parametrize(("line", "code", "words"), CASES.values(), ids=CASES)
def test_a_wrong_job(refused: Check, line: str, code: int, words: tuple[str, ...]) -> None:
    refused(
        {"job.toml": JOB + line}, *words, argv=("run", "job.toml", "-b", "local-docker"), code=code
    )


def test_an_image_that_is_nowhere(refused: Check) -> None:
    argv = ("run", "job.toml", "-b", "local-docker", "--set", "pull=never")
    job = JOB.replace("batchcore-test-base", "no-such-image:v0")
    refused({"job.toml": job}, "no image 'no-such-image:v0'", "pull = never", argv=argv)


def test_no_daemon(refused: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    argv = ("run", "job.toml", "-b", "local-docker")
    refused({"job.toml": JOB}, "/nowhere/docker.sock", argv=argv, code=6)
