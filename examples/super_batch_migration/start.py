"""Submits the job and ends; `finish.py` collects the results, in another process."""

import json
from pathlib import Path

from constants import (
    BATCH_DIRECTORY,
    GLOBAL_CONFIG_FILE,
    LOCAL_OUTPUT_PATTERN,
    LOCAL_RESOURCE_PATTERN,
    POWER,
    SEEDS,
    SIZE,
    TASK_OUTPUT_FILE,
    TASK_RESOURCE_FILE,
)

from batchcore.compat import super_batch

Path(BATCH_DIRECTORY).mkdir(parents=True, exist_ok=True)
client = super_batch.Client(
    POOL_ID="superbatchtest",
    JOB_ID="superbatchtest-detached",
    POOL_VM_SIZE="STANDARD_D1_v2",
    POOL_LOW_PRIORITY_NODE_COUNT=2,
    BLOB_CONTAINER_NAME="superbatchtest",
    BATCH_DIRECTORY=BATCH_DIRECTORY,
    DOCKER_IMAGE="sum-of-powers:v1",
    COMMAND_LINE="python3 /worker.py",
)


def resource(name: str, value: object, path: str) -> super_batch.Resource:
    """Write a file and make it a resource."""
    Path(BATCH_DIRECTORY, name).write_text(json.dumps(value))
    return client.build_resource_file(name, path)


config = resource(GLOBAL_CONFIG_FILE, {"power": POWER, "size": SIZE}, GLOBAL_CONFIG_FILE)
for i, seed in enumerate(SEEDS):
    seeded = resource(LOCAL_RESOURCE_PATTERN.format(i), {"seed": seed}, TASK_RESOURCE_FILE)
    output = client.build_output_file(TASK_OUTPUT_FILE, LOCAL_OUTPUT_PATTERN.format(i))
    client.add_task([config, seeded], [output])

Path("my_job.json").write_text(json.dumps(client.data))
client.run(wait=False)
