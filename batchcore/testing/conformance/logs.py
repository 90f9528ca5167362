"""Logs: both streams apart, to the byte, from any offset, while a task runs and after it."""

from __future__ import annotations

from batchcore.model import Task
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial

_MIB = 1 << 20
_OFFSETS = "read_log: bytes of a log from `offset` on"


class Logs(Group):
    """What a task writes to its two streams."""

    def test_both_streams_are_kept_to_the_byte(self, trial: Trial) -> None:
        logs = {
            "binary": (bytes([0, 10, 255, 13, 10]), b"no newline"),
            "silent": (b"", b""),
            "failed": (b"first\n", b"and then\n"),
        }
        run = trial.run(
            Task("binary", shell=r"printf '\000\012\377\015\012'; printf 'no newline' >&2"),
            Task("silent", shell="true"),
            Task("failed", shell="echo first; echo and then >&2; exit 3"),
        )
        kept = {task: (run.log(task, "stdout"), run.log(task, "stderr")) for task in logs}
        assert kept == logs, says(
            "stdout and stderr are kept apart in the run directory, byte for byte, after a "
            "failure too",
            kept,
        )

    def test_a_log_can_be_read_from_any_offset(self, trial: Trial) -> None:
        opened = trial.open(Task("a", shell="printf 0123456789; echo other >&2"))
        opened.submit()
        opened.end_of("a")
        whole, other = opened.log("a"), opened.log("a", "stderr")
        assert (whole, other) == (b"0123456789", b"other\n"), says(
            "read_log: each stream by its name", f"stdout is {whole!r}, stderr is {other!r}"
        )
        for offset in (0, 1, 5, 9, 10, 11, 5 * _MIB):
            rest = opened.log("a", offset=offset)
            assert rest == whole[offset:], says(_OFFSETS, f"from {offset}: {rest!r}")

    def test_a_long_log_comes_whole_in_chunks(self, trial: Trial) -> None:
        last = 450_000
        opened = trial.open(Task("a", shell=f"seq {last}"))
        opened.submit()
        opened.end_of("a")
        whole = opened.log("a")
        wanted = b"".join(b"%d\n" % number for number in range(1, last + 1))
        assert whole == wanted, says(
            "read_log: chunk by chunk gives the whole log", f"{len(whole)} of {len(wanted)} bytes"
        )
        chunk = opened.backend.read_log(opened.context, opened.attempt("a"), "stdout", 7)
        assert chunk.data, says("read_log: there is more from 7 on", chunk)
        assert len(chunk.data) <= _MIB, says("read_log: at most 1 MiB", len(chunk.data))
        assert not chunk.complete, says(
            "LogChunk: not complete while there is more after it", f"{len(chunk.data)} bytes"
        )

    def test_a_log_can_be_read_while_the_task_runs(self, trial: Trial) -> None:
        trial.needs("live_logs")
        lines = b"first\nsecond\n"
        opened = trial.open(
            Task("a", shell="echo first; sleep 1; echo second; exec sleep 600", grace=1)
        )
        opened.submit()
        opened.until_running("a")
        read: list[bytes] = []

        def grown() -> bool:
            chunk = opened.backend.read_log(
                opened.context, opened.attempt("a"), "stdout", len(b"".join(read))
            )
            assert not chunk.complete, says(
                "LogChunk: not complete while the task runs", (read, chunk)
            )
            read.append(chunk.data)
            return len(b"".join(read)) >= len(lines)

        trial.until(grown, "live_logs: what a task has written can be read while it runs")
        assert b"".join(read) == lines, says(_OFFSETS, read)
        opened.backend.cancel(opened.context, ["a"])
        opened.end_of("a")
        assert opened.log("a") == lines, says(
            "read_log: while it runs and until release", opened.log("a")
        )
