"""Pure translation: no daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchcore.backend import FEATURES
from batchcore.errors import EnvironmentNotReady
from batchcore.local.runner import Attempt
from batchcore.model import Mount, Requirements
from batchcore.plan import PlannedTask
from batchcore.states import FailureReason
from batchcore_localdocker.check import refuse_daemon
from batchcore_localdocker.exits import exit_of, seconds
from batchcore_localdocker.images import digest_of, refused
from batchcore_localdocker.plugin import batchcore_register_backend
from batchcore_localdocker.pull import Progress
from batchcore_localdocker.settings import LocalDockerSettings
from batchcore_localdocker.translate import (
    ImageFacts,
    Placement,
    belongs,
    container_config,
    container_name,
    mount_source,
    shell_config,
    this_machine,
)

SHELL = ImageFacts(id="sha256:1", entrypoint=("/entry", "-x"), env=("PATH",), has_shell=True)
BARE = ImageFacts(id="sha256:1", entrypoint=("/entry", "-x"))
DIRECTORY = Path("/runs/r-1/work/One_1/2")


def attempt(**fields: Any) -> Attempt:
    task = PlannedTask(id="One_1", command=("run", "a b", ""), image="app:v1", **fields)
    return Attempt(run_id="r-1", task=task, number=2, directory=DIRECTORY, base=Path("/base"))


PLACE = Placement(user="1000:100", network="bridge")


def config(
    image: ImageFacts = SHELL, settings: Any = None, place: Placement = PLACE, **fields: Any
) -> dict[str, Any]:
    return container_config(attempt(**fields), image, settings or LocalDockerSettings(), place)


def ended(**state: Any) -> dict[str, Any]:
    return {
        "Id": "0123456789abcdef",
        "Config": {"Cmd": ["run"], "Image": "sha256:1", "Labels": {"batchcore.image": "app:v1"}},
        "HostConfig": {"Memory": state.pop("memory", 0), "LogConfig": {"Type": "none"}},
        "State": {
            "Status": "exited",
            "ExitCode": 0,
            "OOMKilled": False,
            "Error": "",
            "StartedAt": "2026-01-01T00:00:01.000000001Z",
            "FinishedAt": "2026-01-01T00:00:03.5Z",
            **state,
        },
    }


def test_a_container_is_known_by_name_and_labels() -> None:
    made = config(labels={"team": "x", "batchcore.run": "forged", "batchcore.other": "y"})
    assert container_name(attempt()) == "bc-r-1-One_1-2"
    assert made["Labels"] == {
        "team": "x",
        "batchcore.run": "r-1",
        "batchcore.directory": f"{this_machine()}:/runs/r-1",
        "batchcore.task": "One_1",
        "batchcore.attempt": "2",
        "batchcore.image": "app:v1",
    }
    assert belongs({"Config": made}, attempt())
    assert not belongs({"Config": {"Labels": {**made["Labels"], "batchcore.run": "r"}}}, attempt())
    assert not belongs({"Config": {"Labels": None}}, attempt())


def test_the_container_is_confined() -> None:
    made = config()
    host = made["HostConfig"]
    assert made["User"] == "1000:100"
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Init"] is True
    assert host["PidsLimit"] == 4096
    assert host["NetworkMode"] == "bridge"
    assert host["RestartPolicy"] == {"Name": "no"}
    assert host["AutoRemove"] is False
    assert not {"Privileged", "Binds", "CapAdd", "Memory", "NanoCpus"} & host.keys()
    assert made["OpenStdin"] is False
    assert made["Tty"] is False


def test_requirements_become_limits() -> None:
    host = config(requirements=Requirements(cpus=1.5, memory="64MiB"))["HostConfig"]
    assert host["NanoCpus"] == 1_500_000_000
    assert host["Memory"] == host["MemorySwap"] == 64 * 2**20


def test_gpus_are_asked_of_the_daemon() -> None:
    host = config(requirements=Requirements(gpus=2))["HostConfig"]
    assert host["DeviceRequests"] == [{"Count": 2, "Capabilities": [["gpu"]]}]


def test_settings_reach_the_container() -> None:
    host = config(settings=LocalDockerSettings(read_only=True, pids_limit=7))["HostConfig"]
    assert host["PidsLimit"] == 7
    assert host["ReadonlyRootfs"] is True
    assert list(host["Tmpfs"]) == ["/tmp"]


def test_the_network_is_the_one_of_the_placement() -> None:
    place = Placement(user="1000:100", network="container:1")
    assert config(place=place)["HostConfig"]["NetworkMode"] == "container:1"


def test_copied_files_are_not_shared_with_the_machine() -> None:
    made = config(place=Placement(user="0:0", network="bridge", copied=True), user="root")
    assert made["HostConfig"]["Mounts"] == []
    assert made["Labels"]["batchcore.copied"] == "yes"


def test_root_in_a_container_has_what_concerns_files_and_users_alone() -> None:
    host = config(user="root")["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]


def test_secrets_are_shown_for_reading() -> None:
    place = Placement(user="1000:100", network="bridge", secrets=Path("/memory/s"))
    assert config(place=place)["HostConfig"]["Mounts"][-1] == {
        "Type": "bind",
        "Source": "/memory/s",
        "Target": "/run/secrets",
        "ReadOnly": True,
    }


def test_the_shell_gets_the_words_as_they_are() -> None:
    made = config()
    assert made["Entrypoint"][:2] == ["/bin/sh", "-c"]
    assert made["Cmd"] == ["/entry", "-x", "run", "a b", ""]
    assert made["HostConfig"]["LogConfig"]["Type"] == "none"


@pytest.mark.parametrize(
    "image",
    [BARE, ImageFacts(id="sha256:1", env=("spring.profile",), has_shell=True)],
    ids=["no shell", "a variable that a shell would drop"],
)
def test_without_a_shell_the_daemon_keeps_the_logs(image: ImageFacts) -> None:
    made = config(image)
    assert "Entrypoint" not in made
    assert made["Cmd"] == ["run", "a b", ""]
    assert made["HostConfig"]["LogConfig"]["Type"] == "local"


def test_paths_are_those_of_a_batch_node() -> None:
    made = config(mounts=(Mount("/data", "in put"), Mount("/w", "/abs", read_only=False)))
    inside = "/mnt/batch/tasks/workitems/r-1/job-1/One_1"
    assert made["WorkingDir"] == f"{inside}/wd"
    assert f"AZ_BATCH_TASK_DIR={inside}" in made["Env"]
    assert f"HOME={inside}/wd" in made["Env"]
    mounts = [
        (m["Type"], m["Source"], m["Target"], m["ReadOnly"]) for m in made["HostConfig"]["Mounts"]
    ]
    assert mounts == [
        ("bind", "/runs/r-1/work/One_1/2/task", inside, False),
        ("bind", "/base/in put", "/data", True),
        ("bind", "/abs", "/w", False),
    ]


def test_the_source_of_a_mount_is_a_directory_or_not_ours() -> None:
    base = Path("/base")
    assert mount_source(Mount("/a", "x"), base) == Path("/base/x")
    assert mount_source(Mount("/a", "file:///x"), base) == Path("/x")
    assert mount_source(Mount("/a", "~/x"), base) == Path.home() / "x"
    assert mount_source(Mount("/a", "az://c/x"), base) is None


def test_an_exit_code_speaks_for_itself() -> None:
    end = exit_of(ended(ExitCode=3))
    assert (end.code, end.reason, end.native) == (3, None, "0123456789ab")
    assert end.started_at == pytest.approx(1767225601.0)
    assert end.ended_at == pytest.approx(1767225603.5)


def test_a_container_never_ends_before_its_start() -> None:
    end = exit_of(ended(FinishedAt="2026-01-01T00:00:00Z"))
    assert end.started_at == end.ended_at


def test_the_daemons_year_one_is_no_time() -> None:
    assert seconds("0001-01-01T00:00:00Z") is None
    assert seconds("") is None
    assert seconds(None) is None
    assert seconds("2026-01-01T01:00:00.123456789+01:00") == pytest.approx(1767225600.123456)


def test_the_flag_and_not_the_code_means_out_of_memory() -> None:
    end = exit_of(ended(ExitCode=7, OOMKilled=True, memory=32 * 2**20))
    assert (end.code, end.reason) == (7, FailureReason.OUT_OF_MEMORY)
    assert "32.0 MiB" in end.detail
    coped = exit_of(ended(OOMKilled=True))
    assert (coped.code, coped.reason) == (0, None)
    assert "memory" in coped.detail


def test_a_container_that_was_never_started_has_no_exit_code() -> None:
    end = exit_of(ended(Status="created", ExitCode=127, StartedAt="0001-01-01T00:00:00Z"))
    assert (end.code, end.reason, end.retryable) == (None, FailureReason.START_FAILED, False)
    assert end.detail == "there is no program 'run' in the image 'app:v1'"


@pytest.mark.parametrize(
    ("name", "digests", "expected"),
    [
        ("app:v1", [], "sha256:id"),
        ("app:v1", ["app@sha256:b", "app@sha256:a"], "sha256:a"),
        ("app:v1", ["other@sha256:a"], "sha256:id"),
        ("docker.io/library/app:v1", ["app@sha256:a"], "sha256:a"),
        ("host:5000/x/app", ["host:5000/x/app@sha256:a"], "sha256:a"),
        ("app@sha256:a", ["app@sha256:a"], "sha256:a"),
    ],
)
def test_an_image_is_identified_by_its_repositorys_digest(
    name: str, digests: list[str], expected: str
) -> None:
    assert digest_of(name, {"Id": "sha256:id", "RepoDigests": digests}) == expected


def test_a_refusal_is_told_from_a_registry_that_failed() -> None:
    assert refused("pull access denied for x, repository does not exist")
    assert refused("manifest for x:v1 not found: manifest unknown")
    assert not refused("dial tcp: lookup registry on 10.0.0.1:53: no such host")
    assert not refused("toomanyrequests: you have reached your pull rate limit")


def test_progress_is_told_every_two_seconds() -> None:
    told: list[str] = []
    now = 0.0
    progress = Progress("app", told.append, now=lambda: now)
    for step in range(1, 9):
        now = step * 0.5
        detail = {"current": step * 2**20, "total": 8 * 2**20}
        progress.see({"status": "Downloading", "id": "a", "progressDetail": detail})
    progress.see({"status": "Download complete", "id": "a"})
    assert told == ["pulling app: 4.0 MiB of 8.0 MiB", "pulling app: 8.0 MiB of 8.0 MiB"]


def test_the_plugin_speaks_of_every_feature() -> None:
    spec = batchcore_register_backend()
    assert spec.name == "local-docker"
    assert spec.capabilities.keys() == FEATURES.keys()
    assert all(c.reason for c in spec.capabilities.values() if c.level == "unsupported")


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"network": "host"}, {"pull": "x"}, {"user": "x"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, LocalDockerSettings)


@pytest.mark.parametrize(
    ("info", "version", "words"),
    [
        ({"OSType": "windows"}, {}, "windows containers"),
        ({"OSType": "linux"}, {"Components": [{"Name": "Podman Engine"}]}, "Podman answers"),
    ],
)
def test_a_daemon_that_cannot_keep_the_promises_is_refused(
    info: dict[str, Any], version: dict[str, Any], words: str
) -> None:
    with pytest.raises(EnvironmentNotReady, match=words) as caught:
        refuse_daemon(info, version)
    assert caught.value.hint


def test_dockers_own_daemon_is_not_refused() -> None:
    refuse_daemon({"OSType": "linux"}, {"Components": [{"Name": "Engine"}]})


def test_a_shell_changes_nothing_but_the_command_and_its_terminal() -> None:
    made = config()
    shell = shell_config(made)
    changed = {name for name in shell if shell[name] != made.get(name)}
    attached = {"AttachStdin", "AttachStdout", "AttachStderr", "OpenStdin", "StdinOnce", "Tty"}
    assert changed == {"Entrypoint", "Cmd", *attached}
    assert shell["Cmd"] == []
    assert all(shell[name] is True for name in attached)
