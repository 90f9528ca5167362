"""What cannot be done is refused in the project's own words, before anything is created."""

from __future__ import annotations

from typing import Any

import pytest

from batchcore.backend import FEATURES
from batchcore.errors import BackendBug, BackendError, BatchcoreError, JobError, SettingsError
from batchcore.features import ASKABLE
from batchcore.model import Mount, Requirements, Task
from batchcore.testing.conformance.group import Group, says
from batchcore.testing.opened import Opened
from batchcore.testing.trial import Trial

_ASKING: dict[str, dict[str, Any]] = {
    "dependencies": {"depends_on": ["first"]},
    "time_limit": {"timeout": 60},
    "retries": {"retries": 1},
    "gpus": {"requirements": Requirements(gpus=1)},
    "mounts": {"mounts": [Mount("/data", ".")]},
    "secrets": {"secrets": ["CONFORMANCE_SECRET"]},
    "root_user": {"user": "root"},
}
_HOSTILE: dict[str, dict[str, Any]] = {
    "an id like an option": {"id": "--help"},
    "a word of 200 kB": {"command": ["echo", "x" * 200_000]},
    "30,000 words": {"command": ["true", *["word"] * 30_000]},
    "a variable of 200 kB": {"env": {"BIG": "x" * 200_000}},
    "300 outputs": {"outputs": [f"out-{number}" for number in range(300)]},
    "a machine there is not": {
        "requirements": Requirements(cpus=9_999, memory="1000TiB", disk="1000TiB")
    },
    "next to nothing": {"requirements": Requirements(cpus=0.001, memory=1, disk=1)},
    "an endless time": {"timeout": 1e12, "grace": 1e12},
}


class Refusals(Group):
    """Jobs that a backend does not take, and jobs that are hard to take."""

    def test_what_is_declared_is_known_and_has_a_reason(self, trial: Trial) -> None:
        declared = trial.spec.capabilities
        unknown = set(declared) - set(FEATURES)
        assert not unknown, says("BackendSpec: capabilities are of FEATURES", sorted(unknown))
        mute = [name for name in FEATURES if not _explained(trial, name)]
        assert not mute, says("an unsupported feature says why", mute)

    @pytest.mark.parametrize("feature", ASKABLE)
    def test_what_is_not_supported_is_refused_before_anything_is_created(
        self, trial: Trial, feature: str
    ) -> None:
        capability = trial.capability(feature)
        if capability.level != "unsupported":
            pytest.skip(f"{trial.subject.backend} has {feature}: {capability.level}")
        asking = Task("a", shell="true", **_ASKING[feature])
        with pytest.raises(JobError) as refused:
            trial.prepare(Task("first", shell="true"), asking)
        codes = {problem.code for problem in refused.value.problems}
        assert codes == {"BC2501"}, says(
            "an unsupported request is refused with BC2501", refused.value
        )
        _nothing_is_created(trial)

    def test_an_unknown_option_is_refused_before_anything_is_created(self, trial: Trial) -> None:
        options = {trial.subject.backend: {**trial.subject.options, "no_such_option": 1}}
        with pytest.raises(SettingsError) as refused:
            trial.prepare(Task("a", shell="true"), backend_options=options)
        assert "no_such_option" in str(refused.value), says(
            "an unknown option is named", refused.value
        )
        _nothing_is_created(trial)

    def test_check_creates_nothing_and_may_be_asked_again(self, trial: Trial) -> None:
        prepared = trial.prepare(Task("a", shell="true"))
        try:
            again = prepared.backend.check(prepared.plan)
            created = Opened(prepared, trial.subject).release(dry_run=True)
        finally:
            prepared.backend.close()
        said = [(check.problems, check.fingerprint) for check in (prepared.check, again)]
        assert said[0] == said[1], says("check: may be called at any time", said)
        assert not created, says("check: creates nothing", created)
        _nothing_is_created(trial)

    @pytest.mark.parametrize("fields", _HOSTILE.values(), ids=_HOSTILE)
    def test_a_job_that_is_hard_to_take_is_run_or_refused(
        self, trial: Trial, fields: dict[str, Any]
    ) -> None:
        if "timeout" in fields:
            trial.needs("time_limit")
        given = {"id": "a", "command": ["true"], **fields}
        run = _submitted(trial, Task(**given))
        if isinstance(run, BatchcoreError):
            assert not isinstance(run, BackendBug), says(
                "a backend raises only this project's errors", run
            )
            assert run.reason, says("an error says what happened", repr(run))
            return
        end = run.end_of(given["id"])
        assert end.state == "succeeded" or end.reason, says(
            "submit: a task that cannot start becomes a failed update", end
        )


def _explained(trial: Trial, feature: str) -> bool:
    capability = trial.capability(feature)
    return capability.level != "unsupported" or bool(capability.reason)


def _submitted(trial: Trial, task: Task) -> Opened | BatchcoreError:
    """Return the run of a task that is submitted, or the error that refused it."""
    try:
        run = trial.open(task)
        run.submit()
    except BatchcoreError as error:
        if isinstance(error, BackendError) and error.transient:
            raise
        return error
    return run


def _nothing_is_created(trial: Trial) -> None:
    assert not trial.directory.exists(), says(
        "nothing is created before a job is known to be right", f"{trial.directory} exists"
    )
