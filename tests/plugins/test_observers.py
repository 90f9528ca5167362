"""Observers and validators: each is called alone, and none can stop a run by its own fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchcore.errors import Problem
from batchcore.events import Note
from batchcore.hookspecs import OBSERVERS
from batchcore.model import Job
from batchcore.plugins import Plugins
from batchcore.states import TaskState
from batchcore.testing.plugins import PluginInstaller

JOB = Job("job", command="true")
HEAD = """
from batchcore.errors import Problem
from batchcore.hookspecs import hookimpl
"""
RECORDING = f"""{HEAD}
def write(*words):
    with open("LOG", "a") as log:
        print(*words, file=log)

@hookimpl
def batchcore_task_changed(run_id, task_id, old, new, at):
    write(run_id, task_id, old, new, at)

@hookimpl
def batchcore_run_finished(run_id, state, directory):
    write(run_id, state, directory)
"""


def raising(hook: str, what: str = "ValueError('no')") -> str:
    return f"{HEAD}\n@hookimpl\ndef {hook}():\n    raise {what}\n"


class Scene:
    """Plugins in group `batchcore.plugins`, and the warnings about them."""

    def __init__(self, installer: PluginInstaller, log: Path) -> None:
        self.installer = installer
        self.log = log
        self.warnings: list[str] = []

    def install(self, name: str, source: str) -> None:
        self.installer(name, source, group=OBSERVERS)

    def record(self, name: str) -> None:
        self.install(name, RECORDING.replace("LOG", str(self.log)))

    def plugins(self, **environ: str) -> Plugins:
        return Plugins(environ, self.installer.entry_points, self.warnings.append)

    def change(self, look: Plugins) -> None:
        for observer in look.observers():
            observer.task_changed("run-1", "t", None, TaskState.QUEUED, 1.5)


@pytest.fixture
def scene(install_plugin: PluginInstaller, tmp_path: Path) -> Scene:
    return Scene(install_plugin, tmp_path / "log")


def test_an_observer_learns_of_changes_and_of_the_end(scene: Scene) -> None:
    scene.record("one")
    look = scene.plugins()
    scene.change(look)
    for observer in look.observers():
        observer.run_finished("run-1", "succeeded", Path("/runs/run-1"))
    assert scene.log.read_text() == "run-1 t None queued 1.5\nrun-1 succeeded /runs/run-1\n"


OBSERVING = f"""{HEAD}
@hookimpl
def batchcore_observe_run(run_id, directory):
    def write(event):
        with open(directory / "told", "a") as log:
            print(run_id, event.text, file=log)
    return write
"""


def heard(look: Plugins, directory: Path) -> list[str]:
    observers = [o for one in look.observers() for o in one.observe_run("run-1", directory)]
    for text in ("first", "second"):
        for observer in observers:
            observer(Note(at=1.0, text=text))
    told = directory / "told"
    return told.read_text().splitlines() if told.exists() else []


def test_a_plugin_may_watch_a_run_with_an_observer_of_its_own(scene: Scene, tmp_path: Path) -> None:
    scene.install("one", OBSERVING)
    assert heard(scene.plugins(), tmp_path) == ["run-1 first", "run-1 second"]


def test_a_plugin_need_not_watch_every_run(scene: Scene, tmp_path: Path) -> None:
    scene.install("none", f"{HEAD}@hookimpl\ndef batchcore_observe_run():\n    return None\n")
    assert heard(scene.plugins(), tmp_path) == []
    assert scene.warnings == []


@pytest.mark.parametrize(
    "body", ["raise ValueError('no')", "return lambda event: 1 / 0", "return 'no function'"]
)
def test_an_observer_of_a_run_that_fails_is_reported_once_and_stops_no_other(
    scene: Scene, tmp_path: Path, body: str
) -> None:
    scene.install("bad", f"{HEAD}@hookimpl\ndef batchcore_observe_run():\n    {body}\n")
    scene.install("good", OBSERVING)
    assert heard(scene.plugins(), tmp_path) == ["run-1 first", "run-1 second"]
    (warning,) = scene.warnings
    assert "demo-bad 1.0" in warning


def test_a_hook_may_leave_out_arguments(scene: Scene) -> None:
    hook = "@hookimpl\ndef batchcore_task_changed(new):\n"
    source = f"    import pathlib; pathlib.Path({str(scene.log)!r}).write_text(new)"
    scene.install("one", f"{HEAD}{hook}{source}")
    scene.change(scene.plugins())
    assert scene.log.read_text() == "queued"


@pytest.mark.parametrize("what", ["ValueError('no')", "SystemExit(3)"])
def test_a_raising_observer_stops_no_other(scene: Scene, what: str) -> None:
    scene.record("first")
    scene.install("middle", raising("batchcore_task_changed", what))
    scene.record("third")
    scene.change(scene.plugins())
    assert len(scene.log.read_text().splitlines()) == 2


def test_a_raising_observer_is_reported_once_with_its_distribution(scene: Scene) -> None:
    scene.install("bad", raising("batchcore_task_changed"))
    look = scene.plugins()
    for _ in range(3):
        scene.change(look)
    (warning,) = scene.warnings
    assert "demo-bad 1.0" in warning
    assert "ValueError: no" in warning


@pytest.mark.parametrize(
    "source", ["1 / 0", "raise SystemExit", "def f(:", raising("batchcore_task_chnged")]
)
def test_an_observer_that_cannot_be_loaded_is_reported_and_left_out(
    scene: Scene, source: str
) -> None:
    scene.install("bad", source)
    scene.record("good")
    look = scene.plugins()
    assert [observer.plugin.name for observer in look.observers()] == ["good"]
    look.observers()
    (warning,) = scene.warnings
    assert "demo-bad 1.0" in warning


def test_a_blocked_observer_is_not_loaded(scene: Scene) -> None:
    scene.install("bad", "1 / 0")
    assert not scene.plugins(BATCHCORE_BLOCK_PLUGINS="demo-bad").observers()
    assert not scene.warnings


def test_an_author_gets_the_observers_own_exception(scene: Scene) -> None:
    scene.install("bad", raising("batchcore_task_changed"))
    with pytest.raises(ValueError, match="no"):
        scene.change(scene.plugins(BATCHCORE_RAISE="1"))


def test_choosing_a_backend_loads_no_observer(scene: Scene) -> None:
    scene.install("bad", "1 / 0")
    list(scene.plugins().scan())
    assert not scene.warnings


def problem(reason: str) -> str:
    return f"Problem(code='X1', reason={reason!r})"


def test_the_problems_of_all_validators_are_joined(scene: Scene) -> None:
    hook = "@hookimpl\ndef batchcore_validate_job(job, backend):\n"
    scene.install("one", f"{HEAD}{hook}    yield Problem(code='X1', reason=job.name + backend)")
    scene.install("two", f"{HEAD}{hook}    return [{problem('b')}, {problem('c')}]")
    scene.install("three", f"{HEAD}{hook}    return None")
    found = scene.plugins().validate(JOB, "azure")
    assert sorted(found, key=lambda p: p.reason) == [
        Problem(code="X1", reason=reason) for reason in ("b", "c", "jobazure")
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("raise SystemExit(2)", "SystemExit: 2"),
        ("yield 1; raise ValueError('late')", "ValueError: late"),
        ("return ['text']", "'text', not a Problem"),
        ("return 7", "TypeError"),
    ],
)
def test_a_validator_that_fails_is_a_problem_that_names_it(
    scene: Scene, body: str, reason: str
) -> None:
    scene.install("bad", f"{HEAD}@hookimpl\ndef batchcore_validate_job(job):\n    {body}")
    hook = "@hookimpl\ndef batchcore_validate_job():\n"
    scene.install("good", f"{HEAD}{hook}    return [{problem('mine')}]")
    bad, good = scene.plugins().validate(JOB, "azure")
    assert bad.code == "BC2500"
    assert "demo-bad 1.0" in bad.reason
    assert reason in bad.reason
    assert good.reason == "mine"
