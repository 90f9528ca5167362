"""Collects what `start.py` has submitted: here, or for Azure on any machine that has its file."""

import json
from pathlib import Path

import joblib

from batchcore.compat import super_batch

client = super_batch.Client.from_data(json.loads(Path("my_job.json").read_text()))
client.load_results()
print(sum(joblib.load(path) for path in client.output_files))
