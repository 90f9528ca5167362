"""What a run gives away: every URL, mount, user and option that the service was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from batchcore import __version__
from batchcore_azure.auth import Account
from batchcore_azure.lifetimes import EARLIER, MARGIN
from batchcore_azure.settings import AzureSettings

QUEUE, LIMIT = 600, 120
TASKS = [
    {
        "id": "user",
        "command": ["true"],
        "resources": [{"path": "given", "text": "x"}, {"path": "also", "text": "y"}],
        "outputs": ["out.txt", "logs/*.log"],
        "env": {"GREETING": "hello"},
        "timeout": LIMIT,
    },
    {"id": "root", "command": ["true"], "user": "root", "timeout": LIMIT},
]


@pytest.fixture
def account(serve: Callable[..., Any]) -> Any:
    """An account whose machines run nothing, on which a run of the tasks above has ended."""
    made = serve(instant=True)
    kept: list[dict[str, Any]] = []
    add = made.state.add_task

    def keep(job: str, sent: dict[str, Any], *rest: Any, **options: Any) -> Any:
        kept.append(json.loads(json.dumps(sent)))
        return add(job, sent, *rest, **options)

    made.state.add_task = keep
    made.sent = kept
    made.job(*TASKS)
    assert made.run("--set", f"max_queue_time={QUEUE}").code == 3  # no output was written
    return made


@pytest.fixture
def bodies(account: Any) -> dict[str, dict[str, Any]]:
    """The body that each task was sent as."""
    return {body["id"]: body for body in account.sent}


def signed(bodies: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield for each signed URL what it is for, and its query."""
    for body in bodies.values():
        for file in body["resourceFiles"]:
            yield "resource", query(file["httpUrl"])
        for file in body["outputFiles"]:
            yield "output", query(file["destination"]["container"]["containerUrl"])


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_a_url_lets_its_holder_do_one_thing(bodies: dict[str, Any]) -> None:
    allowed = {(use, found["sr"], found["sp"]) for use, found in signed(bodies)}
    assert allowed == {("resource", "b", "r"), ("output", "c", "cw")}


def test_a_url_lives_for_the_queue_the_task_and_a_margin(bodies: dict[str, Any]) -> None:
    longest = timedelta(seconds=EARLIER + QUEUE + LIMIT + MARGIN)
    for _use, found in signed(bodies):
        start, end = (datetime.fromisoformat(found[name]) for name in ("st", "se"))
        assert end - start == longest


def test_a_container_sees_its_own_task_s_directory_alone(bodies: dict[str, Any]) -> None:
    for body in bodies.values():
        mounts = body["containerSettings"]["containerHostBatchBindMounts"]
        assert mounts == [{"source": "Task", "isReadOnly": False}]


def test_no_task_is_an_administrator_or_shares_its_user(bodies: dict[str, Any]) -> None:
    users = [body["userIdentity"] for body in bodies.values()]
    assert users == [{"autoUser": {"scope": "task", "elevationLevel": "nonadmin"}}] * 2


def test_a_container_gets_no_privilege_that_was_not_asked_for(bodies: dict[str, Any]) -> None:
    options = {
        name: body["containerSettings"]["containerRunOptions"].split()
        for name, body in bodies.items()
    }
    harmless = ["--cap-drop=ALL", "--security-opt=no-new-privileges", "--init"]
    assert options["user"] == [*harmless, "--pids-limit=4096"]
    more = options["root"][len(options["user"]) :]
    assert more[0] == "--user=0:0"
    assert all(option.startswith("--cap-add=") for option in more[1:])
    assert not {"--cap-add=SYS_ADMIN", "--cap-add=NET_ADMIN", "--privileged"} & set(more)


def test_a_task_is_never_run_again_by_the_service(bodies: dict[str, Any]) -> None:
    assert [body["constraints"]["maxTaskRetryCount"] for body in bodies.values()] == [0, 0]


def test_a_signature_stands_nowhere_but_where_it_is_used(bodies: dict[str, Any]) -> None:
    for body in bodies.values():
        rest = {k: v for k, v in body.items() if k not in {"resourceFiles", "outputFiles"}}
        assert "sig=" not in json.dumps(rest)
        for output in body["outputFiles"]:
            container = output["destination"].pop("container")
            assert "sig=" not in json.dumps([output, container["path"]])


def test_no_key_is_in_anything_that_the_service_keeps(account: Any) -> None:
    pools = [pool.body for pool in account.state.pools()]
    jobs = [job.body for job in account.state.jobs()]
    tasks = [task.body for job in account.state.jobs() for task in account.state.tasks_of(job.id)]
    assert pools
    assert jobs
    assert tasks
    kept = json.dumps([pools, jobs, tasks, account.sent])
    for key in (account.emulator.key, account.emulator.storage.key):
        assert key not in kept
    assert "CANARY" not in kept


def test_the_variables_of_a_task_are_the_job_s_and_its_names(bodies: dict[str, Any]) -> None:
    names = {variable["name"] for variable in bodies["user"]["environmentSettings"]}
    own = {"BATCHCORE_RUN_ID", "BATCHCORE_TASK_ID", "BATCHCORE_ATTEMPT"}
    assert names == {"GREETING", "HOME", "USER", "LOGNAME", *own}


def test_the_services_are_told_who_calls(account: Any) -> None:
    endpoint, storage = account.emulator.endpoint, account.emulator.storage
    settings = AzureSettings(endpoint=endpoint, account_name="a", storage_account=storage.account)
    caller = Account(settings)
    for client in (caller.batch, caller.blobs):
        assert client._config.user_agent_policy.user_agent.startswith(f"batchcore/{__version__} ")
    caller.close()
