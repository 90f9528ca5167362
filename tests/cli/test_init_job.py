"""`batchcore init`: a small project that runs as it is, here and in containers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.names import check_job_name
from batchcore.scaffold import job_files, job_name

Call = Callable[..., Any]

SECONDS = 100
FILES = {
    ".dockerignore",
    ".gitignore",
    "Dockerfile",
    "README.md",
    "controller.py",
    "job.toml",
    "test_job.py",
    "worker.py",
}


def within(project: Path, *words: str) -> str:
    """Run Python in a project and return what it printed on stdout."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(cli: Call, here: Path) -> Path:
    assert cli("init", "estimate-pi").code == 0
    return here / "estimate-pi"


def test_it_says_what_it_wrote_and_what_to_type_next(cli: Call, here: Path) -> None:
    done = cli("init", "estimate-pi")
    assert done.code == 0
    assert set(done.out.splitlines()) == {f"estimate-pi/{name}" for name in FILES}
    assert done.err == (
        "next:  cd estimate-pi\n"
        "       python controller.py                         # run it here, as processes\n"
        "       docker build -t estimate-pi:v1 .\n"
        "       python controller.py --backend local-docker  # the same in containers\n"
        "       python -m pytest                             # test it, with pytest installed\n"
    )


def test_the_files_as_data(cli: Call, here: Path) -> None:
    data = cli("init", "estimate-pi", "--json").data
    assert data == {
        "schema": "batchcore.init/1",
        "name": "estimate-pi",
        "directory": str(here / "estimate-pi"),
        "files": sorted(FILES),
    }
    assert {path.name for path in (here / "estimate-pi").iterdir()} == FILES


def test_without_a_directory_it_makes_one(cli: Call, tree: Call) -> None:
    assert cli("init").code == 0
    assert tree() == {"my-job", *(f"my-job/{name}" for name in FILES)}


def test_in_the_current_directory_there_is_no_cd(cli: Call, here: Path) -> None:
    done = cli("init", ".")
    assert done.err.startswith("next:  python controller.py")
    assert {path.name for path in here.iterdir()} == FILES


def test_a_directory_with_a_blank_is_quoted(cli: Call, here: Path) -> None:
    assert cli("init", "my pi").err.startswith("next:  cd 'my pi'\n")


@pytest.mark.parametrize(
    ("directory", "name"),
    [("estimate-pi", "estimate-pi"), (".", "here"), ("My Pi_2", "my-pi-2"), ("§", "my-job")],
)
def test_the_job_is_called_like_its_directory(cli: Call, directory: str, name: str) -> None:
    assert cli("init", directory, "--json").data["name"] == name


def test_the_name_is_everywhere(cli: Call, here: Path) -> None:
    cli("init", "there", "--name", "pi")
    texts = {path.name: path.read_text() for path in (here / "there").iterdir()}
    assert not [name for name, text in texts.items() if "new-job" in text or "there:" in text]
    assert 'image = "pi:v1"' in texts["job.toml"]
    assert 'image="pi:v1"' in texts["controller.py"]
    assert "docker build -t pi:v1 ." in texts["README.md"]


@given(st.text())
def test_every_directory_has_a_name_that_a_job_can_have(text: str) -> None:
    name = job_name(Path("there", text.replace("\0", "")))
    check_job_name(name)
    assert f"# {name}\n" in job_files(name)["README.md"]


@pytest.mark.parametrize(
    ("name", "meant"), [("My Job", "my-job"), ("a_b", "a-b"), ("-a", "a"), ("a" * 65, "a" * 64)]
)
def test_a_name_that_is_none_is_refused(cli: Call, tree: Call, name: str, meant: str) -> None:
    done = cli("init", f"--name={name}")
    assert done.code == 2
    assert f"{name!r} is not a name for a job and its image" in done.err
    assert f"did you mean {meant}?" in done.err
    assert tree() == set()


@pytest.mark.parametrize("name", ["", "§"])
def test_a_name_without_a_letter_is_refused(cli: Call, tree: Call, name: str) -> None:
    done = cli("init", f"--name={name}")
    assert (done.code, tree()) == (2, set())
    assert "choose one such as estimate-pi" in done.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--style", "raw"], "add --plugin NAME"),
        (["--plugin", "demo", "--name", "pi"], "leave it out"),
        (["there", "--dir", "elsewhere"], "leave out --dir"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    cli: Call, tree: Call, words: list[str], hint: str
) -> None:
    done = cli("init", *words)
    assert (done.code, tree()) == (2, set())
    assert hint in done.err


def test_a_directory_with_something_in_it_is_left_alone(cli: Call, here: Path, tree: Call) -> None:
    (here / "mine.txt").write_text("mine")
    done = cli("init", ".")
    assert (done.code, tree()) == (2, {"mine.txt"})
    assert ". is not empty" in done.err
    assert "choose another DIRECTORY" in done.err


def test_what_a_directory_hides_is_not_in_the_way(cli: Call, here: Path) -> None:
    (here / ".git").mkdir()
    (here / ".venv").mkdir()
    assert cli("init", ".").code == 0


def test_a_hidden_file_is_not_overwritten(cli: Call, here: Path, tree: Call) -> None:
    (here / ".gitignore").write_text("mine")
    assert cli("init", ".").code == 2
    assert tree() == {".gitignore"}
    assert (here / ".gitignore").read_text() == "mine"


def test_it_runs_as_it_is(project: Path) -> None:
    assert float(within(project, "controller.py")) == pytest.approx(3.14, abs=0.01)


def test_the_job_file_is_the_same_work(project: Path) -> None:
    within(project, "controller.py")
    assert '"attempt": 1' in within(project, "-m", "batchcore", "run", "job.toml", "--json")
    assert len(list(project.glob(".batchcore/*/job.json"))) == 1


def test_it_passes_its_own_test(project: Path) -> None:
    assert "1 passed" in within(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_its_style_is_clean(project: Path) -> None:
    within(project, "-m", "ruff", "check", "--isolated", ".")
    within(project, "-m", "ruff", "format", "--isolated", "--line-length=100", "--check", ".")


@pytest.mark.parametrize("name", ["worker.py", "controller.py", "job.toml", "test_job.py"])
def test_it_can_be_read_at_a_glance(project: Path, name: str) -> None:
    assert len((project / name).read_text().splitlines()) <= 32


@pytest.mark.docker
def test_it_runs_in_containers_after_the_build_it_names(
    cli: Call, here: Path, docker_client: Any, worker_base_image: str
) -> None:
    cli("init", ".", "--name", "batchcore-test-init")
    first, _, rest = (here / "Dockerfile").read_text().partition("\n")
    assert first == "FROM python:3.12-slim"
    (here / "Dockerfile").write_text(f"FROM {worker_base_image}\n{rest}")
    docker_client.images.build(path=str(here), tag="batchcore-test-init:v1", rm=True)
    try:
        there = within(here, "controller.py", "--backend", "local-docker")
    finally:
        docker_client.images.remove("batchcore-test-init:v1")
    assert float(there) == float(within(here, "controller.py"))
