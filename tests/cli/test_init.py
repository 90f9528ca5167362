"""`batchcore init --plugin NAME`: a project that works as it is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from batchcore.plugins.metadata import FIRST_PARTY

Call = Callable[..., Any]
STYLES = ("raw", "local")
SECONDS = 400


def test_it_says_what_it_wrote_and_what_to_type_next(cli: Call, here: Path) -> None:
    done = cli("init", "--plugin", "my-cluster")
    assert done.code == 0
    written = {p.relative_to(here).as_posix() for p in here.rglob("*") if p.is_file()}
    assert set(done.out.splitlines()) == written
    assert done.err.splitlines()[0] == "next:  cd batchcore-my-cluster"


def test_the_files_as_data(cli: Call, here: Path) -> None:
    data = cli("init", "--plugin", "demo", "--style", "local", "--dir", "project", "--json").data
    assert data["schema"] == "batchcore.init/1"
    assert (data["backend"], data["style"]) == ("demo", "local")
    assert data["directory"] == str(here / "project")
    assert all((here / "project" / name).is_file() for name in data["files"])


@pytest.mark.parametrize("style", STYLES)
def test_the_project_is_whole(cli: Call, here: Path, style: str) -> None:
    files = cli("init", "--plugin", "my-cluster", "--style", style, "--json").data["files"]
    package = {"__init__.py", "backend.py", "plugin.py", "py.typed", "settings.py"}
    package |= {"engine.py"} if style == "raw" else set()
    beside = {".github/workflows/test.yml", "README.md", "pyproject.toml"}
    wanted = beside | {"tests/test_conformance.py"} | {f"batchcore_my_cluster/{x}" for x in package}
    assert set(files) == wanted


@pytest.mark.parametrize("style", STYLES)
def test_the_name_is_everywhere(cli: Call, here: Path, style: str) -> None:
    cli("init", "--plugin", "my-cluster", "--style", style)
    texts = [path.read_text() for path in here.rglob("*") if path.is_file()]
    assert not [text for text in texts for word in ("new-place", "new_place") if word in text]
    assert any("class MyCluster" in text for text in texts)
    project = tomllib.loads((here / "batchcore-my-cluster/pyproject.toml").read_text())["project"]
    assert project["name"] == "batchcore-my-cluster"
    entries = project["entry-points"]["batchcore.backends"]
    assert entries == {"my-cluster": "batchcore_my_cluster.plugin"}


def test_it_states_and_tests_the_lowest_batchcore(cli: Call, here: Path) -> None:
    cli("init", "--plugin", "demo", "--dir", ".")
    told = tomllib.loads((here / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"batchcore>={version('batchcore')}" in told
    workflow = (here / ".github/workflows/test.yml").read_text()
    assert f'["batchcore=={version("batchcore")}", "batchcore"]' in workflow


def test_the_nine_methods_have_sixty_lines(cli: Call, here: Path) -> None:
    cli("init", "--plugin", "demo")
    backend = here / "batchcore-demo/batchcore_demo/backend.py"
    assert len(backend.read_text().splitlines()) <= 60


@pytest.mark.parametrize(
    "name", ["", "Demo", "my_cluster", "-a", "a-", "a--b", "1a", "a b", "a/b", "../a", "é"]
)
def test_a_name_that_is_none_is_refused(cli: Call, tree: Call, name: str) -> None:
    done = cli("init", f"--plugin={name}")
    assert done.code == 2
    assert f"{name!r} is not the name of a backend" in done.err
    assert "lower-case letters, digits and single hyphens" in done.err
    assert tree() == set()


@pytest.mark.parametrize("name", [*FIRST_PARTY, "localdocker"])
def test_a_name_of_batchcore_itself_is_refused(cli: Call, tree: Call, name: str) -> None:
    done = cli("init", "--plugin", name)
    assert done.code == 2
    assert f"{name!r} is the name of a backend of batchcore itself" in done.err
    assert tree() == set()


def test_an_unknown_style_is_refused(cli: Call, tree: Call) -> None:
    done = cli("init", "--plugin", "demo", "--style", "rwa")
    assert done.code == 2
    assert "'raw', 'local'" in done.err
    assert tree() == set()


def test_a_directory_with_something_in_it_is_left_alone(cli: Call, here: Path, tree: Call) -> None:
    (here / "batchcore-demo").mkdir()
    (here / "batchcore-demo/mine.txt").write_text("mine")
    done = cli("init", "--plugin", "demo")
    assert done.code == 2
    assert "batchcore-demo is not empty" in done.err
    assert "choose another DIRECTORY" in done.err
    assert tree() == {"batchcore-demo", "batchcore-demo/mine.txt"}


def test_a_file_in_the_way_is_left_alone(cli: Call, here: Path, tree: Call) -> None:
    (here / "batchcore-demo").write_text("mine")
    done = cli("init", "--plugin", "demo")
    assert (done.code, tree()) == (2, {"batchcore-demo"})
    assert "batchcore-demo is not a directory" in done.err


def test_a_directory_in_a_directory_that_is_not_there(cli: Call, tree: Call) -> None:
    done = cli("init", "--plugin", "demo", "--dir", "a/b")
    assert (done.code, tree()) == (2, set())
    assert "there is no directory a" in done.err


def test_an_empty_directory_is_filled(cli: Call, here: Path) -> None:
    done = cli("init", "--plugin", "demo", "--dir", ".")
    assert done.code == 0
    assert (here / "pyproject.toml").is_file()
    assert not list(here.glob(".bc-*"))


def test_a_second_time_changes_nothing(cli: Call, here: Path) -> None:
    cli("init", "--plugin", "demo")
    edited = here / "batchcore-demo/README.md"
    edited.write_text("mine")
    assert cli("init", "--plugin", "demo").code == 2
    assert edited.read_text() == "mine"


@pytest.mark.parametrize("there", [False, True], ids=["new", "empty"])
def test_a_disk_that_is_full_leaves_nothing(
    cli: Call, here: Path, tree: Call, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    write = Path.write_text

    def fail(path: Path, *args: Any, **kwargs: Any) -> int:
        if path.name == "pyproject.toml":
            raise OSError(28, "No space left on device")
        return write(path, *args, **kwargs)

    if there:
        (here / "project").mkdir()
    monkeypatch.setattr(Path, "write_text", fail)
    done = cli("init", "--plugin", "demo", "--dir", "project")
    assert done.code == 2
    assert "project cannot be written: No space left on device" in done.err
    assert tree() == ({"project"} if there else set())


def test_an_empty_directory_is_empty_again_after_an_error(
    cli: Call, tree: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, moved = Path.rename, list[str]()

    def fail(path: Path, target: Path) -> Path:
        if len(moved) == 2:
            moved.append("none")
            raise OSError(5, "Input/output error")
        moved.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    done = cli("init", "--plugin", "demo", "--dir", ".")
    assert done.code == 2
    assert ". cannot be written: Input/output error" in done.err
    assert tree() == set()


def test_a_directory_that_cannot_be_written(cli: Call, tree: Call) -> None:
    done = cli("init", "--plugin", "demo", "--dir", "/proc/batchcore-demo")
    assert (done.code, tree()) == (2, set())
    assert "/proc/batchcore-demo cannot be written: " in done.err


def test_a_project_is_made_with_the_usual_permissions(cli: Call, here: Path) -> None:
    cli("init", "--plugin", "demo")
    (here / "other").mkdir()
    assert _mode(here / "batchcore-demo") == _mode(here / "other")


@pytest.fixture(params=STYLES)
def project(request: pytest.FixtureRequest, cli: Call, here: Path) -> Path:
    """The project of a backend, on the path as pip would have put it there."""
    directory = here / "batchcore-my-cluster"
    cli("init", "--plugin", "my-cluster", "--style", request.param)
    told = tomllib.loads((directory / "pyproject.toml").read_text())["project"]
    info = directory / "batchcore_my_cluster-0.1.0.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n"
    (info / "METADATA").write_text(head)
    lines = [f"[{group}]" for group in told["entry-points"]]
    lines += [f"{k} = {v}" for entries in told["entry-points"].values() for k, v in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return directory


def within(project: Path, *argv: str) -> str:
    """Run a module of Python in a project and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_a_backend_like_any(project: Path) -> None:
    assert "my-cluster" in within(project, "batchcore", "backends", "list")
    assert "nice" in within(project, "batchcore", "backends", "show", "my-cluster")


def test_its_option_is_heeded(project: Path) -> None:
    (project / "job.toml").write_text('name = "demo"\n[[tasks]]\nid = "a"\ncommand = ["nice"]\n')
    words = ["run", "job.toml", "--backend", "my-cluster", "--set", "nice=7", "--dir", "run"]
    within(project, "batchcore", *words)
    given = str(min(19, os.nice(0) + 7))
    assert within(project, "batchcore", "logs", "run", "a").split()[-1] == given


@pytest.fixture(scope="session")
def types_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first check of types has learned of batchcore itself."""
    return tmp_path_factory.mktemp("mypy")


def test_its_style_and_types_are_clean(project: Path, types_cache: Path) -> None:
    within(project, "ruff", "check", ".")
    within(project, "ruff", "format", "--check", ".")
    within(project, "mypy", "--cache-dir", str(types_cache), ".")


@pytest.mark.timeout(SECONDS + 20)
def test_it_passes_its_own_tests(project: Path) -> None:
    printed = within(project, "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in printed
    assert " failed" not in printed


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
