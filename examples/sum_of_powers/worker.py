"""One task: reads its parameters, does the work, writes the result."""

import json
from pathlib import Path

import joblib
from task import sum_of_powers

if __name__ == "__main__":
    config = json.loads(Path("config.json").read_text())
    resource = json.loads(Path("resource.json").read_text())
    result = sum_of_powers(config["power"], config["size"], resource["seed"])
    # A plain float in a fixed protocol: the same bytes from every version of Python and joblib.
    joblib.dump(result, "output.pickle", protocol=4)
