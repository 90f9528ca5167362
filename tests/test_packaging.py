"""What is released: one version, one licence, whole wheels that work where no checkout is."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
VERSION = (ROOT / "VERSION").read_text().strip()
PROJECTS = {
    "batchcore": ROOT,
    "batchcore_azure": ROOT / "backends" / "azure",
    "batchcore_localdocker": ROOT / "backends" / "localdocker",
    "batchcore_slurm": ROOT / "examples" / "plugins" / "batchcore-slurm",
}
# A few tests of each distribution that read nothing of the checkout; `make check-dist` runs all.
A_FEW = (
    "tests/core/test_public_names.py",
    "tests/cli/test_backends_and_config.py",
    "tests/testing/test_conformance_memory.py",
    "backends/azure/tests/test_plugin.py",
    "backends/azure/tests/test_translate.py",
    "backends/localdocker/tests/test_translate.py",
    "examples/plugins/batchcore-slurm/tests/test_public.py",
    "examples/plugins/batchcore-slurm/tests/test_translate.py",
)
each_package = pytest.mark.parametrize("package", PROJECTS)
# Some thirty processes one after the other; a machine that is busy takes its time.
pytestmark = pytest.mark.timeout(600)


def release(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools/release.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` builds."""
    place = tmp_path_factory.mktemp("dist")
    done = release("build", "--dist", place)
    assert done.returncode == 0, done.stderr
    return place


def declared(package: str) -> dict[str, Any]:
    return tomllib.loads((PROJECTS[package] / "pyproject.toml").read_text())


def wheel(dist: Path, package: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(dist / f"{package}-{VERSION}-py3-none-any.whl")


def metadata(dist: Path, package: str) -> Message:
    with wheel(dist, package) as archive:
        text = archive.read(f"{package}-{VERSION}.dist-info/METADATA")
    return message_from_string(text.decode())


def sources(package: str) -> set[str]:
    """Return the files of a package as a wheel names them."""
    files = (path for path in (PROJECTS[package] / package).rglob("*") if path.is_file())
    names = {path.relative_to(PROJECTS[package]).as_posix() for path in files}
    return {name for name in names if "__pycache__" not in name.split("/")}


@each_package
def test_version_is_said_in_one_place(package: str) -> None:
    project = declared(package)
    assert project["project"]["dynamic"] == ["version"]
    place = PROJECTS[package] / project["tool"]["hatch"]["version"]["path"]
    assert place.resolve() == ROOT / "VERSION"


def test_each_distribution_is_built_as_a_wheel_and_an_sdist_of_that_version(dist: Path) -> None:
    wheels = {f"{package}-{VERSION}-py3-none-any.whl" for package in PROJECTS}
    assert {path.name for path in dist.iterdir()} == wheels | {
        f"{package}-{VERSION}.tar.gz" for package in PROJECTS
    }


@each_package
def test_wheel_holds_all_of_one_package_and_nothing_else(package: str, dist: Path) -> None:
    with wheel(dist, package) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources(package)
    assert f"{package}/py.typed" in names


@each_package
def test_wheel_carries_the_licence(package: str, dist: Path) -> None:
    with wheel(dist, package) as archive:
        licence = archive.read(f"{package}-{VERSION}.dist-info/licenses/LICENSE")
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert metadata(dist, package)["License-Expression"] == "MIT"


@each_package
def test_metadata_says_what_it_is_and_who_can_use_it(package: str, dist: Path) -> None:
    found = metadata(dist, package)
    assert found["Name"] == package.replace("_", "-")
    assert found["Summary"]
    assert found["Requires-Python"] == ">=3.11"
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload() == (PROJECTS[package] / "README.md").read_text()
    assert {
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Typing :: Typed",
    } <= set(found.get_all("Classifier", []))


@each_package
def test_distributions_want_this_core_and_not_the_next_one(package: str, dist: Path) -> None:
    wanted = [Requirement(text) for text in metadata(dist, package).get_all("Requires-Dist", [])]
    ranges = [one.specifier for one in wanted if one.name == "batchcore" and one.specifier]
    assert bool(ranges) == (package != "batchcore")
    major, minor, *_ = Version(VERSION).release
    for one in ranges:
        assert one.contains(VERSION, prereleases=True)
        assert not one.contains(f"{major}.{minor + 1}", prereleases=True)


@each_package
def test_sdist_holds_its_package_and_no_tests(package: str, dist: Path) -> None:
    with tarfile.open(dist / f"{package}-{VERSION}.tar.gz") as sdist:
        tops = {name.split("/")[1] for name in sdist.getnames()}
    assert tops >= {package, "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert not tops & {"backends", "docs", "examples", "tests"}


def test_every_backend_uses_the_same_door() -> None:
    group = "batchcore.backends"
    doors = {
        name: module
        for package in PROJECTS
        for name, module in declared(package)["project"]["entry-points"][group].items()
    }
    assert doors == {
        "azure": "batchcore_azure.plugin",
        "fault": "batchcore.testing.fault_plugin",
        "local-docker": "batchcore_localdocker.plugin",
        "local-process": "batchcore.local.plugin",
        "memory": "batchcore.testing.memory_plugin",
        "slurm": "batchcore_slurm.plugin",
    }


def test_wheels_install_without_an_index_and_pass_tests_outside_the_checkout(dist: Path) -> None:
    done = release("check", "--dist", dist, "--linked", *A_FEW)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
