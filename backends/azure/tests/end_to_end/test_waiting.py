"""Tasks that no machine takes: what is said of it while they wait, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from batchcore.states import FailureReason, TaskState
from batchcore_azure import watch

TASK = {"id": "patient", "command": ["true"]}


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at jobs and pools with every poll."""
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0)


@pytest.fixture
def account(serve: Callable[..., Any]) -> Any:
    """An account whose machines run nothing."""
    return serve(instant=True)


def no_quota(account: Any) -> None:
    account.state.quota.dedicated_cores = 0


def no_capacity(account: Any) -> None:
    error = {"code": "AllocationFailed", "message": "No machines of this size", "values": []}
    when_there_is_a_pool(account, lambda pool: account.state.order_resize_errors(pool, [error]))


def bad_start_task(account: Any) -> None:
    when_there_is_a_pool(account, lambda pool: account.state.order_start_task_exit(pool, 4))


def when_there_is_a_pool(account: Any, order: Callable[[str], None]) -> None:
    """Give an order for each pool as soon as it is made, before it has a machine."""
    create = account.state.create_pool

    def make(body: dict[str, Any]) -> Any:
        with account.state.changed:
            made = create(body)
            order(body["id"])
            return made

    account.state.create_pool = make


ACCIDENTS = {
    "no quota": (no_quota, FailureReason.QUOTA, "AccountCoreQuotaReached"),
    "no capacity": (no_capacity, FailureReason.BACKEND, "AllocationFailed"),
    "start task": (bad_start_task, FailureReason.BACKEND, "failed in the start task"),
}


@pytest.mark.parametrize(("accident", "reason", "words"), ACCIDENTS.values(), ids=ACCIDENTS)
def test_waiting_too_long_ends_with_the_reason_for_it(
    account: Any, accident: Callable[[Any], None], reason: FailureReason, words: str
) -> None:
    accident(account)
    account.job(TASK)
    done = account.run("--set", "max_queue_time=2", "--set", "start_task=prepare")
    (task,) = account.loaded().tasks
    assert (done.code, task.state, task.reason) == (3, TaskState.FAILED, reason)
    assert words in done.err
    assert words in task.detail
    assert task.attempt == 1


@pytest.fixture
def command(account: Any) -> Iterator[Future[Any]]:
    """The command, going on in another thread while its one task waits for a quota."""
    no_quota(account)
    account.job(TASK)
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(account.run, "--set", "max_queue_time=60")
        account.until(lambda: account.task_states() == ["active"])
        yield going


def grant(account: Any) -> None:
    """Give the account what its pool asks for, and the pool its machine."""
    (pool,) = account.pool_ids()
    account.state.quota.dedicated_cores = 100
    account.until(lambda: account.state.pool(pool).body["allocationState"] == "steady")
    account.state.resize_pool(pool, dedicated=1)


def test_explain_asks_the_account_why_a_task_waits(account: Any, command: Future[Any]) -> None:
    account.says(lambda: "AccountCoreQuotaReached" in account.cli("explain", "run").out)
    done = account.cli("explain", "run")
    assert "patient: it is queued on azure" in done.out
    assert "Batch has it waiting for a free slot of a machine" in done.out
    assert "ask for a higher quota of the account" in done.out
    grant(account)
    assert command.result(60).code == 0


def test_what_failed_for_want_of_a_quota_is_retried_once_it_is_granted(account: Any) -> None:
    no_quota(account)
    account.job(TASK)
    assert account.run("--set", "max_queue_time=2").code == 3
    grant(account)
    done = account.cli("retry", "run", "--reason", "quota", "--json")
    assert (done.code, done.data["retried"]) == (0, ["patient"])


def detail(account: Any) -> str:
    """Return what the record, as any process sees it, has for the task."""
    return account.cli("status", "run", "--json").data["tasks"][0]["detail"]


def test_a_quota_that_is_granted_lets_the_tasks_run(account: Any, command: Future[Any]) -> None:
    grant(account)
    assert command.result(60).code == 0


@pytest.mark.docker
def test_a_machine_that_cannot_be_used_is_named(cloud: Any) -> None:
    cloud.job({**TASK, "image": "nobody/has-this:v1"})
    done = cloud.run("--set", "max_queue_time=2", "--set", "prefetch=true")
    (task,) = cloud.loaded().tasks
    assert (done.code, task.reason) == (3, FailureReason.BACKEND)
    assert "1 machine unusable" in task.detail


def test_a_job_that_was_disabled_by_hand_is_named_and_goes_on_once_enabled(
    account: Any, command: Future[Any]
) -> None:
    (job,) = account.job_ids()
    account.state.disable_job(job, "requeue")
    account.says(lambda: f"the job {job} is disabled" in detail(account))
    account.state.enable_job(job)
    grant(account)
    assert command.result(60).code == 0
    assert detail(account) == ""
