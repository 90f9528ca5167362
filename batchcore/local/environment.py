"""The variables that a worker finds, the same names on every backend."""

from __future__ import annotations

from pathlib import PurePath

from batchcore.local.runner import Attempt

NODE_ROOT = "/mnt/batch/tasks"


def worker_environment(
    attempt: Attempt,
    *,
    node_root: PurePath,
    task_directory: PurePath,
    secrets: PurePath | None = None,
) -> dict[str, str]:
    """Return the environment of an attempt whose task directory the worker sees at this path.

    `secrets` is the directory where the worker sees its secrets, None for a task without any.

    The ``AZ_BATCH_*`` names are those of an Azure Batch node (Azure Batch documentation, "Azure
    Batch runtime environment variables"); `HOME` is the working directory, as an unknown user
    has none of its own. The task's own variables come last.
    """
    working_directory = str(task_directory / "wd")
    return {
        "HOME": working_directory,
        "USER": "worker",
        "LOGNAME": "worker",
        "BATCHCORE_RUN_ID": attempt.run_id,
        "BATCHCORE_TASK_ID": attempt.task.id,
        "BATCHCORE_ATTEMPT": str(attempt.number),
        **({"BATCHCORE_SECRETS_DIR": str(secrets)} if secrets else {}),
        "AZ_BATCH_ACCOUNT_NAME": "local",
        "AZ_BATCH_ACCOUNT_URL": "https://local.invalid",
        "AZ_BATCH_POOL_ID": "local",
        "AZ_BATCH_NODE_ID": f"local-{attempt.slot}",
        "AZ_BATCH_NODE_IS_DEDICATED": "true",
        "AZ_BATCH_JOB_ID": attempt.run_id,
        "AZ_BATCH_TASK_ID": attempt.task.id,
        "AZ_BATCH_NODE_ROOT_DIR": str(node_root),
        "AZ_BATCH_NODE_SHARED_DIR": str(node_root / "shared"),
        "AZ_BATCH_NODE_STARTUP_DIR": str(node_root / "startup"),
        "AZ_BATCH_NODE_MOUNTS_DIR": str(node_root / "fsmounts"),
        "AZ_BATCH_TASK_DIR": str(task_directory),
        "AZ_BATCH_TASK_WORKING_DIR": working_directory,
        **attempt.task.env,
    }
