"""The numbers and the file names of the example."""

from pathlib import Path

POWER = 3
SIZE = 10
SEEDS = (1, 12, 123, 1234)

BATCH_DIRECTORY = str(Path("~/temp/super-batch-test").expanduser())
GLOBAL_CONFIG_FILE = "config.json"
TASK_RESOURCE_FILE = "resource.json"
TASK_OUTPUT_FILE = "output.pickle"
LOCAL_RESOURCE_PATTERN = "task_{}_resource.json"
LOCAL_OUTPUT_PATTERN = "task_{}_output.pickle"
