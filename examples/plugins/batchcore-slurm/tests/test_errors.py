"""What Slurm's programs complain about."""

from __future__ import annotations

import pytest

from batchcore.errors import BackendError, EnvironmentNotReady
from batchcore_slurm.errors import complaint, said_by


@pytest.mark.parametrize(
    "text",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: ",
    ],
)
def test_what_may_pass_is_transient(text: str) -> None:
    error = complaint("sbatch", text, 1)
    assert isinstance(error, BackendError)
    assert error.transient


def test_what_stays_wrong_is_not() -> None:
    error = complaint("sbatch", "sbatch: error: invalid partition specified: nope\n", 1)
    assert isinstance(error, BackendError)
    assert not error.transient
    assert error.reason == "sbatch failed: invalid partition specified: nope"


def test_a_machine_that_knows_no_cluster_is_told_so() -> None:
    error = complaint("squeue", "squeue: fatal: Could not establish a configuration source", 1)
    assert isinstance(error, EnvironmentNotReady)
    assert "SLURM_CONF" in error.hint


def test_a_complaint_is_one_line_without_repetition() -> None:
    text = (
        "sbatch: error: one\nsbatch: error: one\nsbatch: error: Batch job submission failed: two\n"
    )
    assert said_by(text) == "one; Batch job submission failed: two"


def test_a_program_that_says_nothing_has_its_exit_code() -> None:
    assert complaint("sbatch", "", 9).reason == "sbatch failed: exit code 9"
