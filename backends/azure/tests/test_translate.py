"""Pure translation: what Batch is sent, and what it is never sent."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from azure.batch.models import BatchJobCreateOptions, BatchPoolCreateOptions, BatchTaskCreateOptions

from batchcore.backend import TaskSubmission
from batchcore.model import Requirements
from batchcore.plan import PlannedOutput, PlannedTask
from batchcore.plan.sources import PlannedFile
from batchcore_azure import translate
from batchcore_azure.emulator.autoscale import evaluate
from batchcore_azure.environment import Secret
from batchcore_azure.images import VmImage
from batchcore_azure.settings import AzureSettings

SETTINGS = AzureSettings()
OUTPUTS = "https://store/bc-r-1?sig=CANARY-out"
IMAGE = VmImage(publisher="p", offer="o", sku="s", agent="batch.node.ubuntu 24.04")
PLACES = translate.Places(
    resource_url=lambda key: f"https://store/c/{key}?sig=CANARY-in", output_container=OUTPUTS
)
UNSIGNED = translate.Places(
    resource_url=lambda key: f"https://store/c/{key}",
    output_container="https://store/out",
    identity="/subscriptions/1/identity",
)


def body(
    settings: AzureSettings = SETTINGS, places: translate.Places = PLACES, **fields: Any
) -> dict[str, Any]:
    task = PlannedTask(
        **{"id": "One_1", "command": ("run", "a b", ""), "image": "app:v1", "spec_hash": "5e"}
        | fields
    )
    made = translate.task_body("r-1", TaskSubmission(task, 2), settings, places)
    # What the SDK makes of it is what is sent.
    assert BatchTaskCreateOptions(made).as_dict() == made
    return made


def options(settings: AzureSettings = SETTINGS, **fields: Any) -> list[str]:
    return shlex.split(body(settings, **fields)["containerSettings"]["containerRunOptions"])


def variables(**fields: Any) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in body(**fields)["environmentSettings"]}


def uploads(*outputs: PlannedOutput) -> dict[str, tuple[str, str]]:
    return {
        file["filePattern"]: (
            file["destination"]["container"]["path"],
            file["uploadOptions"]["uploadCondition"],
        )
        for file in body(outputs=outputs)["outputFiles"]
    }


def test_a_task_is_known_by_its_id_and_its_spec():
    made = body()
    assert (made["id"], made["displayName"]) == ("One_1", "5e")


def test_the_command_is_said_without_a_shell():
    assert shlex.split(body()["commandLine"]) == ["run", "a b", ""]
    assert shlex.split(body(command=("echo", "$HOME", "it's"))["commandLine"])[1] == "$HOME"


def test_batch_never_retries_a_task_and_stops_it_in_time():
    limits = body(timeout=90.5)["constraints"]
    assert limits["maxTaskRetryCount"] == 0
    assert limits["maxWallClockTime"] == "PT91S"


def test_a_task_without_a_time_limit_gets_the_default_one():
    limits = body(AzureSettings(default_time_limit="2h"))["constraints"]
    assert limits["maxWallClockTime"] == "PT7200S"


def test_a_task_is_a_user_of_its_own_without_rights():
    assert body(user="root")["userIdentity"] == body()["userIdentity"]
    assert body()["userIdentity"] == {"autoUser": {"scope": "task", "elevationLevel": "nonadmin"}}


def test_of_the_machine_a_container_sees_the_tasks_directory_alone():
    container = body()["containerSettings"]
    assert container["containerHostBatchBindMounts"] == [{"source": "Task", "isReadOnly": False}]
    assert container["workingDirectory"] == "taskWorkingDirectory"
    assert container["imageName"] == "app:v1"


def test_a_container_has_no_rights_and_its_limits():
    wanted = Requirements(cpus=1.5, memory="1GiB")
    assert options(AzureSettings(pids_limit=7), requirements=wanted) == [
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--init",
        "--pids-limit=7",
        "--memory=1073741824",
        "--memory-swap=1073741824",
        "--cpus=1.5",
    ]


def test_root_in_a_container_has_what_concerns_its_own_files():
    added = set(options(user="root")) - set(options())
    assert added == {"--user=0:0"} | {
        f"--cap-add={name}" for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
    }


def test_further_options_come_last():
    chosen = AzureSettings(container_options=("--shm-size=1g",))
    assert options(chosen)[-1] == "--shm-size=1g"


def test_the_worker_finds_its_names_and_a_home_it_can_write_to():
    found = variables()
    assert found["BATCHCORE_RUN_ID"] == "r-1"
    assert found["BATCHCORE_TASK_ID"] == "One_1"
    assert found["BATCHCORE_ATTEMPT"] == "2"
    assert found["HOME"] == "/tmp"


def test_the_tasks_own_variables_win():
    assert variables(env={"HOME": "/data", "A": ""})["HOME"] == "/data"


def test_no_secret_is_sent():
    assert "CANARY" not in json.dumps(body(secrets=("CANARY_TOKEN",), places=UNSIGNED))


def test_a_resource_has_its_url_its_place_and_its_mode():
    file = PlannedFile(path="in/a.csv", key="ab12", mode="0755")
    assert body(files=(file,))["resourceFiles"] == [
        {
            "httpUrl": "https://store/c/ab12?sig=CANARY-in",
            "filePath": "in/a.csv",
            "fileMode": "0755",
        }
    ]


def test_with_an_identity_no_url_is_signed():
    made = body(places=UNSIGNED, files=(PlannedFile(path="a", key="k"),))
    reference = {"identityReference": {"resourceId": "/subscriptions/1/identity"}}
    assert made["resourceFiles"][0].items() >= reference.items()
    assert all(
        file["destination"]["container"].items() >= reference.items()
        for file in made["outputFiles"]
    )
    assert "sig=" not in json.dumps(made)


def test_the_logs_are_uploaded_after_any_end():
    assert uploads() == {
        "../stdout.txt": ("r-1/One_1/2/stdout.txt", "taskcompletion"),
        "../stderr.txt": ("r-1/One_1/2/stderr.txt", "taskcompletion"),
    }


@pytest.mark.parametrize(
    ("when", "condition"),
    [("success", "tasksuccess"), ("failure", "taskfailure"), ("always", "taskcompletion")],
)
def test_an_output_is_uploaded_after_the_end_that_it_is_for(when, condition):
    found = uploads(PlannedOutput(path="out/a.csv", to="x", when=when))
    assert found["out/a.csv"] == ("r-1/One_1/2/wd/out/a.csv", condition)


@pytest.mark.parametrize(
    ("pattern", "directory"),
    [("*.csv", "wd"), ("out/*.csv", "wd/out"), ("a/b/**/x", "wd/a/b"), ("a[*]", "wd")],
)
def test_what_a_pattern_matches_goes_below_its_fixed_part(pattern, directory):
    found = uploads(PlannedOutput(path=pattern, to="x"))
    assert found[pattern][0] == f"r-1/One_1/2/{directory}"


def test_an_output_that_is_named_twice_is_uploaded_once():
    twice = (PlannedOutput(path="a", to="x"), PlannedOutput(path="a", to="y"))
    assert len(body(outputs=twice)["outputFiles"]) == 3


@pytest.mark.parametrize(
    ("cpus", "per_node", "expected"),
    [(None, 1, 1), (8, 1, 1), (None, 4, 1), (0.5, 4, 1), (2, 4, 2), (2.5, 4, 3)],
)
def test_a_task_takes_a_slot_for_each_processor(cpus, per_node, expected):
    made = body(AzureSettings(slots_per_node=per_node), requirements=Requirements(cpus=cpus))
    assert made["requiredSlots"] == expected


def test_private_images_are_fetched_with_the_pools_identity_and_no_password():
    chosen = AzureSettings(identity="/id", pool="p", registry_server="r.azurecr.io")
    registry = body(chosen)["containerSettings"]["registry"]
    assert registry == {
        "registryServer": "r.azurecr.io",
        "identityReference": {"resourceId": "/id"},
    }
    assert "registry" not in body(AzureSettings(registry_server="r"))["containerSettings"]


def test_a_job_stays_open_and_says_whose_it_is():
    made = translate.job_body("r-1", "pool", {"batchcore.run": "r-1"})
    assert BatchJobCreateOptions(made).as_dict() == made
    assert made["onAllTasksComplete"] == made["onTaskFailure"] == "noaction"
    assert made["metadata"] == [{"name": "batchcore.run", "value": "r-1"}]
    assert made["poolInfo"] == {"poolId": "pool"}
    assert made["constraints"]["maxTaskRetryCount"] == 0


def pool(password: Secret | None = None, **given: Any) -> dict[str, Any]:
    settings = AzureSettings(**given)
    made = translate.pool_body(
        "p", settings, IMAGE, ["b", "a", "b"], metadata={"m": "1"}, registry_password=password
    )
    assert BatchPoolCreateOptions(made).as_dict() == made
    return made


def test_a_pool_runs_containers():
    machine = pool()["virtualMachineConfiguration"]
    assert machine["containerConfiguration"] == {"type": "dockerCompatible"}
    assert machine["nodeAgentSKUId"] == "batch.node.ubuntu 24.04"


def test_a_pool_fetches_the_images_first_where_that_is_wanted():
    containers = pool(prefetch=True)["virtualMachineConfiguration"]["containerConfiguration"]
    assert containers["containerImageNames"] == ["a", "b"]


def test_a_pool_is_open_to_nobody_and_asks_for_nothing_that_is_gone():
    made = pool()
    assert "userAccounts" not in made
    assert "networkConfiguration" not in made
    assert "targetNodeCommunicationMode" not in made
    assert made["enableInterNodeCommunication"] is False


def test_a_pool_of_a_fixed_size():
    made = pool(autoscale=False, nodes=2, spot_nodes=3)
    assert (made["targetDedicatedNodes"], made["targetLowPriorityNodes"]) == (2, 3)
    assert "enableAutoScale" not in made


def test_a_pool_in_a_subnet_with_a_start_task():
    made = pool(subnet="/sub/net", start_task="apt-get update")
    assert made["networkConfiguration"] == {"subnetId": "/sub/net"}
    assert made["startTask"]["commandLine"] == "apt-get update"
    assert made["startTask"]["waitForSuccess"] is True


def test_the_registrys_password_stands_in_the_registry_alone():
    made = pool(Secret("CANARY-password"), registry_server="r.io", registry_username="u")
    containers = made["virtualMachineConfiguration"]["containerConfiguration"]
    assert containers.pop("containerRegistries") == [
        {"registryServer": "r.io", "username": "u", "password": "CANARY-password"}
    ]
    assert "CANARY" not in json.dumps(made)


def test_a_password_without_a_name_is_not_sent():
    assert "CANARY" not in json.dumps(pool(Secret("CANARY-password")))


@pytest.mark.parametrize(
    ("pending", "slots", "dedicated", "spot"),
    [(0, 1, 0, 0), (1, 1, 1, 0), (1, 4, 1, 0), (5, 4, 2, 0), (12, 4, 2, 1), (999, 4, 2, 3)],
)
def test_machines_follow_the_tasks_to_zero_and_never_pass_the_limits(
    pending, slots, dedicated, spot
):
    settings = AzureSettings(nodes=2, spot_nodes=3, slots_per_node=slots)
    found = evaluate(translate.autoscale_formula(settings), {"$PendingTasks": pending})
    assert found["$TargetDedicatedNodes"] == str(dedicated)
    assert found["$TargetLowPriorityNodes"] == str(spot)
    assert found["$NodeDeallocationOption"] == "taskcompletion"


def test_the_formula_is_as_short_as_the_service_wants_it():
    settings = AzureSettings(nodes=10**6, spot_nodes=10**6, slots_per_node=256)
    assert len(translate.autoscale_formula(settings)) < 8192
