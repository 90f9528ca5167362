"""The whole: Azurite, the emulator as a program, the fixture, and tasks that only seem to run."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import BlobServiceClient

from batchcore.errors import EnvironmentNotReady
from batchcore_azure.auth import Account
from batchcore_azure.emulator import azurite
from batchcore_azure.emulator.__main__ import main
from batchcore_azure.emulator.azurite import Azurite, Storage
from batchcore_azure.settings import AzureSettings

PROGRAM = (sys.executable, "-m", "batchcore_azure.emulator")


def script(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_azurite_serves_one_account_of_its_own(azurite_storage: Storage) -> None:
    with BlobServiceClient.from_connection_string(azurite_storage.connection_string) as service:
        assert service.get_account_information()["account_kind"]
    assert azurite_storage.account != "devstoreaccount1"


def test_a_storage_does_not_show_its_key(azurite_storage: Storage) -> None:
    assert "CANARY" not in repr(azurite_storage)


def test_azurite_is_looked_for_in_a_variable_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCORE_AZURITE", "node '/opt/my azurite/blob.js'")
    assert azurite.find() == ["node", "/opt/my azurite/blob.js"]


def test_a_variable_that_is_no_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCORE_AZURITE", "node 'blob.js")
    with pytest.raises(EnvironmentNotReady, match="BATCHCORE_AZURITE is no command"):
        azurite.find()


def test_azurite_is_found_in_node_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    program = script(tmp_path / "azurite" / "node_modules" / ".bin" / "azurite-blob")
    assert azurite.find() == [str(program)]


def test_a_machine_without_azurite_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(EnvironmentNotReady) as caught:
        azurite.find()
    assert "npm install" in caught.value.hint


def test_an_azurite_that_ends_at_once_is_told_with_what_it_said(tmp_path: Path) -> None:
    program = script(tmp_path / "azurite", "echo the disk is full", "exit 1")
    with pytest.raises(EnvironmentNotReady, match="the disk is full"):
        Azurite([str(program)]).start()


def test_an_azurite_that_a_script_starts_ends_with_the_script(
    azurite_storage: Storage, tmp_path: Path
) -> None:
    program = script(tmp_path / "azurite", f'{shlex.join(azurite.find())} "$@"', "exit 0")
    with Azurite([str(program)]) as started:
        address = ("127.0.0.1", urlsplit(started.storage.url).port)
        socket.create_connection(address).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_the_environment_makes_the_backend_use_the_emulator(
    azure_emulator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=real;AccountKey=CANARY")
    settings = AzureSettings(
        endpoint=os.environ["BATCHCORE_AZURE_ENDPOINT"],
        account_name=os.environ["BATCHCORE_AZURE_ACCOUNT_NAME"],
        storage_account=os.environ["BATCHCORE_AZURE_STORAGE_ACCOUNT"],
        storage_endpoint=os.environ["BATCHCORE_AZURE_STORAGE_ENDPOINT"],
    )
    account = Account(settings)
    assert list(account.batch.list_pools()) == []
    assert account.storage_endpoint == azure_emulator.storage.url
    assert azure_emulator.requests.count("GET", "/pools") == 1
    account.batch.close()


def test_a_program_runs_in_the_environment_of_the_emulator() -> None:
    code = (
        "import os, sys\n"
        "from azure.batch import BatchClient\n"
        "from azure.core.credentials import AzureNamedKeyCredential\n"
        "credential = AzureNamedKeyCredential("
        "os.environ['BATCH_ACCOUNT_NAME'], os.environ['BATCH_ACCOUNT_KEY'])\n"
        "client = BatchClient(os.environ['BATCH_ACCOUNT_ENDPOINT'], credential)\n"
        "print(len(list(client.list_pools())), os.environ['BATCHCORE_AZURE_NODES'])\n"
        "sys.exit(3)"
    )
    command = [*PROGRAM, "--nodes", "5", "--run", sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env=with_azurite()
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "0 5\n", "")


def with_azurite() -> dict[str, str]:
    return {**os.environ, "BATCHCORE_AZURITE": shlex.join(azurite.find())}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_prints_its_environment_and_ends_when_asked(
    azurite_storage: Storage, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        PROGRAM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=with_azurite()
    )
    said = process.stderr.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert said.startswith("Azure Batch is emulated at http://127.0.0.1:")
    assert (process.returncode, err) == (0, "")
    exported = dict(shlex.split(line)[1].split("=", 1) for line in out.splitlines())
    assert exported["BATCHCORE_AZURE_ENDPOINT"] in said
    assert "devstoreaccount1" not in out


def test_the_program_says_what_is_missing(tmp_path: Path) -> None:
    broken = script(tmp_path / "azurite", "exit 1")
    done = subprocess.run(
        [*PROGRAM, "--azurite", str(broken)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 6
    assert "Azurite does not come up" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--port", "70000"], "--port: 70000 is no number"),
        (["--azurite", "node 'blob.js"], "--azurite"),
        (["--run"], "--run needs a command"),
    ],
)
def test_the_program_says_which_option_is_wrong(
    capsys: pytest.CaptureFixture[str], options: list[str], text: str
) -> None:
    assert ended(options) == 2
    assert text in capsys.readouterr().err


def test_the_program_says_that_its_port_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert ended(["--port", str(port)]) == 6
    assert f"port {port} cannot be had" in capsys.readouterr().err


def ended(options: list[str]) -> int:
    """Return the exit code of the program."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        return main(options)
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_tasks_that_run_at_once_leave_an_empty_file_for_each_they_name(
    serve: Callable[..., Any], bucket: Any
) -> None:
    lab = serve(instant=True)
    lab.pool(containers=True, images=["no-such-image:v1"], startTask={"commandLine": "false"})
    lab.job()
    outputs = [bucket.output("out/a", "run/a"), bucket.output("../stdout.txt", "run/stdout.txt")]
    task = lab.contain("false", image="no-such-image:v1", outputFiles=outputs)
    end = lab.end(task)
    assert (end["result"], end["exitCode"]) == ("success", 0)
    assert bucket.names() == ["run/a", "run/stdout.txt"]
    assert bucket.read("run/a") == b""


def test_hundreds_of_tasks_that_run_at_once_all_end(serve: Callable[..., Any]) -> None:
    lab = serve(instant=True)
    lab.pool(targetDedicatedNodes=4, taskSlotsPerNode=4)
    lab.job()
    for number in range(500):
        lab.state.add_task("job", {"id": f"t{number}", "commandLine": "true"})
    lab.until(lambda: len(lab.state.tasks_of("job", "completed")) == 500)
    results = {task.execution["result"] for task in lab.state.tasks_of("job")}
    assert results == {"success"}


def test_a_stopped_emulator_leaves_no_files(serve: Callable[..., Any]) -> None:
    lab = serve()
    lab.pool()
    lab.job()
    task = lab.add("sh -c 'echo up; sleep 600'")
    lab.says(task, "up")
    root = lab.machines()[0].place.root.parent
    lab.emulator.stop()
    assert not root.exists()


def test_tasks_that_run_at_once_can_leave_nothing(serve: Callable[..., Any], bucket: Any) -> None:
    lab = serve(instant=True, empty_files=False)
    lab.pool()
    lab.job()
    lab.end(lab.add("false", outputFiles=[bucket.output("out/a", "run/a")]))
    assert bucket.names() == []
