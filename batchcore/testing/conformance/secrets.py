"""Secrets: files that the worker alone reads, while it runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchcore.errors import JobError
from batchcore.model import Task
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.trial import Trial

_NAME = "CONFORMANCE_SECRET"
_VALUE = 'CANARY\'of the "kit"\n $HOME ü'
_DIGEST = 'sha256sum < "$BATCHCORE_SECRETS_DIR/CONFORMANCE_SECRET"'
_NOWHERE = "secrets: the value reaches the worker as a file, and is stored and shown nowhere else"


class Secrets(Group):
    """Values of the controller's environment that are never stored."""

    def test_a_secret_reaches_the_worker_as_a_file_alone(
        self, trial: Trial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trial.needs("secrets")
        monkeypatch.setenv(_NAME, _VALUE)
        run = trial.run(
            Task("a", shell=_DIGEST, secrets=[_NAME]),
            Task("variable", shell=f"printenv {_NAME} || echo unset", secrets=[_NAME]),
            Task("other", shell='echo "${BATCHCORE_SECRETS_DIR-unset}"'),
        )
        digest = hashlib.sha256(_VALUE.encode()).hexdigest().encode()
        assert run.log("a") == digest + b"  -\n", says(
            "secrets: $BATCHCORE_SECRETS_DIR/NAME holds exactly the variable's bytes",
            (run.log("a"), run.log("a", "stderr")),
        )
        assert run.log("variable") == b"unset\n", says(
            "secrets: the value is in no task's environment", "it is in that of a task"
        )
        assert run.log("other") == b"unset\n", says(
            "secrets: only tasks that have any find BATCHCORE_SECRETS_DIR", run.log("other")
        )
        places = list(_files_with(run.directory))
        assert not places, says(_NOWHERE, f"it is in {places}")

    def test_a_secret_is_nowhere_else_and_goes_with_the_attempt(
        self, trial: Trial, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trial.needs("secrets")
        monkeypatch.setenv(_NAME, _VALUE)
        shell = f'echo "$BATCHCORE_SECRETS_DIR"; {_DIGEST} > here; exec sleep 600'
        opened = trial.open(Task("a", shell=shell, outputs=["here"], secrets=[_NAME], grace=1))
        opened.submit()
        seen = opened.until_begun("a", b"\n")
        places = [*_files_with(trial.directory), *_command_lines()]
        opened.backend.cancel(opened.context, ["a"])
        opened.end_of("a")
        places += _files_with(trial.directory)
        assert not places, says(_NOWHERE, f"it is in {places}")
        said = [*map(repr, opened.updates), *opened.release(dry_run=True)]
        assert not [line for line in said if "CANARY" in line], says(_NOWHERE, "it was said")
        written = opened.log("a").decode().strip()
        assert written or not seen, says(
            "secrets: a task that has any finds BATCHCORE_SECRETS_DIR", f"it printed {seen!r}"
        )
        file = Path(written) / _NAME
        trial.until(
            lambda: not file.exists(),
            f"secrets: the file {file} is gone when the attempt has ended",
        )

    @pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
    def test_a_secret_without_a_value_is_refused_before_anything_is_created(
        self, trial: Trial, monkeypatch: pytest.MonkeyPatch, value: str | None
    ) -> None:
        trial.needs("secrets")
        monkeypatch.setenv(_NAME, value or "")
        if value is None:
            monkeypatch.delenv(_NAME)
        with pytest.raises(JobError) as refused:
            trial.prepare(Task("a", shell="true", secrets=[_NAME]))
        codes = [problem.code for problem in refused.value.problems]
        assert codes == ["BC2206"], says("secrets: one that is not set is BC2206", codes)
        assert not trial.directory.exists(), says(
            "check: creates nothing", f"{trial.directory} exists"
        )


def _files_with(directory: Path) -> Iterator[str]:
    """Return the files that have the value in them."""
    # Unlike `rglob` this goes on where a directory vanishes on the way.
    files = (Path(place, name) for place, _, names in os.walk(directory) for name in names)
    return (str(path) for path in files if path.is_file() and _has_it(path))


def _command_lines() -> Iterator[str]:
    """Return the processes of this machine that were told the value, where the system says."""
    return (str(path) for path in Path("/proc").glob("[0-9]*/cmdline") if _has_it(path))


def _has_it(path: Path) -> bool:
    try:
        return b"CANARY" in path.read_bytes()
    except OSError:  # it is gone, or its process has ended
        return False
