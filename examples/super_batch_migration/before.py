"""A controller of super_batch, as it was."""

import datetime as dt
import json
import os
from pathlib import Path

import joblib
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

# isort: split
import super_batch

NAME = os.environ.get("NAME", "superbatchtest")
IMAGE_NAME = os.environ.get("IMAGE_NAME", "sum-of-powers:v1")
TIMESTAMP = dt.datetime.now(dt.UTC).strftime("%Y%m%d%H%M%S")

Path(BATCH_DIRECTORY).mkdir(parents=True, exist_ok=True)


def write(name: str, value: object) -> None:
    """Write a file that becomes a resource."""
    Path(BATCH_DIRECTORY, name).write_text(json.dumps(value))


batch_client = super_batch.client(
    POOL_ID=NAME,
    JOB_ID=NAME + TIMESTAMP,
    POOL_VM_SIZE="STANDARD_D1_v2",
    POOL_NODE_COUNT=0,
    POOL_LOW_PRIORITY_NODE_COUNT=2,
    DELETE_POOL_WHEN_DONE=False,
    BLOB_CONTAINER_NAME=NAME,
    BATCH_DIRECTORY=BATCH_DIRECTORY,
    DOCKER_IMAGE=IMAGE_NAME,
    COMMAND_LINE="python3 /worker.py",
)

write(GLOBAL_CONFIG_FILE, {"power": POWER, "size": SIZE})
config = batch_client.build_resource_file(GLOBAL_CONFIG_FILE, GLOBAL_CONFIG_FILE)

for i, seed in enumerate(SEEDS):
    write(LOCAL_RESOURCE_PATTERN.format(i), {"seed": seed})
    resource = batch_client.build_resource_file(
        LOCAL_RESOURCE_PATTERN.format(i), TASK_RESOURCE_FILE
    )
    output = batch_client.build_output_file(TASK_OUTPUT_FILE, LOCAL_OUTPUT_PATTERN.format(i))
    batch_client.add_task([resource, config], [output])

batch_client.run()

print(
    sum(
        joblib.load(os.path.join(BATCH_DIRECTORY, path))  # noqa: PTH118 - the old style
        for path in batch_client.output_files
    )
)
