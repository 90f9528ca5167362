"""Every name keeps the rules of the service, and says whose it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore_azure import names

RUN_IDS = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)
ATTEMPTS = st.integers(1, 10_000)


@given(RUN_IDS, ATTEMPTS, ATTEMPTS)
def test_a_job_id_is_one_that_batch_takes(run_id: str, attempt: int, part: int):
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", names.job_id(run_id, attempt, part))


@given(RUN_IDS, ATTEMPTS, ATTEMPTS)
def test_a_job_tells_the_attempt_and_the_part(run_id: str, attempt: int, part: int):
    job = names.job_id(run_id, attempt, part)
    assert names.job_of_attempt(run_id, job) == (attempt, part)
    assert names.job_of_attempt(run_id, job.upper()) == (attempt, part)
    assert job.startswith(names.job_prefix(run_id))


@given(RUN_IDS, st.text(alphabet="abc0123456789-", max_size=12))
def test_no_other_job_is_taken_for_one_of_the_run(run_id: str, suffix: str):
    found = names.job_of_attempt(run_id, run_id + suffix)
    assert found is None or names.job_id(run_id, *found) == run_id + suffix


def test_the_first_job_has_the_name_of_the_run():
    assert names.job_id("sums-1234", 1) == "sums-1234"
    assert names.job_id("sums-1234", 3) == "sums-1234-a3"
    assert names.job_id("sums-1234", 3, 2) == "sums-1234-a3-b2"


@given(RUN_IDS, RUN_IDS)
def test_jobs_of_two_long_runs_differ(one: str, other: str):
    if one != other:
        assert names.job_id("x" * 40 + one[:20], 7) != names.job_id("y" * 40 + other[:20], 7)
        assert names.output_container(one) != names.output_container(other)


@given(RUN_IDS)
def test_pool_and_container_have_names_that_the_services_take(run_id: str):
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", names.pool_id(run_id))
    container = names.output_container(run_id)
    assert re.fullmatch(r"[a-z0-9](?!.*--)[a-z0-9-]*[a-z0-9]", container)
    assert 3 <= len(container) <= 63
    assert names.is_container_name(container)


@pytest.mark.parametrize("name", ["ab", "A-b", "a--b", "-ab", "ab-", "a_b", "a" * 64, "", "$root"])
def test_what_storage_takes_for_no_container_is_known(name: str):
    assert not names.is_container_name(name)


def test_an_attempt_writes_below_its_own_number():
    assert names.working_prefix("run", "Task", 2) == "run/Task/2/wd"
    assert names.log_blob("run", "Task", 2, "stdout") == "run/Task/2/stdout.txt"
    assert names.store_url("batchcore", "run") == "az://batchcore/run"
    assert names.resource_blob("run", "ab12") == "run/resources/ab12"


def test_metadata_says_whose_a_thing_is():
    assert names.is_ours(names.job_metadata("run", "hash", "1"), "run")
    assert names.is_ours({names.CONTAINER_RUN: "run"}, "run")
    assert not names.is_ours(names.job_metadata("run", "hash", "1"), "other")
    assert not names.is_ours({}, "run")
