"""The one door: which file is read how, and what is said about a file that is none."""

from pathlib import Path

import pytest

from batchcore.errors import JobError, Problem
from batchcore.jobfile import LoadedJob, load_job
from batchcore.model import Job, Task

TEXTS = {
    "job.toml": 'schema = 1\nname = "j"\n[[tasks]]\nid = "a"\noutputs = ["o"]\n',
    "job.json": '{"schema": 1, "name": "j", "tasks": [{"id": "a", "outputs": ["o"]}]}',
}
JOB = Job("j", tasks=[Task("a", outputs=["o"])])


def fault(path: Path) -> Problem:
    with pytest.raises(JobError) as caught:
        load_job(path)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_toml_and_json_are_read_and_start_at_their_own_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mark: str
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / name).write_text(mark + TEXTS[name], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    path = Path("below", name)
    assert load_job(path) == LoadedJob(JOB, tmp_path / "below", path)


@pytest.mark.parametrize("name", ["job.TOML", "job.Json"])
def test_the_case_of_a_suffix_does_not_count(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TEXTS[name.lower()])
    assert load_job(tmp_path / name).job == JOB


@pytest.mark.parametrize("name", ["jbo.toml", "job", "job.tml"])
def test_a_missing_file_names_a_near_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "job.toml").write_text("")
    problem = fault(tmp_path / name)
    assert problem.code == "BC2300"
    assert problem.hint == f'did you mean "{tmp_path / "job.toml"}"?'


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    assert "no directory" in fault(tmp_path / "no" / "job.toml").hint


@pytest.mark.parametrize("name", ["job.py", "job.yaml", "zzz.json"])
def test_a_missing_file_with_nothing_near_says_where_it_looked(tmp_path: Path, name: str) -> None:
    problem = fault(tmp_path / name)
    assert "there is no file" in problem.reason
    assert str(tmp_path) in problem.hint


def test_a_directory_names_the_job_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    (tmp_path / "job.toml").write_text("")
    problem = fault(tmp_path)
    assert "is a directory" in problem.reason
    assert "job.toml" in problem.hint


@pytest.mark.parametrize("name", ["job.yaml", "job", "job.txt"])
def test_another_kind_of_file_is_refused_with_the_kinds_there_are(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("")
    problem = fault(tmp_path / name)
    assert problem.code == "BC2300"
    assert ".py, .toml or .json" in problem.hint


def test_a_file_below_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text("")
    assert "cannot be read" in fault(tmp_path / "job.toml" / "job.toml").reason
