"""What super_batch got wrong, each mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchcore.cli.progress import Progress, Render, Titles
from batchcore.compat.config import CREDENTIALS
from batchcore.compat.job import azure_options
from batchcore.compat.super_batch import Client, JobFailed, WaitedTooLong
from batchcore.driver.drive import UntilLate
from batchcore.errors import EnvironmentNotReady, JobError, TransferError
from batchcore.events import RunStarted, Tick
from batchcore.report.text import ASCII
from batchcore.testing.clock import FakeClock
from batchcore_azure.settings import AzureSettings  # noqa: TID251 - what its options mean there

Make = Callable[..., Any]

KEYS = {name: f"hunter2+{name}==" for name in sorted(CREDENTIALS)}


def sleep_line(seconds: int) -> str:
    return f'sh -c "sleep {seconds}; touch out.txt"'


# The data of a client held the account key.


def test_data_holds_no_credential_of_the_arguments(make: Make, local: None) -> None:
    client = make(**KEYS)
    client.add(0)
    before = json.dumps(client.data)
    client.run()
    assert "hunter2" not in before + json.dumps(client.data)


def test_data_holds_no_credential_of_the_environment(
    make: Make, local: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    client = make()
    client.add(0)
    assert "hunter2" not in json.dumps(client.data)


def test_nothing_on_disk_holds_a_credential(make: Make, local: None, directory: Path) -> None:
    client = make(**KEYS)
    client.add(0)
    client.run()
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    assert not any(b"hunter2" in path.read_bytes() for path in files)


# Results were deleted before they were downloaded.


def test_a_failed_download_leaves_the_results_to_the_next(
    make: Make, local: None, directory: Path
) -> None:
    (directory / "out_0.txt").mkdir()
    (directory / "out_0.txt" / "in the way").touch()
    client = make()
    client.add(0)
    with pytest.raises((TransferError, EnvironmentNotReady)):
        client.run()
    (directory / "out_0.txt" / "in the way").unlink()
    (directory / "out_0.txt").rmdir()
    client.load_results()
    assert (directory / "out_0.txt").read_text() == "in"


# A broken download left a broken file.


def test_a_result_that_is_damaged_does_not_replace_a_good_file(
    make: Make, local: None, directory: Path
) -> None:
    client = make()
    client.add(0)
    client.run()
    (client.config.run_directory / "outputs" / "out_0.txt").write_text("xx")
    with pytest.raises(TransferError):
        client.load_results()
    assert (directory / "out_0.txt").read_text() == "in"
    assert [path.name for path in directory.iterdir() if path.name.startswith(".bc-")] == []


def test_a_result_that_somebody_has_deleted_is_named_with_what_to_do(
    make: Make, local: None, directory: Path
) -> None:
    client = make()
    client.add(0)
    client.run()
    kept = client.config.run_directory / "outputs" / "out_0.txt"
    kept.unlink()
    with pytest.raises(TransferError, match=r"out_0\.txt") as caught:
        client.load_results()
    assert "run the same job again" in caught.value.hint
    client.run()
    assert kept.read_text() == "in"


# A file that was not there was a missing blob, whatever the cause; see test_azure.py too.


def test_a_missing_output_is_named(make: Make, local: None) -> None:
    client = make()
    client.add(0, "true")
    with pytest.raises(JobFailed, match=r"Task_0: output missing"):
        client.run()


# One failed task ended the wait while the others went on.


def test_the_others_are_waited_for_and_their_results_are_here(
    make: Make, local: None, directory: Path
) -> None:
    client = make()
    client.add(0, "sh -c 'exit 7'")
    client.add(1, sleep_line(1))
    client.add(2, "sh -c 'exit 8'")
    with pytest.raises(RuntimeError) as caught:
        client.run()
    assert (directory / "out_1.txt").exists()
    assert "2 of 3 tasks have not succeeded" in str(caught.value)
    assert "Task_0: exit 7" in str(caught.value)
    assert "Task_2: exit 8" in str(caught.value)


# No task at all was a division by zero, after the job had been made.


def test_a_job_without_tasks_is_refused_before_anything_is_made(
    make: Make, local: None, directory: Path
) -> None:
    with pytest.raises(JobError, match="no tasks"):
        make().run()
    assert not (directory / ".batchcore").exists()


# Two inputs of the same name were one.


def test_inputs_of_the_same_name_stay_apart(make: Make, local: None, directory: Path) -> None:
    client = make()
    for name in "ab":
        (directory / name).mkdir()
        (directory / name / "in.csv").write_text(name)
        resource = client.build_resource_file(f"{name}/in.csv", "in.csv")
        output = client.build_output_file("out.csv", f"{name}.csv")
        client.add_task([resource], [output], "cp in.csv out.csv")
    client.run()
    assert [Path(path).read_text() for path in client.output_files] == ["a", "b"]


# The time that had gone by began again after 24 hours.


class Lines:
    """A display that keeps the view which is redrawn."""

    live = True
    marks = ASCII

    def __init__(self) -> None:
        self.view: Render = lambda _width: []

    def line(self, text: str, tone: str = "") -> None:
        pass

    def status(self, render: Render) -> None:
        self.view = render


def test_the_time_goes_on_after_a_day() -> None:
    clock, shown = FakeClock(), Lines()
    progress = Progress(shown, Titles(version="", image="", run=""), clock)
    progress(
        RunStarted(
            at=clock.now(), run_id="r", backend="b", tasks=1, already_succeeded=0, resumed=False
        )
    )
    clock.sleep(25.5 * 3600)
    assert "25.5 h" in shown.view(80)[0]


# The wait ended after the time that storage could be reached, and that was all one was told.


def test_the_wait_ends_and_the_tasks_go_on(make: Make, local: None, directory: Path) -> None:
    client = make(STORAGE_ACCESS_DURATION_HRS=0)
    client.add(0, sleep_line(1))
    with pytest.raises(WaitedTooLong, match="they go on") as caught:
        client.run()
    assert isinstance(caught.value, RuntimeError)
    Client(JOB_ID="demo", BATCH_DIRECTORY=directory).load_results()
    assert (directory / "out_0.txt").exists()


def test_the_wait_is_as_long_as_it_says() -> None:
    clock, left = FakeClock(), list[int]()
    until = UntilLate(clock, 3600, left.append)
    clock.sleep(3599)
    until(Tick(at=clock.now()))
    assert left == []
    clock.sleep(1)
    until(Tick(at=clock.now()))
    assert len(left) == 1


# Names of containers with a hyphen were refused, and a subnet was put where it did nothing.


def azure(client: Client) -> AzureSettings:
    return msgspec.convert(azure_options(client.config), AzureSettings)


@pytest.mark.parametrize("name", ["my-data", "my-data-2", "abc"])
def test_a_container_may_have_any_name_that_azure_allows(make: Make, name: str) -> None:
    assert azure(make(BLOB_CONTAINER_NAME=name)).container == name


def test_a_subnet_reaches_the_pool(make: Make) -> None:
    assert (
        azure(make(SUBNET_ID="/subscriptions/x/subnets/y")).subnet == "/subscriptions/x/subnets/y"
    )


# The later of two outputs of one name won.


def test_two_outputs_of_one_name_are_refused_before_anything_runs(
    make: Make, local: None, tmp_path: Path
) -> None:
    client = make()
    client.add(0, f"touch {tmp_path}/ran out.txt")
    client.add(0, "touch out.txt")
    with pytest.raises(JobError, match=r"out_0\.txt"):
        client.run()
    assert not (tmp_path / "ran").exists()
