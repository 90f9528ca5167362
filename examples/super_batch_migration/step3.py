"""The same work in the job model: the answer is known at once when nothing has changed."""

import joblib
from constants import (
    GLOBAL_CONFIG_FILE,
    LOCAL_OUTPUT_PATTERN,
    POWER,
    SEEDS,
    SIZE,
    TASK_OUTPUT_FILE,
    TASK_RESOURCE_FILE,
)

import batchcore as bc

job = bc.Job(
    "superbatchtest",
    image="sum-of-powers:v1",
    command=["python3", "/worker.py"],
    resources=[bc.Resource(GLOBAL_CONFIG_FILE, text=f'{{"power": {POWER}, "size": {SIZE}}}')],
)
for i, seed in enumerate(SEEDS):
    job = job.with_task(
        f"seed-{seed}",
        resources=[bc.Resource(TASK_RESOURCE_FILE, text=f'{{"seed": {seed}}}')],
        outputs=[bc.Output(TASK_OUTPUT_FILE, to=LOCAL_OUTPUT_PATTERN.format(i))],
    )

if __name__ == "__main__":
    run = bc.main(job)
    print(sum(joblib.load(path) for path in run.output_files))
