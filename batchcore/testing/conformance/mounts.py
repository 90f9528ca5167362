"""Mounts: a directory of this machine at an absolute path, read-only unless asked."""

from __future__ import annotations

import pytest

from batchcore.errors import JobError
from batchcore.model import Mount, Task
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial

_PLACE = "/conformance/data"


class Mounts(Group):
    """Directories that a worker sees beside its own."""

    def test_a_mount_is_read_only(self, trial: Trial) -> None:
        trial.needs("mounts")
        source = trial.here / "data"
        source.mkdir()
        (source / "file").write_text("content\n")
        write = f"echo spoilt > {_PLACE}/file || echo refused; touch {_PLACE}/new || echo refused"
        run = trial.run(
            Task("a", shell=f"cat {_PLACE}/file; {write}", mounts=[Mount(_PLACE, str(source))])
        )
        assert run.log("a") == b"content\nrefused\nrefused\n", says(
            "mounts: the directory appears at its path, and cannot be written to",
            (run.log("a"), run.log("a", "stderr")),
        )
        left = {path.name: path.read_text() for path in source.iterdir()}
        assert left == {"file": "content\n"}, says("mounts: read-only unless asked", left)

    def test_a_mount_that_is_asked_to_be_writable_is(self, trial: Trial) -> None:
        trial.needs("mounts")
        source = trial.here / "data"
        source.mkdir()
        mount = Mount(_PLACE, "data", read_only=False)
        run = trial.run(Task("a", shell=f"echo written > {_PLACE}/new", mounts=[mount]))
        left = {path.name: path.read_text() for path in source.iterdir()}
        assert left == {"new": "written\n"}, says(
            "mounts: with read_only false what the task writes is in the directory",
            (left, run.task("a"), run.log("a", "stderr")),
        )

    def test_a_mount_of_nothing_is_refused_before_anything_is_created(self, trial: Trial) -> None:
        trial.needs("mounts")
        with pytest.raises(JobError):
            trial.prepare(Task("a", shell="true", mounts=[Mount(_PLACE, "not-there")]))
        assert not trial.directory.exists(), says(
            "check: creates nothing", f"{trial.directory} exists"
        )
