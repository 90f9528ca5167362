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
LIMITS = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
ENTRYPOINT = """
FROM {base}
ENTRYPOINT ["sh", "-c", "echo entry > entry.txt; exec \\"$@\\"", "sh"]
"""


def features(here: Path, entry_image: str) -> list[dict[str, Any]]:
    """Return the tasks; what some of them read is below `here`."""
    return [
        {
            "id": "resources",
            "shell": "find . -type f -printf '%m %s %P\\n' | sort > list; cat deep/url",
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
            'test -w "$HOME"; test -w . ; test "$(id -u)" != 0',
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
    assert ends(azure.data) == ends(local.data)
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
