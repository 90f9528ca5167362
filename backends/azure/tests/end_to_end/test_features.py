"""One job that uses all that `azure` offers: the same ends and the same bytes as `local-docker`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docker

HOSTILE = [
    "a b",
    "it's",
    'say "x"',
    "back\\slash\\\\",
    "$HOME `id` $(id)",
    "*",
    "",
    "--",
    "#",
    "~",
    "ünï",
    "tab\there",
    "two\nlines",
    "%PATH%",
    "a;b&c|d>e",
]
ARGV = "import json, sys; json.dump(sys.argv[1:], open('argv.json', 'w'))"
LIMITS = (
    "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
)
OTHERWISE = {
    # By docs/backends.md: Batch tells an exit code and no more.
    "no-program": (("failed", "exit_code", 127, 1), ("failed", "start_failed", None, 1)),
    "hungry": (("failed", "exit_code", 137, 1), ("failed", "out_of_memory", 137, 1)),
}
"""Where `azure` ends otherwise than `local-docker`."""

ENTRYPOINT = """
FROM {base}
ENTRYPOINT ["sh", "-c", "echo entry > entry.txt; exec \\"$@\\"", "sh"]
"""


def features(here: Path, entry_image: str) -> list[dict[str, Any]]:
    """Return the tasks; what some of them read is below `here`."""
    return [
        {
            "id": "resources",
            "shell": "find . -type f ! -name list -printf '%m %s %P\\n' | sort > list; "
            "cat deep/url",
            "resources": [
                {"path": "run.sh", "source": "data/run.sh"},
                {"path": "tree", "source": "data/tree"},
                {"path": "some", "source": "data/*.csv"},
                {"path": "a b/it's [1].txt", "text": "inline ü\n", "mode": "0600"},
                {"path": "bytes", "content": "AAECAw=="},
                {"path": "deep/url", "source": (here / "data/run.sh").as_uri()},
            ],
            "outputs": ["list", "tree/**", "a b/*"],
        },
        {
            "id": "outputs",
            "shell": "mkdir -p d/e .h; touch .h/x; echo 1 > d/1.txt; echo 2 > d/e/2.txt; "
            "echo odd > 'd/a b'\\''é.txt'; : > d/empty.dat",
            "outputs": [
                {"path": "d/**/*.txt", "to": "texts"},
                {"path": "d/*.dat", "to": "data"},
                {"path": "d/1.txt", "to": "renamed/one"},
                {"path": "not-there.txt", "required": False},
                {"path": ".h/*"},
                {"path": "d/e/2.txt", "to": "never", "when": "failure"},
            ],
        },
        {"id": "argv", "command": ["python3", "-c", ARGV, *HOSTILE], "outputs": ["argv.json"]},
        {
            "id": "env",
            "shell": 'printf "%s|" "$PLAIN" "$ODD" "$BATCHCORE_TASK_ID" "$BATCHCORE_ATTEMPT" > o; '
            'test -w "$HOME" && test -w .',
            "env": {"PLAIN": "1", "ODD": "a b'\"$HOME\\ ü"},
            "outputs": ["o"],
        },
        {"id": "root", "shell": "id -u > o; chown 1 o", "user": "root", "outputs": ["o"]},
        {
            "id": "entry",
            "image": entry_image,
            "command": ["python3", "-c", "open('o', 'w').write('mine')"],
            "outputs": ["entry.txt", "o"],
        },
        {
            "id": "limits",
            "shell": f"{LIMITS} > o",
            "requirements": {"memory": "64MiB", "cpus": 1},
            "outputs": ["o"],
        },
        {"id": "after", "shell": "echo after > o", "depends_on": ["env"], "outputs": ["o"]},
        {
            "id": "after-any",
            "shell": "echo any > o",
            "depends_on": [{"task": "fails", "on": "any"}],
            "outputs": ["o"],
        },
        {"id": "never", "shell": "echo never", "depends_on": ["fails"]},
        {
            "id": "fails",
            "shell": "echo out; echo err >&2; echo why > why; exit 7",
            "outputs": [{"path": "why", "when": "failure"}, {"path": "other", "when": "success"}],
        },
        {
            "id": "retried",
            "shell": 'echo "$BATCHCORE_ATTEMPT" | tee o; test "$BATCHCORE_ATTEMPT" = 2',
            "retries": 2,
            "outputs": [{"path": "o", "when": "always"}],
        },
        {"id": "gives-up", "shell": "exit 3", "retries": 1},
        {
            "id": "too-long",
            "shell": "echo begun; sleep 100",
            "timeout": 1,
            "grace": 0.5,
        },
        {"id": "forgets", "shell": "true", "outputs": ["promised"]},
        {"id": "no-program", "command": ["/no/such/program"]},
        {"id": "killed", "shell": "kill -9 $$"},
        {
            "id": "hungry",
            "command": ["python3", "-c", "len(bytes(range(256)) * 2**20)"],
            "requirements": {"memory": "64MiB"},
        },
    ]


@pytest.fixture(scope="module")
def entry_image(docker_client, worker_base_image):
    """An image that wraps every command."""
    tag = "batchcore-test-entry:latest"
    file = io.BytesIO(ENTRYPOINT.format(base=worker_base_image).encode())
    docker_client.images.build(fileobj=file, tag=tag, rm=True)
    yield tag
    docker_client.images.remove(tag)


@pytest.fixture
def files(cloud):
    """The files that the job reads."""
    data = cloud.here / "data"
    (data / "tree/sub").mkdir(parents=True)
    (data / "tree/a.txt").write_text("a")
    (data / "tree/sub/b").write_bytes(bytes(range(256)))
    (data / "one.csv").write_text("1")
    (data / "two.csv").write_text("2")
    (data / "run.sh").write_text("echo run\n")
    (data / "run.sh").chmod(0o755)
    return cloud


def ends(report: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return how each task ended."""
    fields = ("state", "reason", "exit_code", "attempt")
    return {task["id"]: tuple(task[field] for field in fields) for task in report["tasks"]}


def outputs(report: dict[str, Any]) -> dict[str, str]:
    """Return the hash of each output by its place."""
    root = Path(report["directory"]) / "outputs"
    return {
        str(Path(output["file"]).relative_to(root)): output["sha256"]
        for task in report["tasks"]
        for output in task["outputs"]
    }


def test_a_job_with_every_feature_ends_as_on_local_docker(files, entry_image):
    files.job(*features(files.here, entry_image), labels={"team": "a", "n": "1"})
    azure = files.run("--json")
    local = files.cli(
        "run", "job.json", "--backend", "local-docker", "--dir", str(files.here / "local"), "--json"
    )
    assert azure.code == local.code == 3
    differing = {task: (end, ends(local.data)[task]) for task, end in ends(azure.data).items()}
    assert {task: pair for task, pair in differing.items() if pair[0] != pair[1]} == OTHERWISE
    assert outputs(azure.data) == outputs(local.data)
    logs = [
        {
            task: files.cli("logs", where, task, "--stdout").out
            for task in ("resources", "fails", "retried", "too-long")
        }
        for where in ("run", "local")
    ]
    assert logs[0] == logs[1]
    run = files.directory / "outputs"
    assert json.loads((run / "argv/argv.json").read_text()) == HOSTILE


@pytest.fixture
def slow(cloud):
    """A run in a process of its own: a task has succeeded, another one has begun and sleeps."""
    cloud.job(
        {"id": "quick", "shell": "echo done | tee o", "outputs": ["o"]},
        {"id": "slow", "shell": "echo begun; sleep 600"},
    )
    cloud.child = cloud.start()
    cloud.says((cloud.directory / "run.db").exists)
    cloud.says(lambda: ends(cloud.cli("status", "run", "--json").data)["quick"][0] == "succeeded")
    cloud.says(lambda: cloud.cli("logs", "run", "slow", "--stdout").out == "begun\n")
    return cloud


def test_the_verbs_work_on_a_run_from_its_first_output_to_its_last_trace(slow):
    assert ends(slow.cli("status", "run", "--json").data)["slow"][0] == "running"
    assert slow.cli("cancel", "run", "slow").code == 0
    slow.child.communicate(timeout=60)
    assert slow.child.returncode == 4
    assert slow.cli("logs", "run", "slow", "--stdout").out == "begun\n"
    assert slow.cli("fetch", "run", "--to", "copies").code == 0
    assert (slow.here / "copies/quick/o").read_text() == "done\n"
    listed = slow.cli("clean", "run", "--dry-run").out
    assert slow.cli("clean", "run", "--yes").out == listed.replace("would delete  ", "deleted  ")
    run = slow.loaded().id
    for left in (f"Batch job {run}", f"Batch pool {run}-pool", "container bc-demo-"):
        assert left in listed
    assert (slow.job_ids(), slow.pool_ids(), slow.containers()) == ([], [], ["batchcore"])
    assert slow.blobs_of("batchcore") == []


def test_a_matrix_becomes_tasks_of_azure(cloud):
    (cloud.here / "job.toml").write_text(
        'name = "matrix"\nimage = "batchcore-test-base:latest"\n'
        'shell = "echo $SEED-$POWER > o"\n'
        "[tasks]\nmatrix = { seed = [1, 2], power = [3, 4] }\n"
        'id = "s{seed}-p{power}"\nenv = { SEED = "{seed}", POWER = "{power}" }\n'
        'outputs = ["o"]\n'
    )
    done = cloud.cli("run", "job.toml", "--backend", "azure", "--dir", "run", "--json")
    assert done.code == 0, done.err
    texts = [path.read_text() for path in cloud.loaded().output_files]
    assert texts == ["1-3\n", "1-4\n", "2-3\n", "2-4\n"]


def test_a_log_that_is_not_there_yet_is_empty_and_says_nothing_else(cloud):
    cloud.job({"id": "first", "shell": "sleep 600"}, {"id": "waits", "shell": "true"})
    cloud.start(*cloud.words("--set=slots_per_node=1"))
    cloud.until(lambda: cloud.task_states() == ["running", "active"])
    done = cloud.process("logs", "run", "waits")
    assert (done.code, done.out) == (0, "")
    assert "Traceback" not in done.err
