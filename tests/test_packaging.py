"""The three distributions: one version, one licence, and wheels that hold one package each."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECTS = {
    "batchcore": ROOT,
    "batchcore_azure": ROOT / "backends" / "azure",
    "batchcore_localdocker": ROOT / "backends" / "localdocker",
}
each_project = pytest.mark.parametrize(("package", "folder"), PROJECTS.items(), ids=PROJECTS)


def metadata(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def build(folder: Path, target: str, out: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", out]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


def test_distributions_have_one_version() -> None:
    versions = {package: metadata(folder)["version"] for package, folder in PROJECTS.items()}
    assert len(set(versions.values())) == 1, versions


@each_project
def test_distribution_is_named_after_its_package(package: str, folder: Path) -> None:
    assert metadata(folder)["name"] == package.replace("_", "-")


@each_project
def test_distributions_have_one_licence_and_one_python(package: str, folder: Path) -> None:
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert metadata(folder)["requires-python"] == metadata(ROOT)["requires-python"]


@each_project
def test_wheel_holds_one_typed_package_and_no_tests(
    package: str, folder: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(build(folder, "wheel", tmp_path)) as wheel:
        names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {package}
    assert f"{package}/py.typed" in names
    own = [name for name in names if not name.startswith("batchcore/scaffold/templates/")]
    assert not [name for name in own if "tests" in name.split("/")]


def test_core_wheel_holds_the_files_that_init_writes(tmp_path: Path) -> None:
    templates = ROOT / "batchcore/scaffold/templates"
    wanted = {p.relative_to(ROOT).as_posix() for p in templates.rglob("*") if p.is_file()}
    with zipfile.ZipFile(build(ROOT, "wheel", tmp_path)) as wheel:
        assert wanted <= set(wheel.namelist())


def test_core_sdist_holds_no_backend(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(build(ROOT, "sdist", tmp_path)) as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames()}
    assert "batchcore" in tops
    assert not tops & {"backends", "tests", "examples"}


def test_every_backend_uses_the_same_door() -> None:
    group = "batchcore.backends"
    declared = {
        name: module
        for folder in PROJECTS.values()
        for name, module in metadata(folder)["entry-points"][group].items()
    }
    assert declared == {
        "azure": "batchcore_azure.plugin",
        "fault": "batchcore.testing.fault_plugin",
        "local-docker": "batchcore_localdocker.plugin",
        "local-process": "batchcore.local.plugin",
        "memory": "batchcore.testing.memory_plugin",
    }
