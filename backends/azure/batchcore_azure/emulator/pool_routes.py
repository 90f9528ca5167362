"""Answers about pools, nodes and images."""

from __future__ import annotations

from batchcore_azure.emulator import bodies, images
from batchcore_azure.emulator.bodies import Answer
from batchcore_azure.emulator.call import Call
from batchcore_azure.emulator.records import Body, Pool, Refusal, refuse_property

_POOL_NAMES = frozenset(
    {
        "id", "displayName", "state", "stateTransitionTime", "creationTime", "lastModified", "eTag",
        "allocationState", "allocationStateTransitionTime", "vmSize", "enableAutoScale", "url",
    }
)  # fmt: skip
_NODE_NAMES = frozenset(
    {
        "id", "state", "stateTransitionTime", "schedulingState", "lastBootTime", "allocationTime",
        "ipAddress", "affinityId", "vmSize", "totalTasksRun", "isDedicated", "startTaskInfo", "url",
    }
)  # fmt: skip
_MOST_REMOVED = 100


def create_pool(call: Call) -> Answer:
    """POST /pools."""
    sent = call.sent()
    if sent.get("autoScaleFormula"):
        _check_formula(call, Pool(sent, 0), sent["autoScaleFormula"])
    pool = call.state.create_pool(sent)
    return bodies.created(pool.body["url"], pool.body)


def list_pools(call: Call) -> Answer:
    """GET /pools."""
    pools = [(pool.number, pool.body) for pool in call.state.pools()]
    return call.listed("pools", pools, _POOL_NAMES)


def get_pool(call: Call) -> Answer:
    """GET or HEAD /pools/{pool}."""
    return call.entity("pools", _pool(call).body)


def patch_pool(call: Call) -> Answer:
    """PATCH /pools/{pool}."""
    call.state.patch_pool(_pool(call).id, call.sent())
    return Answer(200, None, bodies.tags(_body(call)))


def replace_pool_properties(call: Call) -> Answer:
    """POST /pools/{pool}/updateproperties."""
    call.state.replace_pool_properties(_pool(call).id, call.sent())
    return Answer(204, None, bodies.tags(_body(call)))


def delete_pool(call: Call) -> Answer:
    """DELETE /pools/{pool}."""
    call.state.delete_pool(_pool(call).id)
    return Answer(202)


def resize_pool(call: Call) -> Answer:
    """POST /pools/{pool}/resize."""
    sent = call.sent()
    dedicated, spot = sent.get("targetDedicatedNodes"), sent.get("targetLowPriorityNodes")
    if dedicated is None and spot is None:
        refuse_property("targetDedicatedNodes", None, "one of the two targets is needed")
    timeout = sent.get("resizeTimeout") or "PT15M"
    call.state.resize_pool(_pool(call).id, dedicated=dedicated, spot=spot, timeout=timeout)
    return Answer(202, None, bodies.tags(_body(call)))


def stop_resize(call: Call) -> Answer:
    """POST /pools/{pool}/stopresize."""
    call.state.stop_resize(_pool(call).id)
    return Answer(202, None, bodies.tags(_body(call)))


def enable_autoscale(call: Call) -> Answer:
    """POST /pools/{pool}/enableautoscale."""
    sent, pool = call.sent(), _pool(call)
    if sent.get("autoScaleFormula"):
        _check_formula(call, pool, sent["autoScaleFormula"])
    call.state.enable_autoscale(pool.id, sent)
    return Answer(200, None, bodies.tags(pool.body))


def disable_autoscale(call: Call) -> Answer:
    """POST /pools/{pool}/disableautoscale."""
    call.state.disable_autoscale(_pool(call).id)
    return Answer(200, None, bodies.tags(_body(call)))


def evaluate_autoscale(call: Call) -> Answer:
    """POST /pools/{pool}/evaluateautoscale: what a formula would say now; the pool must scale."""
    pool = call.state.pool(call.ids["pool"])
    if not pool.body["enableAutoScale"]:
        raise Refusal(409, "OperationInvalidForCurrentState", "The pool does not scale by itself.")
    context = f"{call.state.url}/$metadata#Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun"
    run: Body = {"odata.metadata": context, "timestamp": call.state.stamp()}
    try:
        run["results"] = call.context.evaluate(pool, call.sent().get("autoScaleFormula", ""))
    except ValueError as exc:
        run["error"] = {"code": "AutoScalingFormulaEvaluationError", "message": str(exc)}
    return Answer(200, run)


def _check_formula(call: Call, pool: Pool, formula: str) -> None:
    try:
        call.context.evaluate(pool, formula)
    except ValueError as exc:
        raise Refusal(
            400,
            "AutoScalingFormulaSyntaxError",
            "The specified autoscaling formula has a syntax error.",
            Reason=str(exc),
        ) from exc


def remove_nodes(call: Call) -> Answer:
    """POST /pools/{pool}/removenodes."""
    node_ids = call.sent().get("nodeList") or []
    if not 1 <= len(node_ids) <= _MOST_REMOVED:
        refuse_property("nodeList", len(node_ids), "from 1 to 100 nodes")
    call.state.remove_nodes(_pool(call).id, node_ids)
    return Answer(202, None, bodies.tags(_body(call)))


def list_nodes(call: Call) -> Answer:
    """GET /pools/{pool}/nodes."""
    nodes = call.state.pool(call.ids["pool"]).nodes.values()
    return call.listed("nodes", [(node.number, node.body) for node in nodes], _NODE_NAMES)


def get_node(call: Call) -> Answer:
    """GET /pools/{pool}/nodes/{node}."""
    return call.entity("nodes", call.state.node(call.ids["pool"], call.ids["node"]).body)


def count_nodes(call: Call) -> Answer:
    """GET /nodecounts."""
    counts = [
        (pool.number, bodies.node_counts(pool.id, pool.nodes.values()))
        for pool in call.state.pools()
    ]
    return call.listed("poolnodecounts", counts, frozenset({"poolId"}))


def list_images(call: Call) -> Answer:
    """GET /supportedimages."""
    found = list(enumerate(images.supported(call.state.time()), start=1))
    names = frozenset({"nodeAgentSKUId", "imageReference", "osType", "verificationType"})
    return call.listed("supportedimages", found, names)


def _pool(call: Call) -> Pool:
    """Return the pool of the path, if the conditions of the request hold for it."""
    pool = call.state.pool(call.ids["pool"])
    call.check_conditions(pool.body)
    return pool


def _body(call: Call) -> Body:
    return call.state.pool(call.ids["pool"]).body
