"""The surface of the client, on processes of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.compat import super_batch
from batchcore.compat.super_batch import Client, JobFailed, NotRunnable, SuperBatchWarning
from batchcore.errors import Conflict, Detached, JobError, NotFound, UsageError
from batchcore.run import Run

Make = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("local")


def test_the_client_has_both_of_its_names() -> None:
    assert super_batch.client is super_batch.Client


def test_outputs_may_be_opened_as_they_are_or_joined(make: Make, directory: Path) -> None:
    client = make()
    client.add(0)
    client.add(1)
    client.run()
    joined = [os.path.join(directory, path) for path in client.output_files]  # noqa: PTH118 - as then
    assert joined == client.output_files
    assert [Path(path).read_text() for path in joined] == ["in", "in"]


def test_results_land_in_the_batch_directory(make: Make, directory: Path) -> None:
    client = make()
    client.add(0)
    client.run()
    assert (directory / "out_0.txt").read_text() == "in"


def test_output_files_are_in_the_order_in_which_they_were_built(make: Make) -> None:
    client = make()
    last = client.build_output_file("b.txt", "b.txt")
    first = client.build_output_file("a.txt", "a.txt")
    client.add_task([], [first], "touch a.txt")
    client.add_task([], [last], "touch b.txt")
    before = client.output_files
    client.run()
    assert client.output_files == before
    assert [Path(path).name for path in before] == ["b.txt", "a.txt"]


def test_a_pattern_becomes_the_files_that_it_found(make: Make) -> None:
    client = make()
    client.add_task([], [client.build_output_file("*.txt", "found")], "touch a.txt b.txt")
    client.run()
    assert [Path(path).name for path in client.output_files] == ["a.txt", "b.txt"]


def test_an_output_may_be_in_a_directory_that_is_not_there_yet(make: Make) -> None:
    client = make()
    client.add_task([], [client.build_output_file("a.txt", "x/y/a.txt")], "touch a.txt")
    client.run()
    assert Path(client.output_files[0]).exists()


def test_tasks_are_named_as_they_were(make: Make) -> None:
    client = make()
    client.add(0)
    client.add(1)
    assert [task.id for task in client.tasks] == ["Task_0", "Task_1"]


def test_the_command_line_of_the_client_is_the_default(make: Make, directory: Path) -> None:
    client = make(COMMAND_LINE="cp in.txt out.txt")
    resource = client.build_resource_file("in.txt", "in.txt")
    client.add_task([resource], [client.build_output_file("out.txt", "out.txt")])
    client.run()
    assert (directory / "out.txt").read_text() == "in"


def test_no_shell_reads_a_command_line(make: Make, directory: Path) -> None:
    client = make()
    client.add_task([], [], "touch *.txt $HOME")
    assert client.tasks[0].command == ("touch", "*.txt", "$HOME")


def test_a_command_line_with_an_open_quote_is_refused(make: Make) -> None:
    with pytest.raises(JobError, match="split"):
        make().add_task([], [], "sh -c 'x")


def test_a_script_among_the_resources_can_be_run(make: Make, directory: Path) -> None:
    (directory / "run.sh").write_text("#!/bin/sh\necho done > out.txt\n")
    client = make()
    resource = client.build_resource_file("run.sh", "run.sh")
    client.add_task([resource], [client.build_output_file("out.txt", "out.txt")], "./run.sh")
    client.run()
    assert (directory / "out.txt").read_text() == "done\n"


def test_a_resource_may_be_anywhere(make: Make, tmp_path: Path, directory: Path) -> None:
    (tmp_path / "far.txt").write_text("far")
    client = make()
    resource = client.build_resource_file(str(tmp_path / "far.txt"), "in.txt")
    output = client.build_output_file("out.txt", "out.txt")
    client.add_task([resource], [output], "cp in.txt out.txt")
    client.run()
    assert (directory / "out.txt").read_text() == "far"


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_a_resource_that_cannot_be_read_is_an_error_at_once(make: Make, name: str) -> None:
    with pytest.raises(JobError, match="cannot be read"):
        make().build_resource_file(name, "in.txt")


def test_a_resource_is_as_it_was_when_it_was_built(make: Make, directory: Path) -> None:
    # super_batch uploaded it then.
    client = make()
    for number, text in enumerate(["one", "two"]):
        (directory / "in.txt").write_text(text)
        client.add(number)
    (directory / "in.txt").unlink()
    client.run()
    assert [Path(path).read_text() for path in client.output_files] == ["one", "two"]


def test_nobody_else_can_read_what_a_job_keeps(make: Make, directory: Path) -> None:
    client = make()
    client.add(0)
    assert client.config.run_directory.stat().st_mode & 0o777 == 0o700
    client.run()
    assert client.config.run_directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["../out.txt", "/out.txt", "a/../b"])
def test_an_output_cannot_be_outside(make: Make, path: str) -> None:
    with pytest.raises(JobError):
        make().build_output_file("out.txt", path)


def test_the_same_tasks_again_are_answered_at_once(
    make: Make, directory: Path, tmp_path: Path
) -> None:
    line = f"sh -c 'echo x >> {tmp_path}/count; touch out.txt'"
    for _ in range(2):
        client = make()
        client.add(0, line)
        client.run()
    assert (tmp_path / "count").read_text() == "x\n"


def test_other_tasks_under_the_same_name_are_refused(make: Make) -> None:
    client = make()
    client.add(0)
    client.run()
    other = make()
    other.add(1)
    with pytest.raises(Conflict, match="JOB_ID 'demo'"):
        other.run()


@pytest.mark.docker
def test_another_backend_under_the_same_name_is_refused(
    make: Make, worker_base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make(DOCKER_IMAGE=worker_base_image)
    client.add(0)
    client.run()
    monkeypatch.setattr("sys.argv", ["controller.py", "--backend", "local-docker"])
    again = make(DOCKER_IMAGE=worker_base_image)
    again.add(0)
    with pytest.raises(Conflict, match="backend"):
        again.run()


def test_a_failed_task_is_tried_again_by_the_same_tasks(make: Make, tmp_path: Path) -> None:
    line = f"sh -c 'test -e {tmp_path}/now && touch out.txt'"
    client = make()
    client.add(0, line)
    with pytest.raises(JobFailed):
        client.run()
    (tmp_path / "now").touch()
    again = make()
    again.add(0, line)
    again.run()
    assert Path(again.output_files[0]).exists()


def test_collecting_alone_tries_nothing_again(make: Make, tmp_path: Path) -> None:
    client = make()
    client.add(0, f"sh -c 'test -e {tmp_path}/now && touch out.txt'")
    with pytest.raises(JobFailed):
        client.run()
    (tmp_path / "now").touch()
    with pytest.raises(JobFailed):
        client.load_results()


def test_quiet_says_nothing(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    client = make()
    client.add(0)
    client.run(quiet=True)
    client.load_results(quiet=True)
    assert capsys.readouterr() == ("", "")


def test_standard_output_is_left_to_the_controller(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    client = make()
    client.add(0)
    client.run()
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 task succeeded" in err


def test_what_tasks_wrote_is_printed(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    client = make()
    client.add_task([], [], "printf 'caf\\351'")
    client.add_task([], [], "echo two")
    client.run(quiet=True)
    client.print_task_output(encoding="latin-1")
    out = capsys.readouterr().out
    assert out.index("Task: Task_0") < out.index("café") < out.index("Task: Task_1")
    assert out.index("Task: Task_1") < out.index("two")


def test_bytes_that_are_no_text_hide_nothing(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    client = make()
    client.add_task([], [], "printf 'caf\\351 and more'")
    client.run(quiet=True)
    client.print_task_output()
    assert "and more" in capsys.readouterr().out


def test_there_is_nothing_to_collect_before_the_run(make: Make) -> None:
    with pytest.raises(NotFound, match="no job 'demo'"):
        make().load_results()


def test_a_client_from_data_starts_nothing(make: Make) -> None:
    client = make()
    client.add(0)
    restored = Client.from_data(client.data)
    with pytest.raises(NotRunnable):
        restored.run()
    with pytest.raises(ValueError, match="collects results"):
        restored.add_task([], [], "true")


NO_DATA = [
    None,
    {},
    {"config": {}},
    {"config": None, "output_files": []},
    {"config": {}, "output_files": "a.txt"},
    {"config": {}, "output_files": [], "run": {}},
]


@pytest.mark.parametrize("data", NO_DATA, ids=repr)
def test_what_is_no_data_of_a_client_is_refused(data: Any) -> None:
    with pytest.raises(UsageError, match="not the data of a client") as caught:
        Client.from_data(data)
    assert "client.data" in caught.value.hint


def test_what_differs_is_said_once(make: Make) -> None:
    client = make(POOL_ID="mine", DELETE_POOL_WHEN_DONE=True)
    client.add(0)
    with pytest.warns(SuperBatchWarning, match="POOL_ID, DELETE_POOL_WHEN_DONE") as caught:
        client.run()
    client.run()  # here a warning would be an error
    client.load_results()
    assert [warning.filename for warning in caught] == [__file__]


def test_nothing_is_said_where_nothing_differs(make: Make) -> None:
    client = make()
    client.add(0)
    client.run()  # a warning is an error in these tests


def test_after_ctrl_c_collecting_goes_on(make: Make, directory: Path) -> None:
    client = make()
    client.add(0, f"sh -c 'kill -INT {os.getpid()}; sleep 1; touch out.txt'")
    with pytest.raises(Detached) as caught:
        client.run()
    assert "load_results()" in caught.value.hint
    client.load_results()
    assert (directory / "out_0.txt").exists()


def test_without_waiting_all_tasks_go_on_alone(
    make: Make, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHCORE_LOCAL_PROCESS_SLOTS", "1")
    client = make()
    client.add(0, f"sh -c 'while [ ! -e {directory}/gate ]; do sleep 0.05; done; touch out.txt'")
    client.add(1, "touch out.txt")  # it has no place before the first one has ended
    client.run(wait=False)
    (directory / "gate").touch()
    run = Run.load(client.config.run_directory)
    deadline = time.monotonic() + 60
    while not run.has_ended:
        assert time.monotonic() < deadline, "they do not end"
        time.sleep(0.02)
    client.load_results()
    assert (directory / "out_1.txt").exists()


def test_running_what_a_background_driver_has_follows_it(make: Make, directory: Path) -> None:
    def begin() -> Any:
        client = make()
        gate = f"while [ ! -e {directory}/gate ]; do sleep 0.05; done"
        client.add(0, f"sh -c '{gate}; touch out.txt'")
        return client

    begin().run(wait=False)
    begin().run(wait=False)
    (directory / "gate").touch()
    begin().run()
    assert (directory / "out_0.txt").exists()


def test_results_are_waited_for_while_another_process_drives(make: Make, directory: Path) -> None:
    client = make()
    client.add(0, "sh -c 'sleep 1; touch out.txt'")
    client.run(wait=False)
    client.load_results()
    assert (directory / "out_0.txt").exists()
