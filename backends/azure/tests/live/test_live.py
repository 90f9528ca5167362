"""What only the real service can show; costs some cents and at most ten minutes.

Not run unless it is asked for: `pytest -m live` with ``BATCHCORE_LIVE_AZURE=1`` and the variables
that name a Batch and a storage account (docs/azure.md). One run in a pool of one machine answers
all questions, each test reads one answer. What it makes is named ``bc-live-…`` and deleted at the
end, whatever happens. The emulator answers too, given an image that is on this machine::

    BATCHCORE_LIVE_AZURE=1 BATCHCORE_LIVE_AZURE_IMAGE=batchcore-test-base:latest \
        python -m batchcore_azure.emulator --run python -m pytest -m live backends/azure/tests/live
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

import batchcore as bc
from batchcore.backend import RunContext
from batchcore.errors import NotFound
from batchcore.life.manage import cancel_run, clean_run
from batchcore.plugins import Plugins
from batchcore.results import TaskResult
from batchcore.run import Run
from batchcore.settings import resolve
from batchcore_azure.auth import Account
from batchcore_azure.pool import Pools
from batchcore_azure.settings import AzureSettings

SWITCH = "BATCHCORE_LIVE_AZURE"
TEN_MINUTES = 600

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(TEN_MINUTES),
    pytest.mark.skipif(not os.environ.get(SWITCH), reason=f"{SWITCH} is not set"),
]

NAME = f"bc-live-{uuid.uuid4().hex[:8]}"
IMAGE = os.environ.get(f"{SWITCH}_IMAGE", "python:3.13-slim")
SETTINGS = (
    f"pool={NAME}",
    f"container={NAME}",
    f"vm_size={os.environ.get(f'{SWITCH}_VM_SIZE', 'Standard_D2s_v5')}",
    # A formula would be looked at only after minutes; it has a test of its own.
    "autoscale=false",
    "nodes=1",
    "slots_per_node=4",
    "max_queue_time=7m",
    "delete_pool_when_done=true",
    "delete_container_when_done=true",
)

WORDS = (
    *("two words", "it's", 'say "x"', "'", '"', "", "$HOME", "${PATH}", "`id`", "$(id)"),
    *("\\", "\\n", "a\nb", "*", "~", ";", "&&", "|", ">", "#", "!", "%PATH%", "ü", "--flag=1"),
)
AWKWARD_PATH = "in/a b#1 %41 ü.txt"


def job() -> bc.Job:
    """Return one task for each question."""
    dump = "import json, sys; json.dump(sys.argv[1:], open('words.json', 'w'))"
    return (
        bc.Job(NAME, image=IMAGE, timeout="60s", interruptions=0)
        .with_task("words", command=["python3", "-c", dump, *WORDS], outputs=["words.json"])
        .with_task(
            "resource",
            command=["cp", AWKWARD_PATH, "copy.txt"],
            resources=[bc.Resource(AWKWARD_PATH, text="as it was")],
            outputs=["copy.txt"],
        )
        .with_task(
            "globs",
            shell="mkdir -p out/deep; echo a > out/a.txt; echo b > out/deep/b.txt; "
            "echo c > out/.hidden.txt; echo d > out/d.csv; echo e > 'odd[1].txt'",
            outputs=["out/**/*.txt", bc.Output("odd[[]1].txt", to="odd")],
        )
        .with_task(
            "twice",
            shell="echo same > same.txt",
            outputs=["same.txt", bc.Output("sam*.txt", to="again")],
        )
        .with_task("user", shell="id -u; id -u > uid.txt", outputs=["uid.txt"])
        .with_task("root", shell="id -u; id -u > uid.txt", outputs=["uid.txt"], user="root")
        .with_task(
            "exits",
            shell="echo what I said; echo why >&2; echo left > left.txt; exit 3",
            outputs=[bc.Output("left.txt", when="always")],
        )
        .with_task("forgets", shell="true", outputs=["never-written.txt"])
        .with_task("sleeps", command=["sleep", "300"], timeout="10s")
        .with_task("no-image", command=["true"], image=f"{IMAGE}-there-is-none")
    )


# These fixtures begin before, and end after, the one of each test that hides the user's
# environment: `az login` is found in the user's home.
@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The run that all tests look at; all that it made is deleted in the end."""
    directory = tmp_path_factory.mktemp("live") / "run"
    try:
        yield job().run(backend="azure", directory=directory, settings=SETTINGS)
    finally:
        clean_up(directory)


def clean_up(directory: Path) -> None:
    try:
        run = Run.load(directory)
    except NotFound:  # it was refused before anything was made
        return
    if run.state == "running":
        cancel_run(run)
    print(*clean_run(run, dry_run=False), sep="\n")  # noqa: T201 - says what was deleted


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """The Batch account that the variables name."""
    account = Account(settings())
    yield account
    account.close()


def settings() -> AzureSettings:
    found = resolve(Plugins(), flags={"backend": "azure"}, items=SETTINGS).backend
    assert isinstance(found, AzureSettings)
    return found


def files(run: Run, task_id: str) -> dict[str, str]:
    """Return what the outputs of a task that succeeded hold, by their names."""
    task = run.task(task_id)
    assert task.state == "succeeded", f"{task.reason}: {task.detail}"
    return contents(run, task)


def contents(run: Run, task: TaskResult) -> dict[str, str]:
    outputs = run.directory / "outputs"
    return {
        file.file.relative_to(outputs).as_posix(): file.file.read_text() for file in task.outputs
    }


def test_a_command_arrives_word_by_word(run: Run) -> None:
    words = files(run, "words")["words/words.json"]
    assert json.loads(words) == list(WORDS)


def test_a_signed_url_reads_a_file_of_an_awkward_name(run: Run) -> None:
    assert files(run, "resource") == {"resource/copy.txt": "as it was"}


def test_a_pattern_keeps_the_directories_below_its_fixed_part(run: Run) -> None:
    assert files(run, "globs") == {
        "globs/a.txt": "a\n",
        "globs/deep/b.txt": "b\n",
        "odd/odd[1].txt": "e\n",
    }


def test_an_uploaded_file_may_be_uploaded_again_by_a_url_that_creates_and_writes(run: Run) -> None:
    assert set(files(run, "twice")) == {"twice/same.txt", "again/same.txt"}


def test_a_task_is_no_root_unless_it_asks_for_it(run: Run) -> None:
    assert files(run, "user")["user/uid.txt"] != "0\n"


def test_a_task_that_asks_to_be_root_is(run: Run) -> None:
    assert files(run, "root")["root/uid.txt"] == "0\n"


def test_a_failed_task_leaves_its_exit_code_its_logs_and_its_files(run: Run) -> None:
    task = run.task("exits")
    assert (task.state, task.reason, task.exit_code) == ("failed", "exit_code", 3)
    assert (run.log("exits"), run.log("exits", "stderr")) == (b"what I said\n", b"why\n")
    assert contents(run, task) == {"exits/left.txt": "left\n"}


@pytest.mark.parametrize(
    ("task_id", "reason"),
    [("forgets", "output_missing"), ("sleeps", "timeout"), ("no-image", "image")],
)
def test_a_failure_is_told_by_its_reason(run: Run, task_id: str, reason: str) -> None:
    task = run.task(task_id)
    assert (task.state, task.reason) == ("failed", reason), task.detail


def test_the_service_takes_the_autoscale_formula(run: Run, account: Account) -> None:
    """Looks at no machine: without tasks the formula asks for none."""
    scaling = replace(settings(), pool=f"{NAME}-scale", autoscale=True)
    pools = Pools(account, scaling)
    try:
        pools.ensure(RunContext(run_id=run.id, plan=run.plan, directory=run.directory))
        made = account.batch.get_pool(f"{NAME}-scale")
        assert made.enable_auto_scale
        assert made.auto_scale_run is None or made.auto_scale_run.error is None
    finally:
        pools.delete(f"{NAME}-scale")
