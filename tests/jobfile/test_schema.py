"""The published JSON Schema: it is current, valid, and tells good job files from broken ones."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from batchcore.jobfile import job_schema, load_job
from batchcore.jobfile.schema import main

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(job_schema())

GOOD = [
    'name = "j"',
    'schema = 1\nname = "j"\nimage = "w:1"\ncommand = ["python", "/w.py"]\ntimeout = "30m"',
    'name = "j"\ncommand = "python /w.py"\nretries = 3\nrequirements = { cpus = 0.5 }',
    'name = "j"\n[[tasks]]\nid = "a"\noutputs = ["o", { path = "*.csv", to = "all" }]',
    'name = "j"\n[[tasks]]\nid = "a"\nresources = [{ path = "a", source = "b" }]',
    'name = "j"\n[[tasks]]\nid = "a"\ndepends_on = ["b", { task = "c", on = "any" }]',
    'name = "j"\n[tasks]\ntable = "tasks.csv"\nid = "s-{seed}"\noutputs = ["{seed}.csv"]',
    'name = "j"\n[tasks]\nmatrix = { seed = [1, 2], x = [0.5, "a", true] }',
    'name = "j"\n[tasks]\nmatrix.r = [1, 2]\nretries = "{r}"\nrequirements.cpus = "{r}"',
    'name = "j"\n[tasks]\nmatrix.r = [1]\ntimeout = "{r}m"\nrequirements.memory = "{r}GiB"',
    'name = "j"\n[backend.azure]\npool = "small"\n[backend.local-docker]\nnetwork = "none"',
]
BROKEN = [
    "",
    'name = "a b"',
    'name = "j"\nschema = 2',
    'name = "j"\nimag = "x"',
    'name = "j"\nretries = "3"',
    'name = "j"\nretries = 101',
    'name = "j"\ntimeout = -1',
    'name = "j"\ntimeout = "soon"',
    'name = "j"\nuser = "rot"',
    'name = "j"\ncommand = []',
    'name = "j"\ncommand = ["a"]\nshell = "b"',
    'name = "j"\nenv = { A = 1 }',
    'name = "j"\nenv = { "A B" = "1" }',
    'name = "j"\nrequirements = { cpus = 0 }',
    'name = "j"\n[[tasks]]\nimage = "x"',
    'name = "j"\n[[tasks]]\nid = "s-{seed}"',
    'name = "j"\n[[tasks]]\nid = "a"\noutputs = [{ path = "o", when = "succes" }]',
    'name = "j"\n[[tasks]]\nid = "a"\nresources = [{ path = "a" }]',
    'name = "j"\n[[tasks]]\nid = "a"\nresources = [{ path = "a", text = "", source = "b" }]',
    'name = "j"\n[tasks]\nid = "a"',
    'name = "j"\n[tasks]\ntable = "t.csv"\nmatrix.a = [1]',
    'name = "j"\n[tasks]\ntable = "t.xls"',
    'name = "j"\n[tasks]\nmatrix.a = []',
    'name = "j"\n[tasks]\nmatrix.a = [[1]]',
    'name = "j"\n[tasks]\ntable = "tasks.csv"\nfoo = 1',
    'name = "j"\n[backend]\nazure = "x"',
]


def test_the_committed_schema_is_the_generated_one() -> None:
    committed = json.loads((ROOT / "docs" / "job.schema.json").read_text("utf-8"))
    assert committed == job_schema(), "run: python -m batchcore.jobfile.schema"


def test_the_schema_is_written_below_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main()
    assert json.loads((tmp_path / "docs" / "job.schema.json").read_text("utf-8")) == job_schema()


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/job.toml")), ids=str)
def test_the_job_file_of_each_example_is_accepted(path: Path) -> None:
    VALIDATOR.validate(tomllib.loads(path.read_text("utf-8")))
    assert load_job(path).job.tasks


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(job_schema())


def test_the_schema_names_no_host() -> None:
    assert job_schema()["$id"] == "urn:batchcore:job:1"


@pytest.mark.parametrize("text", GOOD)
def test_a_good_job_file_is_accepted_by_schema_and_loader(tmp_path: Path, text: str) -> None:
    VALIDATOR.validate(tomllib.loads(text))
    (tmp_path / "tasks.csv").write_text("seed\n1\n")
    (tmp_path / "job.toml").write_text(text)
    assert load_job(tmp_path / "job.toml").job.name == "j"


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_job_file_is_refused_by_schema_and_loader(tmp_path: Path, text: str) -> None:
    assert not VALIDATOR.is_valid(tomllib.loads(text))
    (tmp_path / "tasks.csv").write_text("seed\n1\n")
    (tmp_path / "job.toml").write_text(text)
    with pytest.raises(ValueError, match="error"):
        load_job(tmp_path / "job.toml")


def test_every_field_of_the_model_is_described() -> None:
    schema: dict[str, Any] = job_schema()
    assert all(part.get("description") for part in schema["$defs"].values())
