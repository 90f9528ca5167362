"""The run directory: job.json, the lock that makes one writer, and the SQLite record."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchcore.errors import BackendError, Conflict, EnvironmentNotReady, NotFound
from batchcore.record import Header, Record, TaskRow, read_header, read_heading, read_plan
from batchcore.record.rundir import is_driven, name_owner, owner_of
from batchcore.states import FailureReason, TaskState
from batchcore.transfer.collect import Collected
from batchcore.transfer.files import FileRecord

# An index that leads to the rows of another table, which reading alone would not show.
WRONG_INDEX = (
    "UPDATE sqlite_master SET rootpage ="
    " (SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_tasks_1')"
    " WHERE name = 'outputs_by_task'"
)


@pytest.fixture
def create(tmp_path: Path, header) -> Iterator[Callable[..., Record]]:
    """Return a function that creates a run in ``run/`` and closes it in the end."""
    made: list[Record] = []

    def run(*ids: str, directory: Path | None = None) -> Record:
        made.append(Record.create(directory or tmp_path / "run", header(*ids)))
        return made[-1]

    yield run
    for record in made:
        record.close()


@pytest.fixture
def written(create) -> Path:
    """The directory of a run that has ended, with something in every table."""
    record: Record = create()
    one, two, _ = record.rows()
    one.state, one.attempt, one.exit_code = TaskState.SUCCEEDED, 2, 0
    one.submitted_at = one.started_at = one.ended_at = 1.5
    record.save_end(one, [Collected("out", "a/Out", 3, "0" * 64)])
    two.state, two.reason, two.detail = TaskState.FAILED, FailureReason.TIMEOUT, "too slow"
    record.save_end(two, ())
    record.save_staged({"key": FileRecord(3, "1" * 64)})
    record.save_meta("state", "failed")
    record.close()
    return record.directory


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Making a run.


def test_a_new_run_is_on_disk_and_all_of_its_tasks_are_pending(create, header) -> None:
    record = create("a", "b")
    assert read_header(record.directory) == header("a", "b")
    assert record.rows() == [TaskRow(position=0, id="a"), TaskRow(position=1, id="b")]
    assert record.counts() == {TaskState.PENDING: 2}


def test_nobody_else_can_read_a_run(create, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        record = create()
        record.save_meta("a", "b")
        assert mode(record.directory) == 0o700
        modes = {path.name: mode(path) for path in record.directory.iterdir()}
    finally:
        os.umask(before)
    assert {"job.json", "run.db", "lock", "lock.json"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_an_empty_directory_of_the_users_is_closed_to_others(create, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    assert mode(create().directory) == 0o700


def test_a_directory_with_something_in_it_keeps_its_mode(create, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    (tmp_path / "run" / "notes.txt").touch()
    assert mode(create().directory) == 0o755


def test_a_directory_that_everybody_can_write_is_refused(create, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(0o777)
    with pytest.raises(EnvironmentNotReady, match="can be written by everybody"):
        create()
    assert list((tmp_path / "run").iterdir()) == []


def test_a_directory_of_another_user_is_refused(
    create, open_directory: Path, without_rights
) -> None:
    run = open_directory / "run"
    run.mkdir()
    if os.geteuid() == 0:
        os.chown(run, 12345, 12345)
    else:
        run = Path("/")
    with pytest.raises(EnvironmentNotReady, match="belongs to another user"):
        create(directory=run)


def test_a_place_that_cannot_be_written_is_named(create, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentNotReady, match="cannot be written"):
        create(directory=tmp_path / "file" / "run")


@pytest.mark.parametrize(
    "name", ["with space", "a?b", "a#b", "a%20b", "ünï", "it's", "a[1]", "&=;"]
)
def test_a_run_may_have_any_path(tmp_path: Path, create, name: str) -> None:
    directory = tmp_path / name / "run"
    create("a", directory=directory).close()
    with_row = TaskRow(position=0, id="a", state=TaskState.RUNNING, attempt=1)
    writer = Record.resume(directory)
    writer.save([with_row])
    writer.close()
    reader = Record.read(directory)
    assert reader.rows() == [with_row]
    reader.close()
    assert (directory / "run.db").is_file()


def test_creating_the_same_run_again_continues_it(create, written: Path) -> None:
    record = create()
    assert [row.state for row in record.rows()] == ["succeeded", "failed", "pending"]


@pytest.mark.parametrize("fields", [{"run_id": "run-2"}, {"name": "other"}], ids=["id", "spec"])
def test_a_directory_of_another_run_is_never_reused(written: Path, header, fields) -> None:
    with pytest.raises(Conflict) as caught:
        Record.create(written, header(**fields))
    assert caught.value.error_code == "BC9001"
    Record.resume(written).close()  # and the lock is free again


def test_a_run_that_is_continued_has_the_plan_of_now_and_the_date_of_then(
    written: Path, header
) -> None:
    given = header()
    moved = msgspec.structs.replace(given.plan, base="/elsewhere")
    record = Record.create(
        written, msgspec.structs.replace(given, plan=moved, created_at=2.0, version="9")
    )
    assert record.header == msgspec.structs.replace(given, plan=moved)
    assert read_header(written) == given
    record.close()


# What is written is read.


def test_every_field_of_a_row_is_kept(create) -> None:
    row = TaskRow(
        position=0,
        id="a",
        state=TaskState.FAILED,
        attempt=3,
        reason=FailureReason.OUT_OF_MEMORY,
        exit_code=137,
        detail="limit\n\u2028é'\"",
        native="OOM",
        node="n1",
        retries=1,
        interruptions=2,
        canceling=True,
        submitted_at=1.25,
        started_at=2.5,
        ended_at=1e9 + 0.125,
    )
    record = create("a")
    record.save([row])
    record.close()
    assert reread(record.directory, Record.rows) == [row]


def reread(directory: Path, what: Callable[..., object], *args: object) -> object:
    record = Record.read(directory)
    try:
        return what(record, *args)
    finally:
        record.close()


def test_counts_are_by_state(written: Path) -> None:
    assert reread(written, Record.counts) == {
        TaskState.SUCCEEDED: 1,
        TaskState.FAILED: 1,
        TaskState.PENDING: 1,
    }


def test_outputs_are_by_task(written: Path) -> None:
    assert reread(written, Record.outputs) == {"a": [Collected("out", "a/Out", 3, "0" * 64)]}


@pytest.mark.parametrize("place", ["a/Out", "a/out", "A/OUT"])
def test_a_place_has_one_owner_whatever_the_case(written: Path, place: str) -> None:
    assert reread(written, Record.owner, place) == "a"


def test_a_place_in_another_normal_form_has_the_same_owner(create) -> None:
    record = create()
    record.save_end(record.rows()[0], [Collected("é", "é", 1, "0" * 64)])
    assert record.owner("e\u0301") == "a"
    assert record.owner("e") is None


def test_a_new_end_replaces_the_outputs_of_the_one_before(written: Path) -> None:
    record = Record.resume(written)
    record.save_end(record.rows()[0], [Collected("new", "a/new", 1, "2" * 64)])
    assert list(record.outputs()["a"]) == [Collected("new", "a/new", 1, "2" * 64)]
    record.close()


def test_what_is_staged_is_known_until_it_is_forgotten(written: Path) -> None:
    record = Record.resume(written)
    assert record.staged() == {"key": FileRecord(3, "1" * 64)}
    record.settle()
    assert record.staged() == {}
    record.close()


def test_a_text_is_remembered(written: Path) -> None:
    assert reread(written, Record.meta, "state") == "failed"
    assert reread(written, Record.meta, "other") == ""


def test_attempts_are_kept_from_the_oldest_to_the_newest(create) -> None:
    record = create("a")
    for attempt in (1, 2):
        row = TaskRow(
            position=0, id="a", attempt=attempt, state=TaskState.FAILED, exit_code=attempt
        )
        row.reason = FailureReason.EXIT_CODE
        record.save_attempt(row)
    found = record.attempts("a")
    assert [(one["attempt"], one["exit_code"], one["reason"]) for one in found] == [
        (1, 1, "exit_code"),
        (2, 2, "exit_code"),
    ]


def test_an_attempt_that_another_follows_does_not_end_its_task(create) -> None:
    # A controller killed here must find the task unfinished, with its budget as it was.
    record = create("a")
    running = TaskRow(position=0, id="a", attempt=1, state=TaskState.RUNNING)
    record.save([running])
    ended = msgspec.structs.replace(running, state=TaskState.FAILED, exit_code=1)
    record.save_attempt(ended)
    assert record.rows() == [running]
    assert [one["state"] for one in record.attempts("a")] == ["failed"]


def test_an_end_is_written_whole_or_not_at_all(create) -> None:
    record = create("a", "b")
    first, second = record.rows()
    record.save_end(first, [Collected("x", "same", 1, "0" * 64)])
    second.state = TaskState.SUCCEEDED
    with pytest.raises(sqlite3.IntegrityError):
        record.save_end(second, [Collected("x", "same", 1, "0" * 64)])
    assert record.rows()[1].state is TaskState.PENDING
    assert record.attempts("b") == []


def test_a_full_disk_is_told_with_what_to_do(small_disk: Path, create) -> None:
    record = create(*(f"t{n}" for n in range(100)), directory=small_disk / "run")
    rows = record.rows()
    for row in rows:
        row.detail = "x" * 10_000
    with pytest.raises(BackendError) as caught, record.errors():
        record.save(rows)
    assert caught.value.error_code == "BC7002"
    assert "run.db cannot be written" in caught.value.reason
    assert caught.value.hint.startswith("free some space")
    record.close()
    assert reread(small_disk / "run", Record.counts) == {TaskState.PENDING: 100}


def test_the_light_part_of_a_run_says_the_same_as_all_of_it(create) -> None:
    directory = create("a", "b").directory
    whole, light = read_header(directory), read_heading(directory)
    facts = [name for name in light.__struct_fields__ if name != "plan"]
    assert [getattr(light, name) for name in facts] == [getattr(whole, name) for name in facts]
    assert light.task_ids == whole.task_ids == ["a", "b"]
    assert read_plan(directory) == whole.plan


def test_tasks_and_their_outputs_can_be_had_by_state(create) -> None:
    record = create("a", "b", "c")
    for row in record.rows():
        row.state = TaskState.FAILED if row.id == "b" else TaskState.SUCCEEDED
        record.save_end(row, [Collected("out", f"{row.id}/out", 1, "0" * 64)])
    good = {TaskState.SUCCEEDED}
    assert [row.id for row in record.rows(good)] == ["a", "c"]
    assert [row.id for row in record.rows(good, limit=1)] == ["a"]
    assert sorted(record.outputs(good)) == ["a", "c"]
    assert record.rows(()) == []
    assert record.outputs(()) == {}


# Readers.


def test_a_reader_sees_what_a_writer_has_committed(create) -> None:
    writer = create("a")
    reader = Record.read(writer.directory)
    writer.save([TaskRow(position=0, id="a", state=TaskState.RUNNING)])
    assert reader.rows()[0].state is TaskState.RUNNING
    reader.close()


def test_any_number_of_readers_keep_no_writer_out(written: Path) -> None:
    readers = [Record.read(written) for _ in range(5)]
    assert all(len(reader.rows()) == 3 for reader in readers)
    Record.resume(written).close()
    for reader in readers:
        reader.close()


def test_a_reader_cannot_write(written: Path) -> None:
    reader = Record.read(written)
    with pytest.raises(sqlite3.OperationalError):
        reader.save_meta("a", "b")
    reader.close()


@pytest.mark.parametrize("state", ["missing", "empty"])
def test_a_reader_that_comes_before_the_record_sees_pending_tasks_and_writes_nothing(
    create, state: str
) -> None:
    record = create("a", "b")
    record.close()
    database = record.directory / "run.db"
    database.unlink()
    if state == "empty":
        database.touch()
    before = sorted(path.name for path in record.directory.iterdir())
    rows = reread(record.directory, Record.rows)
    assert rows == [TaskRow(position=0, id="a"), TaskRow(position=1, id="b")]
    assert sorted(path.name for path in record.directory.iterdir()) == before


def test_a_reader_of_a_damaged_record_says_how_it_is_mended(written: Path) -> None:
    (written / "run.db").write_bytes(b"nonsense" * 1000)
    with pytest.raises(BackendError) as caught:
        Record.read(written)
    assert caught.value.error_code == "BC7002"
    assert "run the same command again" in caught.value.hint
    assert (written / "run.db").read_bytes() == b"nonsense" * 1000


@pytest.mark.parametrize("whole", [True, False], ids=["all", "a part"])
@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE outputs",
        "DELETE FROM tasks WHERE id = 'b'",
        "UPDATE tasks SET id = 'B' WHERE id = 'b'",
        "UPDATE tasks SET state = 'suceeded'",
    ],
)
def test_a_reader_never_answers_from_a_record_that_is_wrong(
    written: Path, statement: str, whole: bool
) -> None:
    with sqlite3.connect(written / "run.db") as database:
        database.execute(statement)
    database.close()
    for what in (Record.rows, Record.counts):
        with pytest.raises(BackendError) as caught:
            read_guarded(written, what, whole=whole)
        assert caught.value.error_code == "BC7002"
        assert "run the same command again" in caught.value.hint


def read_guarded(directory: Path, what: Callable[..., object], *, whole: bool) -> object:
    record = Record.read(directory, whole=whole)
    try:
        with record.errors():
            return what(record)
    finally:
        record.close()


def test_who_reads_all_of_a_record_learns_that_an_index_of_it_is_wrong(written: Path) -> None:
    with sqlite3.connect(written / "run.db") as database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(WRONG_INDEX)
    database.close()
    with pytest.raises(BackendError, match="cannot be read"):
        Record.read(written)


# One writer.


def test_a_second_writer_is_told_who_the_first_is(create) -> None:
    directory = create().directory
    with pytest.raises(Conflict) as caught:
        Record.resume(directory)
    assert f"process {os.getpid()} on {socket.gethostname()} since 20" in caught.value.reason
    assert caught.value.hint == f"look with: batchcore status {directory}"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_second_writer_is_refused_also_where_the_first_is_not_known(create, content) -> None:
    directory = create().directory
    (directory / "lock.json").write_bytes(content)
    with pytest.raises(Conflict, match="does not say which"):
        Record.resume(directory)


def test_the_lock_is_free_after_closing_and_closing_again_does_nothing(create) -> None:
    record = create()
    record.close()
    record.close()
    Record.resume(record.directory).close()


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as child:
        return child.pid


def test_whoever_holds_the_lock_drives_whatever_is_written_beside_it(create, gone: int) -> None:
    directory = create().directory
    name_owner(directory, gone)
    assert is_driven(directory)


def test_who_was_given_a_run_and_has_not_come_for_a_minute_does_not_drive(written: Path) -> None:
    name_owner(written, os.getpid(), background=True, coming=True)
    assert is_driven(written)
    owner = owner_of(written)
    assert owner
    long_ago = msgspec.structs.replace(owner, at=owner.at - 61)
    (written / "lock.json").write_bytes(msgspec.json.encode(long_ago))
    assert not is_driven(written)


HOLD = """
import sys
from pathlib import Path
from batchcore.record import Record, TaskRow
record = Record.resume(Path(sys.argv[1]))
record.save([TaskRow(position=0, id="a", attempt=7)])
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_is_free_when_its_process_is_killed(written: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(written)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Conflict, match=f"process {holder.pid} on"):
            Record.resume(written)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    record = Record.resume(written)
    assert record.rows()[0].attempt == 7  # and what it had committed is there
    record.close()


def test_a_failed_opening_leaves_the_lock_free(written: Path) -> None:
    (written / "run.db").unlink()
    (written / "run.db").mkdir()
    with pytest.raises(BackendError):
        Record.resume(written)
    (written / "run.db").rmdir()
    Record.resume(written).close()


def test_no_descriptor_is_left_open(written: Path, descriptors) -> None:
    before = descriptors()
    Record.read(written).close()
    Record.resume(written).close()
    (written / "run.db").write_bytes(b"nonsense" * 1000)
    with pytest.raises(BackendError):
        Record.read(written)
    Record.resume(written).close()
    assert descriptors() == before


# Damage.


def test_a_missing_run_is_not_found(tmp_path: Path) -> None:
    for read in (Record.resume, Record.read, read_header):
        with pytest.raises(NotFound, match="there is no run in"):
            read(tmp_path / "nothing")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[: len(text) // 2],
        lambda text: text[:-1],
        lambda text: text.replace(b'"run-1"', b'"run-2"'),
        lambda text: text.replace(b'"sha256":"', b'"sha256":"0'),
        lambda text: b"\xff" + text,
        lambda text: b"[]",
    ],
    ids=["empty", "half", "one byte", "another id", "another checksum", "not text", "a list"],
)
def test_a_damaged_job_json_is_found_out(written: Path, damage: Callable[[bytes], bytes]) -> None:
    path = written / "job.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BackendError) as caught:
        Record.resume(written)
    assert caught.value.error_code == "BC7002"
    assert caught.value.where == str(path)
    assert caught.value.hint.startswith("start anew with --fresh")


def test_a_job_json_of_another_version_is_named(written: Path) -> None:
    path = written / "job.json"
    envelope = json.loads(path.read_bytes())
    path.write_text(json.dumps({**envelope, "schema": "batchcore.run-record/2"}))
    with pytest.raises(BackendError, match=r"its schema is 'batchcore\.run-record/2'"):
        read_header(written)


def test_a_job_json_without_permission_says_who_has_it(
    open_directory, without_rights, create
) -> None:
    record = create(directory=open_directory / "run")
    record.directory.chmod(0o755)
    (record.directory / "job.json").chmod(0)
    with without_rights(), pytest.raises(EnvironmentNotReady, match="only the user"):
        read_header(record.directory)


def check_mended(directory: Path, before: dict[str, bytes]) -> bool:
    """Resume a run; its record must be right, or set aside and built anew. Return which."""
    record = Record.resume(directory)
    try:
        rows = record.rows()
        assert [row.id for row in rows] == ["a", "b", "c"]
        assert all(isinstance(row.state, TaskState) for row in rows)
        record.outputs(), record.attempts("a"), record.staged()
        aside = list(directory.glob("run.db.corrupt-*"))
        if record.meta("rebuilt"):
            assert rows == [TaskRow(position=n, id=id_) for n, id_ in enumerate("abc")]
            assert [path.read_bytes() for path in aside] == [before["run.db"]]
        else:
            assert aside == []
        record.save(rows)
        return bool(record.meta("rebuilt"))
    finally:
        record.close()


@pytest.mark.parametrize("sixteenth", range(1, 16))
def test_a_record_that_was_cut_is_built_anew(written: Path, sixteenth: int) -> None:
    path = written / "run.db"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * sixteenth // 16])
    assert check_mended(written, {"run.db": path.read_bytes()})


@pytest.mark.parametrize(
    "content", [b"nonsense", b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 8000], ids=repr
)
def test_what_is_no_record_is_set_aside(written: Path, content: bytes) -> None:
    (written / "run.db").write_bytes(content)
    assert check_mended(written, {"run.db": content})


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE outputs",
        "DELETE FROM tasks WHERE id = 'b'",
        "UPDATE tasks SET id = 'B' WHERE id = 'b'",
        "UPDATE tasks SET state = 'suceeded'",
        "UPDATE tasks SET attempt = 'one'",
        "UPDATE attempts SET reason = 'bad luck'",
        "UPDATE outputs SET size = 'large'",
        "ALTER TABLE tasks RENAME COLUMN detail TO details",
        "ALTER TABLE staged RENAME COLUMN sha256 TO sha257",
        WRONG_INDEX,
    ],
)
def test_a_record_that_is_whole_and_not_of_this_run_is_set_aside(
    written: Path, statement: str
) -> None:
    database = sqlite3.connect(written / "run.db")
    database.execute("PRAGMA writable_schema = ON")
    with database:
        database.execute(statement)
    database.close()
    assert check_mended(written, {"run.db": (written / "run.db").read_bytes()})


@given(st.integers(0, 2**16), st.integers(1, 255))
@example(18, 255)  # the version that may write
@example(19, 255)  # the version that may read
@example(3136, 128)  # the text of a table: what SQLite says of it is no text
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_changed_byte_anywhere_never_breaks_a_run(written: Path, place: int, flip: int) -> None:
    directory = written.parent / "copy"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(written, directory)
    path = directory / "run.db"
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= flip
    path.write_bytes(content)
    check_mended(directory, {"run.db": bytes(content)})


def test_a_record_without_its_log_is_whole(create) -> None:
    record = create("a", "b", "c")
    record.save_meta("a", "b")
    copied = record.directory.parent / "copy"
    shutil.copytree(record.directory, copied)
    (copied / "run.db-wal").unlink()
    (copied / "lock.json").unlink()
    record.close()
    check_mended(copied, {"run.db": (copied / "run.db").read_bytes()})


def test_a_path_of_a_log_is_below_the_run(create) -> None:
    record = create()
    path = record.log_path("a", 2, "stderr")
    assert path == record.directory / "logs" / "a" / "2" / "stderr.txt"
    assert record.outputs_directory == record.directory / "outputs"


def test_a_header_is_read_back_equal(header) -> None:
    made = header("a", "b")
    assert msgspec.json.decode(msgspec.json.encode(made), type=Header) == made
