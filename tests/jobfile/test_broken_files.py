"""What a wrong job file is answered with: a code, a key, a line and what to type instead."""

import json
from pathlib import Path

import pytest

from batchcore.errors import JobError, Problem
from batchcore.jobfile import load_job


def faults(path: Path, text: str | bytes) -> list[Problem]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(JobError) as caught:
        load_job(path)
    return list(caught.value.problems)


def toml(folder: Path, text: str) -> list[Problem]:
    return faults(folder / "job.toml", text)


ONE_PROBLEM = [
    # text, code, key, part of the reason, part of the hint, line
    ("", "BC2202", "name", "needs name", 'name = "', 0),
    ("name = 1", "BC2001", "name", "a text", 'write name = "my-job"', 1),
    ('name = "a b"', "BC2200", "name", "not a job name", '"a-b"', 1),
    ('name = "j"\nschema = 2', "BC2301", "schema", "schema 1", "schema = 1", 2),
    ('name = "j"\nschema = true', "BC2301", "schema", "schema 1", "schema = 1", 2),
    ('name = "j"\nimag = "x"', "BC2301", "imag", "not a key", 'mean "image"', 2),
    ('name = "j"\ncpus = 2', "BC2301", "cpus", "not a key", "requirements = { cpus", 2),
    ('name = "j"\nretries = "3"', "BC2001", "retries", "a whole number", "retries = 3,", 2),
    ('name = "j"\nretries = 200', "BC2001", "retries", "at most 100", "retries = 3", 2),
    ('name = "j"\nfail_fast = 1', "BC2001", "fail_fast", "true or false", "", 2),
    ('name = "j"\nuser = "rot"', "BC2002", "user", "'rot'", 'mean "root"', 2),
    ('name = "j"\nimage = 2024-01-01', "BC2001", "image", "a text", "", 2),
    ('name = "j"\ntimeout = "1 week"', "BC2001", "timeout", "not a time", "", 2),
    ('name = "j"\ntimeout = -1', "BC2001", "timeout", "above zero", '"30m"', 2),
    ('name = "j"\ncommand = ["x", 1]', "BC2001", "command[1]", "a text", "", 2),
    ('name = "j"\ncommand = "a | b"', "BC2201", "command", "needs a shell", "shell = ", 2),
    ('name = "j"\ncommand = ["a"]\nshell = "b"', "BC2201", "command", "both", "keep one", 2),
    ('name = "j"\nenv = "A=1"', "BC2001", "env", "a table", "NAME", 2),
    ('name = "j"\n[env]\nA = 1', "BC2001", "env.A", "a text", 'write A = "1"', 3),
    ('name = "j"\n[env]\n"A B" = "1"', "BC2200", "env.A B", "not a name", "letters", 3),
    ('name = "j"\n[labels]\na = true', "BC2001", "labels.a", "a text", '"true"', 3),
    ('name = "j"\nsecrets = ["A B"]', "BC2200", "secrets", "not a name", "API_TOKEN", 2),
    ('name = "j"\nsecrets = ["A"]\nenv.A = ""', "BC2203", "secrets", "both", "keep one", 2),
    ('name = "j"\nrequirements = 1', "BC2001", "requirements", "a table", "", 2),
    ('name = "j"\n[requirements]\ncpu = 1', "BC2301", "requirements.cpu", "", '"cpus"', 3),
    ('name = "j"\n[requirements]\ncpus = -1', "BC2001", "requirements.cpus", "", "cpus = 1", 3),
    ('name = "j"\n[requirements]\nmemory = "x"', "BC2001", "requirements.memory", "size", "", 3),
    ('name = "j"\ntasks = "t.csv"', "BC2001", "tasks", "a list", "", 2),
    ('name = "j"\n[[tasks]]\nimage = "x"', "BC2202", "tasks[0].id", "needs id", "id =", 2),
    ('name = "j"\n[[tasks]]\nid = "a b"', "BC2200", "tasks[0].id", "", '"a-b"', 3),
    ('name = "j"\ntasks = ["a"]', "BC2001", "tasks[0]", "a table, not a text", "", 2),
    (
        'name = "j"\n[[tasks]]\nid = "a"\noutputs = ["../out.csv"]',
        "BC2100",
        "tasks[0].outputs[0]",
        "leaves the directory",
        '"out.csv"',
        4,
    ),
    (
        'name = "j"\n[[tasks]]\nid = "a"\n[[tasks.outputs]]\npath = "a"\nwhen = "succes"',
        "BC2002",
        "tasks[0].outputs[0].when",
        "'succes'",
        '"success"',
        6,
    ),
    (
        'name = "j"\n[[resources]]\npath = "a"',
        "BC2202",
        "resources[0].source",
        "exactly one",
        'source = "a"',
        2,
    ),
    (
        'name = "j"\n[[resources]]\npath = "a"\ncontent = "%%"',
        "BC2001",
        "resources[0].content",
        "base64",
        "",
        4,
    ),
    ('name = "j"\nresources = { path = "a" }', "BC2001", "resources", "a list", "[ ]", 2),
    ('name = "j"\n[[mounts]]\npath = "a"\nsource = "b"', "BC2100", "mounts[0].path", "", "", 3),
    (
        'name = "j"\n[[tasks]]\nid = "a"\ndepends_on = [{ task = "b", on = "fail" }]',
        "BC2002",
        "tasks[0].depends_on[0].on",
        "'fail'",
        "success",
        4,
    ),
    ('name = "j"\n[tasks]\nid = "x"', "BC2202", "tasks", "no rows", "[[tasks]]", 2),
    ('name = "j"\n[tasks]\ntable = "a.csv"\nmatrix.a = [1]', "BC2202", "tasks", "both", "", 2),
    ('name = "j"\n[tasks]\ntable = 1', "BC2001", "tasks.table", "name of a file", "", 3),
    ('name = "j"\n[tasks]\ntable = "no.csv"', "BC2302", "tasks.table", "there is no file", "", 3),
    ('name = "j"\n[tasks]\ntable = "t.xml"', "BC2302", "tasks.table", "not a table", ".tsv", 3),
    ('name = "j"\n[tasks]\nmatrix.a = 1', "BC2302", "tasks.matrix.a", "not a list", "[1, 2]", 3),
    (
        'name = "j"\n[tasks]\nmatrix.a = [1]\nmatrx = 1',
        "BC2301",
        "tasks.matrx",
        "not a key",
        '"matrix"',
        4,
    ),
    ('name = "j"\nbackend = "azure"', "BC2001", "backend", "a table", "", 2),
    ('name = "j"\nbackend.azure = 1', "BC2001", "backend.azure", "a table", "", 2),
    ('name = "j"\nbackend.azure.day = 2024-01-01', "BC2001", "backend.azure.day", "", "quotes", 2),
    ('name = "j"\nbackend.azure.x = nan', "BC2001", "backend.azure.x", "finite", "", 2),
]


@pytest.mark.parametrize("case", ONE_PROBLEM, ids=[case[0] for case in ONE_PROBLEM])
def test_a_wrong_file_is_answered_with_code_key_line_and_help(
    tmp_path: Path, case: tuple[str, str, str, str, str, int]
) -> None:
    text, code, key, reason, hint, line = case
    (problem,) = toml(tmp_path, text)
    assert (problem.code, problem.key) == (code, key)
    assert reason in problem.reason
    assert hint in problem.hint
    assert problem.file == f"{tmp_path / 'job.toml'}" + (f":{line}" if line else "")


def test_all_problems_of_a_file_come_at_once_and_in_its_order(tmp_path: Path) -> None:
    text = """
        name = "j j"
        imag = "x"
        secrets = ["A B", "C D"]
        env = { "A B" = "1", C = 1, "D E" = "2" }
        [[tasks]]
        id = "a"
        retries = "x"
        outputs = ["../a", { path = "/b", to = "../c" }, { path = "*", to = "*" }]
        resources = [{ source = "a" }, { path = "b", source = 1, mode = "9" }]
        [[tasks]]
        id = "b b"
        requirements = { cpus = -1, gpus = -1, memory = "x", disc = 1 }
    """
    problems = toml(tmp_path, text)
    lines = [int(problem.file.rsplit(":", 1)[-1]) for problem in problems]
    assert lines == sorted(lines)
    found = [(problem.code, problem.key) for problem in problems]
    assert sorted(found) == sorted(
        [
            ("BC2200", "name"),
            ("BC2301", "imag"),
            ("BC2200", "secrets"),
            ("BC2200", "secrets"),
            ("BC2200", "env.A B"),
            ("BC2001", "env.C"),
            ("BC2200", "env.D E"),
            ("BC2001", "tasks[0].retries"),
            ("BC2100", "tasks[0].outputs[0]"),
            ("BC2100", "tasks[0].outputs[1].path"),
            ("BC2100", "tasks[0].outputs[1].to"),
            ("BC2101", "tasks[0].outputs[2].to"),
            ("BC2202", "tasks[0].resources[0].path"),
            ("BC2001", "tasks[0].resources[1].source"),
            ("BC2001", "tasks[0].resources[1].mode"),
            ("BC2200", "tasks[1].id"),
            ("BC2001", "tasks[1].requirements.cpus"),
            ("BC2001", "tasks[1].requirements.gpus"),
            ("BC2001", "tasks[1].requirements.memory"),
            ("BC2301", "tasks[1].requirements.disc"),
        ]
    )


def test_json_and_toml_have_the_same_problems(tmp_path: Path) -> None:
    data = {"name": "j j", "imag": 1, "tasks": [{"id": "a", "outputs": ["/x"], "retries": "1"}]}
    text = 'name = "j j"\nimag = 1\ntasks = [{ id = "a", outputs = ["/x"], retries = "1" }]'
    in_toml = {(p.code, p.key, p.reason, p.hint) for p in toml(tmp_path, text)}
    in_json = faults(tmp_path / "job.json", json.dumps(data))
    assert {(p.code, p.key, p.reason, p.hint) for p in in_json} == in_toml


@pytest.mark.parametrize(
    ("name", "text", "place", "reason"),
    [
        ("job.toml", 'name = "j"\nimage = ', ":2:9", "TOML"),
        ("job.toml", 'name = "j"\nname = "k"', ":2:11", "TOML"),
        ("job.toml", b'name = "j"\nimage = "\xff"', ":2", "not UTF-8"),
        ("job.json", '{"name": "j",\n "image": }', ":2:11", "JSON"),
        ("job.json", '{"name": "j", "name": "k"}', "", "'name' is there twice"),
        ("job.json", '{"name": "j", "timeout": Infinity}', "", "Infinity"),
        ("job.json", "[" * 100_000, "", "nested too deeply"),
        ("job.json", "[]", "", "not a list"),
        ("job.json", "", ":1:1", "JSON"),
    ],
)
def test_wrong_syntax_is_answered_with_its_place(
    tmp_path: Path, name: str, text: str | bytes, place: str, reason: str
) -> None:
    (problem,) = faults(tmp_path / name, text)
    assert problem.code == "BC2300"
    assert problem.file == f"{tmp_path / name}{place}"
    assert reason in problem.reason


@pytest.mark.parametrize(
    ("line", "variable"),
    [
        ('account_key = "HUSH"', "BATCHCORE_AZURE_ACCOUNT_KEY"),
        ('accountKey = "HUSH"', "BATCHCORE_AZURE_ACCOUNTKEY"),
        ('"connection-string" = "HUSH"', "BATCHCORE_AZURE_CONNECTION_STRING"),
        ('pool.password = "HUSH"', "BATCHCORE_AZURE_POOL_PASSWORD"),
        ('sas = "HUSH"', "BATCHCORE_AZURE_SAS"),
        ('token = ["HUSH"]', "BATCHCORE_AZURE_TOKEN_0"),
        ('client_secret = "HUSH"', "BATCHCORE_AZURE_CLIENT_SECRET"),
        ('url = "https://x.example/c?sv=1&sig=HUSH"', "BATCHCORE_AZURE_URL"),
        ('url = "https://me:HUSH@x.example/"', "BATCHCORE_AZURE_URL"),
        ('store = "AccountName=a;AccountKey=HUSH"', "BATCHCORE_AZURE_STORE"),
    ],
)
def test_a_credential_in_backend_options_is_refused_and_never_shown(
    tmp_path: Path, line: str, variable: str
) -> None:
    path = tmp_path / "job.toml"
    path.write_text(f'name = "j"\n[backend.azure]\n{line}\n')
    with pytest.raises(JobError) as caught:
        load_job(path)
    (problem,) = caught.value.problems
    assert problem.code == "BC2401"
    assert problem.file.endswith(":3")
    assert variable in problem.hint
    assert "HUSH" not in str(caught.value) + repr(problem)


@pytest.mark.parametrize(
    "line",
    ["sas_hours = 26", 'token_lifetime = "1h"', "max_token = 5", "secret = false", 'pool = "key"'],
)
def test_a_setting_about_credentials_is_not_one(tmp_path: Path, line: str) -> None:
    path = tmp_path / "job.toml"
    path.write_text(f'name = "j"\n[backend.azure]\n{line}\n')
    assert load_job(path).job.name == "j"
