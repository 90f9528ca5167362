"""A job from a Python script: how it runs, and how each way to fail is answered."""

import contextlib
import sys
from pathlib import Path

import pytest

from batchcore.errors import JobError, NotFound, Problem
from batchcore.jobfile import ControllerReached, LoadedJob, capture, load_job
from batchcore.jobfile.controller import loading
from batchcore.model import Job

IMPORT = "from batchcore.model import Job, Task\nfrom batchcore.jobfile import capture\n"


def load(folder: Path, code: str) -> LoadedJob:
    path = folder / "controller.py"
    path.write_text(IMPORT + code)
    return load_job(path)


def fault(folder: Path, code: str) -> Problem:
    with pytest.raises(JobError) as caught:
        load(folder, code)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    "code",
    [
        "job = Job('j')",
        "def job():\n    return Job('j')",
        "def build_job():\n    return Job('j')",
        "capture(Job('j'))",
        "def main():\n    capture(Job('j'))\nmain()",
        "def job():\n    capture(Job('j'))",
        "class Maker:\n    def __call__(self): return Job('j')\njob = Maker()",
    ],
)
def test_a_controller_gives_its_job_in_any_of_these_ways(tmp_path: Path, code: str) -> None:
    assert load(tmp_path, code).job == Job("j")


def test_the_main_part_does_not_run(tmp_path: Path) -> None:
    code = "job = Job('j')\nif __name__ == '__main__':\n    raise SystemExit(1)"
    assert load(tmp_path, code).job == Job("j")


def test_what_reaches_main_wins_over_a_variable(tmp_path: Path) -> None:
    assert load(tmp_path, "job = Job('old')\ncapture(Job('new'))").job.name == "new"


@pytest.mark.parametrize("handler", ["except Exception", "except BaseException", "finally"])
def test_a_controller_that_catches_everything_still_gives_its_job(
    tmp_path: Path, handler: str
) -> None:
    code = f"try:\n    capture(Job('j'))\n{handler}:\n    raise SystemExit(1)"
    assert load(tmp_path, code).job.name == "j"


def test_outside_of_reading_capture_does_nothing() -> None:
    capture(Job("j"))
    assert loading.get() is None


def test_the_way_out_of_a_controller_is_not_an_exception_that_it_would_handle() -> None:
    assert not issubclass(ControllerReached, Exception)


def test_relative_sources_start_at_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "controller.py").write_text(IMPORT + "job = Job('j')")
    monkeypatch.chdir(tmp_path)
    loaded = load_job(Path("scripts/controller.py"))
    assert (loaded.base, loaded.path) == (tmp_path, Path("scripts/controller.py"))


def test_a_controller_sees_what_python_would_show_it(tmp_path: Path) -> None:
    (tmp_path / "beside_the_controller.py").write_text("NAME = 'beside'")
    code = (
        "import sys, os\nfrom beside_the_controller import NAME\n"
        "job = Job(NAME, labels={'argv': repr(sys.argv), 'file': __file__, 'path': sys.path[0]})"
    )
    path = str(tmp_path / "controller.py")
    labels = load(tmp_path, code).job.labels
    assert labels == {"argv": repr([path]), "file": path, "path": str(tmp_path.resolve())}


@pytest.mark.parametrize("code", ["job = Job('j')", "1 / 0", "capture(Job('j'))"])
def test_the_interpreter_is_left_as_it_was(tmp_path: Path, code: str) -> None:
    before = (sys.argv, sys.path, list(sys.path), sys.stdout, "__batchcore__" in sys.modules)
    code = "import sys\nsys.path.append('x')\nsys.argv.append('y')\n" + code
    with contextlib.suppress(JobError):
        load(tmp_path, code)
    after = (sys.argv, sys.path, list(sys.path), sys.stdout, "__batchcore__" in sys.modules)
    assert after == before
    assert loading.get() is None


def test_a_function_of_the_controller_finds_the_controllers_module(tmp_path: Path) -> None:
    code = (
        "import sys\nX = 'j'\n"
        "def job():\n    return Job(sys.modules[__name__].X, labels={'m': __name__})"
    )
    assert load(tmp_path, code).job == Job("j", labels={"m": "__batchcore__"})


def test_what_a_controller_prints_does_not_mix_with_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(tmp_path, "print('hello')\njob = Job('j')")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "hello\n")


@pytest.mark.parametrize(
    ("code", "line", "reason", "hint"),
    [
        ("x = 1\n1 / 0", 4, "ZeroDivisionError: division by zero", "python"),
        ("def f():\n    1 / 0\nf()", 4, "ZeroDivisionError", "python"),
        ("import json\njson.loads('')", 4, "JSONDecodeError", "python"),
        ("job = Job('j'", 3, "SyntaxError", "python"),
        ("import no_such_module_at_all", 3, "ModuleNotFoundError", "install no_such_module_at_all"),
        ("raise ValueError", 3, "raised ValueError", "python"),
        ("import sys\nsys.exit(3)", 4, "sys.exit(3)", "__main__"),
        ("def job():\n    return 1 / 0", 4, "ZeroDivisionError", "python"),
        ("def job(x):\n    return x", 0, "TypeError", "python"),
        ("def job():\n    return 3", 0, "job() returned int", "return the batchcore.Job"),
        ("", 0, "no job", "job = batchcore.Job"),
        ("job = 3", 0, "no job", "job = batchcore.Job"),
        ("work = Job('j')", 0, "no job", "rename work to job"),
    ],
)
def test_a_controller_without_a_job_is_answered_with_line_and_help(
    tmp_path: Path, code: str, line: int, reason: str, hint: str
) -> None:
    problem = fault(tmp_path, code)
    assert problem.code == "BC2300"
    assert problem.file == str(tmp_path / "controller.py") + (f":{line}" if line else "")
    assert reason in problem.reason
    assert hint in problem.hint


def test_a_problem_of_the_job_itself_keeps_its_code_and_gets_a_line(tmp_path: Path) -> None:
    problem = fault(tmp_path, "job = Job('j',\n    tasks=[Task('a b')],\n)")
    assert (problem.code, problem.key) == ("BC2200", "id")
    assert problem.file.endswith("controller.py:4")


def test_other_errors_of_batchcore_pass(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load(tmp_path, "from batchcore.errors import NotFound\nraise NotFound('no run')")


def test_a_credential_in_backend_options_is_refused(tmp_path: Path) -> None:
    problem = fault(tmp_path, "job = Job('j', backend_options={'azure': {'account_key': 'HUSH'}})")
    assert problem.code == "BC2401"
    assert "HUSH" not in repr(problem)
