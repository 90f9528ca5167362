"""What a run makes of a machine that stopped: what may not have been on disk is not believed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from batchcore.errors import BatchcoreError
from batchcore.events import Observer, TaskChanged
from batchcore.life.start import run_job
from batchcore.model import Job, Output, Resource, Task
from batchcore.record import Record, durability, manifest
from batchcore.record.resume import reopen
from batchcore.run import Run
from batchcore.states import TaskState
from batchcore.transfer.collect import Collected


class Machine:
    """A run of two tasks, the second of which fails until a file is there, and its machine."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "run"
        self.go = root / "go"
        count = f"echo $BATCHCORE_TASK_ID >> {root}/count; "
        kept = Task("kept", shell=count + "cat in > out", outputs=[Output("out", to="kept.txt")])
        other = Task("other", shell=count + f"test -e {self.go}")
        resources = [Resource("in", text="whole")]
        self.job = Job("job", tasks=[kept, other], resources=resources)
        self.count = root / "count"

    def run(self, *observers: Observer) -> Run:
        return run_job(
            self.job, backend="local-process", directory=self.directory, observers=observers
        )

    def change(self, act: Callable[[Record], object]) -> None:
        with closing(Record.resume(self.directory)) as record:
            act(record)

    def read(self, what: Callable[[Record], str]) -> str:
        with closing(Record.read(self.directory)) as record:
            return what(record)

    def stop_before_the_end(self) -> None:
        """Leave things as when the machine stops after a file was published, before the end."""
        self.run()
        self.change(lambda record: record.save_meta("unsynced", "another boot"))
        (self.directory / "work" / "boot").write_text("another boot")

    @property
    def result(self) -> Path:
        return self.directory / "outputs" / "kept.txt"

    def executions(self, task: str) -> int:
        return self.count.read_text().split().count(task)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_file_that_a_stop_of_the_machine_has_damaged_is_made_again(machine):
    machine.stop_before_the_end()
    machine.result.write_bytes(b"\0\0\0\0\0")
    machine.go.touch()
    assert machine.run().state == "succeeded"
    assert machine.result.read_bytes() == b"whole"


def test_a_whole_file_is_kept_over_a_stop_of_the_machine(machine):
    machine.stop_before_the_end()
    machine.run()
    assert machine.executions("kept") == 1


def test_within_one_boot_no_content_is_read_again(machine):
    machine.run()
    machine.change(lambda record: record.save_meta("unsynced", durability.boot_id()))
    machine.result.write_bytes(b"WHOLE")
    machine.run()
    assert machine.result.read_bytes() == b"WHOLE"


def test_a_run_that_has_ended_has_nothing_unsynced(machine):
    machine.run()
    assert machine.read(lambda record: record.unsynced) == ""


def test_a_run_has_not_ended_before_its_files_are_on_disk(machine):
    def spoil(event):
        if isinstance(event, TaskChanged) and (event.task_id, event.new) == ("kept", "succeeded"):
            machine.result.unlink()
            machine.result.symlink_to("nowhere")

    machine.go.touch()
    with pytest.raises(BatchcoreError, match=r"kept\.txt cannot be written"):
        machine.run(spoil)
    assert machine.read(lambda record: record.meta("state")) == "running"
    assert machine.read(lambda record: record.unsynced) == durability.boot_id()


def test_what_another_boot_left_in_work_is_not_believed(machine):
    machine.stop_before_the_end()
    left = machine.directory / "work" / "left"
    left.touch()
    machine.run()
    assert not left.exists()


def test_what_this_boot_left_in_work_is_kept(machine):
    machine.run()
    left = machine.directory / "work" / "left"
    left.touch()
    machine.run()
    assert left.exists()


def test_reading_again_in_a_new_boot_is_done_once(machine):
    machine.stop_before_the_end()
    machine.change(lambda record: reopen(record, "this boot"))
    machine.result.write_bytes(b"WHOLE")
    machine.change(lambda record: reopen(record, "this boot"))
    assert Run.load(machine.directory).task("kept").state is TaskState.SUCCEEDED


def test_after_a_kill_in_the_middle_of_a_rebuild_files_are_still_brought_to_disk(
    machine, monkeypatch
):
    machine.run()
    (machine.directory / "run.db").write_bytes(b"no database")
    save = Record.save_meta

    def save_and_stop(record, key, value):
        save(record, key, value)
        if key == "rebuilt":
            raise KeyboardInterrupt

    monkeypatch.setattr(Record, "save_meta", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        machine.change(reopen)
    assert machine.read(lambda record: record.unsynced) == durability.boot_id()


@pytest.mark.parametrize("then", ["another boot", durability.UNKNOWN])
def test_an_unknown_boot_is_never_the_same(then):
    assert not durability.is_same_boot(then, durability.UNKNOWN)


def test_files_are_compared_by_size_and_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert durability.are_unchanged(tmp_path, [Collected("a", "a", 3, digest)])
    assert not durability.are_unchanged(tmp_path, [Collected("a", "a", 4, digest)])
    assert not durability.are_unchanged(tmp_path, [Collected("a", "gone", 3, digest)])
    (tmp_path / "a").write_bytes(b"abd")
    assert not durability.are_unchanged(tmp_path, [Collected("a", "a", 3, digest)])


def test_a_file_that_is_gone_needs_no_syncing_and_a_strange_one_is_named(tmp_path):
    durability.sync([tmp_path / "gone"], tmp_path)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(BatchcoreError, match="link cannot be written"):
        durability.sync([tmp_path / "link"], tmp_path)


def test_a_line_that_was_cut_off_does_not_swallow_the_next(tmp_path):
    (tmp_path / manifest.NAME).write_bytes(b'{"task": "a"')
    manifest.mend(tmp_path)
    manifest.add(tmp_path, manifest.Published(task="b", attempt=1, files=()))
    assert list(manifest.read(tmp_path)) == ["b"]


def test_every_directory_on_the_way_to_a_file_is_synced(tmp_path, monkeypatch):
    synced = set()
    monkeypatch.setattr(durability, "sync_directory", synced.add)
    deep = tmp_path / "outputs/a/b"
    deep.mkdir(parents=True)
    (deep / "c").touch()
    durability.sync([deep / "c"], tmp_path)
    assert synced == {tmp_path, tmp_path / "outputs", tmp_path / "outputs/a", deep}
