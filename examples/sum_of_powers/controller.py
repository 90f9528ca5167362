"""The same sum as a batch job: `python controller.py --backend local-process`."""

import json
from pathlib import Path

import joblib
from constants import POWER, SEEDS, SIZE

import batchcore as bc

HERE = Path(__file__).resolve().parent

job = bc.Job(
    "sum-of-powers",
    image="sum-of-powers:v1",
    command=["python3", "/worker.py"],
    resources=[bc.Resource("config.json", text=json.dumps({"power": POWER, "size": SIZE}))],
    # Where local-process, which knows no image, finds the files of the image on this machine.
    backend_options={
        "local-process": {
            "image_paths": {f"/{name}": str(HERE / name) for name in ("task.py", "worker.py")}
        }
    },
)
for i, seed in enumerate(SEEDS):
    job = job.with_task(
        f"seed-{seed}",
        resources=[bc.Resource("resource.json", text=json.dumps({"seed": seed}))],
        outputs=[bc.Output("output.pickle", to=f"task_{i}_output.pickle")],
    )

if __name__ == "__main__":
    run = bc.main(job)
    print(sum(joblib.load(path) for path in run.output_files))
