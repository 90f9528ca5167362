"""Pools, nodes and images, as the SDK sees them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from azure.batch import models
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

PASSWORD = "CANARY-password"  # noqa: S105 - of nobody
IMAGE = models.BatchVmImageReference(
    publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2404", version="latest"
)


def wanted(pool_id="p", *, image=IMAGE, container=True, **options):
    return models.BatchPoolCreateOptions(
        id=pool_id,
        vm_size="Standard_D4s_v5",
        virtual_machine_configuration=models.VirtualMachineConfiguration(
            image_reference=image,
            node_agent_sku_id="batch.node.ubuntu 24.04",
            container_configuration=models.BatchContainerConfiguration(
                type="dockerCompatible",
                container_registries=[
                    models.ContainerRegistryReference(
                        registry_server="r.example", username="u", password=PASSWORD
                    )
                ],
            )
            if container
            else None,
        ),
        **options,
    )


def refusal(call, *args, **kwargs):
    with pytest.raises(HttpResponseError) as caught:
        call(*args, **kwargs)
    return caught.value.status_code, (caught.value.error or caught.value.model).code


def test_a_new_pool_is_active_and_resizing_and_has_the_defaults_of_the_service(client):
    client.create_pool(wanted(target_dedicated_nodes=2))
    pool = client.get_pool("p")
    assert (pool.state, pool.allocation_state) == ("active", "resizing")
    assert pool.resize_timeout == timedelta(minutes=15)
    assert pool.task_slots_per_node == 1
    assert (pool.target_dedicated_nodes, pool.current_dedicated_nodes) == (2, 0)


def test_a_created_pool_has_the_headers_of_the_service(send):
    body = {
        "id": "P",
        "vmSize": "Standard_D4s_v5",
        "virtualMachineConfiguration": {
            "imageReference": IMAGE.as_dict(),
            "nodeAgentSKUId": "batch.node.ubuntu 24.04",
        },
    }
    answer = send("POST", "/pools", body)
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["Location"].endswith("/pools/P")
    assert answer.headers["DataServiceId"] == answer.headers["Location"]
    assert answer.headers["DataServiceVersion"] == "3.0"
    assert answer.headers["ETag"].startswith("0x8D")
    for name in ("request-id", "Last-Modified", "Date"):
        assert answer.headers[name]
    assert answer.headers["Server"] == "Microsoft-HTTPAPI/2.0"


def test_a_pool_told_in_full_has_the_members_that_the_service_tells(send, pool):
    (body,) = send("GET", "/pools").json()["value"]
    assert body.keys() == {
        "id",
        "url",
        "eTag",
        "lastModified",
        "creationTime",
        "state",
        "stateTransitionTime",
        "allocationState",
        "allocationStateTransitionTime",
        "vmSize",
        "resizeTimeout",
        "currentDedicatedNodes",
        "targetDedicatedNodes",
        "currentLowPriorityNodes",
        "targetLowPriorityNodes",
        "enableAutoScale",
        "enableInterNodeCommunication",
        "taskSlotsPerNode",
        "taskSchedulingPolicy",
        "virtualMachineConfiguration",
    }


def test_ids_keep_their_case_and_do_not_depend_on_it(client):
    client.create_pool(wanted("MyPool"))
    assert client.get_pool("mypool").id == "MyPool"
    assert refusal(client.create_pool, wanted("MYPOOL")) == (409, "PoolExists")


def test_a_password_is_never_told_again(client, service):
    client.create_pool(wanted())
    registry = client.get_pool("p").virtual_machine_configuration.container_configuration
    assert registry.container_registries[0].password is None
    assert PASSWORD not in str(client.get_pool("p").as_dict())


def test_a_pool_that_is_not_there_is_pool_not_found(client):
    with pytest.raises(ResourceNotFoundError) as caught:
        client.get_pool("nowhere")
    assert caught.value.error.code == "PoolNotFound"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"pool_id": "no spaces"}, "InvalidPropertyValue"),
        ({"pool_id": "x" * 65}, "InvalidPropertyValue"),
        ({"task_slots_per_node": 17}, "InvalidPropertyValue"),
        (
            {"image": models.BatchVmImageReference(publisher="c", offer="o", sku="16.04")},
            "InvalidPropertyValue",
        ),
        ({"enable_auto_scale": True}, "MissingRequiredProperty"),
        ({"enable_auto_scale": True, "target_dedicated_nodes": 1}, "InvalidPropertyValue"),
        ({"enable_auto_scale": True, "auto_scale_formula": "1"}, "AutoScalingFormulaSyntaxError"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(client, options, code):
    assert refusal(client.create_pool, wanted(**options)) == (400, code)


def test_no_more_pools_than_the_quota(client, service, pool):
    service.state.quota.pools = 1
    assert refusal(client.create_pool, wanted()) == (409, "PoolQuotaReached")


def test_a_resize_needs_a_steady_pool(client, service):
    client.create_pool(wanted())
    size = models.BatchPoolResizeOptions(target_dedicated_nodes=3)
    assert refusal(client._resize_pool_internal, "p", size) == (409, "PoolBeingResized")
    service.state.finish_resize("p", [{"code": "AllocationFailed", "message": "m"}])
    assert client.get_pool("p").resize_errors[0].code == "AllocationFailed"
    client._resize_pool_internal("p", size)
    pool = client.get_pool("p")
    assert (pool.allocation_state, pool.target_dedicated_nodes) == ("resizing", 3)
    assert not pool.resize_errors


def test_a_resize_names_a_target_and_a_pool_that_does_not_scale_by_itself(client, send, service):
    client.create_pool(
        wanted(enable_auto_scale=True, auto_scale_formula="$TargetDedicatedNodes = 0;")
    )
    service.state.finish_resize("p")
    assert send("POST", "/pools/p/resize", {}).json()["code"] == "InvalidPropertyValue"
    size = {"targetDedicatedNodes": 3}
    answer = send("POST", "/pools/p/resize", size)
    assert (answer.status_code, answer.json()["code"]) == (409, "OperationInvalidForCurrentState")


def test_nothing_is_stopped_where_nothing_is_resized(client, pool):
    call = client._stop_pool_resize_internal
    assert refusal(call, pool) == (409, "OperationInvalidForCurrentState")


def test_a_resize_can_be_stopped(client, service):
    client.create_pool(wanted())
    client._stop_pool_resize_internal("p")
    assert client.get_pool("p").resize_errors[0].code == "ResizeStopped"


def test_a_pool_scales_by_a_formula_when_it_is_steady(client, service):
    client.create_pool(wanted())
    service.state.finish_resize("p")
    formula = "$TargetDedicatedNodes = 0;"
    evaluate = models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=formula)
    code = "OperationInvalidForCurrentState"
    assert refusal(client.evaluate_pool_auto_scale, "p", evaluate) == (409, code)
    client.enable_pool_auto_scale(
        "p", models.BatchPoolEnableAutoScaleOptions(auto_scale_formula=formula)
    )
    assert client.get_pool("p").enable_auto_scale
    assert "$TargetDedicatedNodes=0" in client.evaluate_pool_auto_scale("p", evaluate).results
    client.disable_pool_auto_scale("p")
    assert not client.get_pool("p").enable_auto_scale


def test_a_formula_that_cannot_be_evaluated_is_told_in_the_run(client, service):
    client.create_pool(
        wanted(enable_auto_scale=True, auto_scale_formula="$TargetDedicatedNodes = 0;")
    )
    run = client.evaluate_pool_auto_scale(
        "p", models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula="nonsense")
    )
    assert run.error.code == "AutoScalingFormulaEvaluationError"


def test_a_patch_changes_what_it_names(client, pool):
    before = client.get_pool(pool)
    client.update_pool(pool, models.BatchPoolUpdateOptions(display_name="new"))
    after = client.get_pool(pool)
    assert (after.display_name, after.vm_size) == ("new", before.vm_size)
    assert after.etag != before.etag


def test_the_slots_of_a_pool_change_only_while_it_is_empty(client, service, pool):
    slots = models.BatchPoolUpdateOptions(task_slots_per_node=4)
    client.update_pool(pool, slots)
    service.state.add_node(pool)
    assert refusal(client.update_pool, pool, slots) == (409, "OperationInvalidForCurrentState")


def test_replacing_properties_removes_those_that_are_absent(client, pool):
    client.update_pool(
        pool,
        models.BatchPoolUpdateOptions(metadata=[models.BatchMetadataItem(name="a", value="b")]),
    )
    client.replace_pool_properties(
        pool, models.BatchPoolReplaceOptions(application_package_references=[], metadata=[])
    )
    assert client.get_pool(pool).metadata == []


def test_a_deleted_pool_lives_until_its_last_node_has_left(client, service, pool):
    node = service.state.add_node(pool)
    client._delete_pool_internal(pool)
    assert client.get_pool(pool).state == "deleting"
    assert refusal(client._delete_pool_internal, pool) == (409, "PoolBeingDeleted")
    service.state.remove_node(pool, node.id)
    with pytest.raises(ResourceNotFoundError):
        client.get_pool(pool)


def test_nodes_are_listed_and_counted_by_kind_and_state(client, service, pool):
    node = service.state.add_node(pool, state="idle")
    spot = service.state.add_node(pool, dedicated=False, state="starting")
    assert [one.id for one in client.list_nodes(pool)] == [node.id, spot.id]
    assert client.get_node(pool, node.id).state == "idle"
    (counts,) = client.list_pool_node_counts(filter="poolId eq 'pool'")
    assert (counts.dedicated.idle, counts.dedicated.total) == (1, 1)
    assert (counts.low_priority.starting, counts.low_priority.total) == (1, 1)
    assert list(client.list_pool_node_counts(filter="poolId eq 'other'")) == []


def test_nodes_that_shall_leave_are_marked_and_not_wanted_any_more(client, service, pool):
    service.state.resize_pool(pool, dedicated=2)
    nodes = [service.state.add_node(pool, state="idle") for _ in range(2)]
    service.state.finish_resize(pool)
    client._remove_nodes_internal(pool, models.BatchNodeRemoveOptions(node_ids=[nodes[0].id]))
    assert client.get_node(pool, nodes[0].id).state == "leavingpool"
    assert client.get_pool(pool).target_dedicated_nodes == 1


def test_a_node_that_is_not_there_is_node_not_found(client, pool):
    with pytest.raises(ResourceNotFoundError) as caught:
        client.get_node(pool, "tvm-0")
    assert caught.value.error.code == "NodeNotFound"


def test_there_is_an_image_for_containers_and_one_near_its_end(client, clock):
    images = list(client.list_supported_images())
    docker = [image for image in images if "DockerCompatible" in (image.capabilities or [])]
    assert any(image.batch_support_end_of_life is None for image in docker)
    soon = clock() + timedelta(days=90)
    assert any((image.batch_support_end_of_life or soon) < soon for image in docker)
    assert {image.verification_type for image in images} == {"verified", "unverified"}


def test_the_quota_leaves_a_pool_what_others_do_not_want(service, pool):
    service.state.quota.dedicated_cores = 16
    assert service.state.allowed_nodes(pool, dedicated=True) == 4
    service.state.create_pool(
        {**service.state.pool(pool).body, "id": "other", "targetDedicatedNodes": 3}
    )
    assert service.state.allowed_nodes(pool, dedicated=True) == 1


def test_a_pool_exists_only_once(client, pool):
    with pytest.raises(ResourceExistsError):
        client.create_pool(wanted("pool"))
