"""A job written as text and read back is the same job, whatever is in it."""

import json
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore import paths
from batchcore.errors import JobError
from batchcore.jobfile import dump_job, job_schema, load_job
from batchcore.model import Dependency, Job, Mount, Output, Requirements, Resource, Task

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: not name.startswith(("BATCHCORE_", "AZ_BATCH_"))
)
TASK_ID = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)


def is_path(text: str) -> bool:
    try:
        paths.safe_pattern(text, "path")
    except JobError:
        return False
    return not paths.has_wildcard(text)


LETTERS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\*?[$~:"), max_size=6
)
SEGMENT = LETTERS.map(lambda text: text + "e\u0301x")  # not NFC: the model normalises
PATH = st.lists(SEGMENT, min_size=1, max_size=2).map("/".join).filter(is_path)
PATTERN = st.sampled_from(["*", "a/**/*.csv", "[!a]?", "x[0-9]"])
SECONDS = st.none() | st.integers(1, 10**6) | st.floats(0.001, 1e6) | st.sampled_from(["30m", "2h"])
SIZE = st.none() | st.integers(1, 2**40) | st.sampled_from(["512MiB", "2G"])
COUNT = st.none() | st.integers(0, 100)
TEXTS = st.dictionaries(NAME, TEXT, max_size=3)
RESOURCES = st.lists(
    st.builds(Resource, PATH, source=TEXT.filter(str.strip))
    | st.builds(Resource, PATH, text=TEXT, mode=st.sampled_from([None, "0644", "755"]))
    | st.builds(Resource, PATH, content=st.binary(max_size=20)),
    max_size=2,
)
OUTPUTS = st.lists(
    PATH
    | st.builds(
        Output,
        PATH | PATTERN,
        to=st.none() | PATH,
        when=st.sampled_from(["success", "failure", "always"]),
        required=st.booleans(),
    ),
    max_size=2,
)
MOUNTS = st.builds(Mount, st.just("/data"), TEXT.filter(str.strip), read_only=st.booleans())
REQUIREMENTS = st.builds(
    Requirements,
    cpus=st.none() | st.floats(0.01, 100) | st.integers(1, 64),
    memory=SIZE,
    disk=SIZE,
    gpus=st.none() | st.integers(0, 8),
)
PLAIN = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("size"), inner),
    max_leaves=4,
)
OPTIONS = st.dictionaries(
    st.sampled_from(["azure", "local-docker"]), st.dictionaries(st.just("pool"), PLAIN)
)


@st.composite
def shared(draw: st.DrawFn) -> dict[str, Any]:
    """Draw some of the fields that a task and a job have in common."""
    env = draw(TEXTS)
    fields: dict[str, Any] = {
        "image": draw(st.none() | st.sampled_from(["python:3.12", "x.example:5000/ü@sha256:0"])),
        "env": env,
        "secrets": [name for name in draw(st.lists(NAME, max_size=2)) if name not in env],
        "labels": draw(st.dictionaries(TEXT, TEXT, max_size=2)),
        "requirements": draw(REQUIREMENTS),
        "timeout": draw(SECONDS),
        "grace": draw(SECONDS),
        "retries": draw(COUNT),
        "interruptions": draw(COUNT),
        "resources": draw(RESOURCES),
        "outputs": draw(OUTPUTS),
        "mounts": draw(st.lists(MOUNTS, max_size=1)),
        "user": draw(st.sampled_from([None, "caller", "root"])),
    }
    kind = draw(st.sampled_from(["none", "command", "line", "shell"]))
    if kind == "command":
        fields["command"] = ["run", *draw(st.lists(TEXT, max_size=3))]
    elif kind == "line":
        fields["command"] = 'run --name "a b"'
    elif kind == "shell":
        fields["shell"] = draw(TEXT.filter(str.strip))
    return fields


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Draw a job with up to three tasks."""
    links = st.lists(
        TASK_ID | st.builds(Dependency, TASK_ID, on=st.sampled_from(["success", "any"])), max_size=2
    )
    tasks = [
        Task(draw(TASK_ID), depends_on=draw(links), **draw(shared()))
        for _ in range(draw(st.integers(0, 3)))
    ]
    return Job(
        draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True)),
        tasks=tasks,
        backend_options=draw(OPTIONS),
        max_parallel=draw(st.none() | st.integers(1, 99)),
        fail_fast=draw(st.booleans()),
        **draw(shared()),
    )


def read(text: str, suffix: str) -> Job:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"job{suffix}")
        path.write_text(text, encoding="utf-8")
        return load_job(path).job


def as_toml(value: Any) -> str:
    """Write plain data as an inline TOML value; JSON's texts are TOML's but for DEL."""
    if isinstance(value, dict):
        items = (f"{as_toml(key)} = {as_toml(inner)}" for key, inner in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@given(jobs())
def test_a_dumped_job_is_read_back_equal(job: Job) -> None:
    assert read(dump_job(job), ".json") == job


@given(jobs())
def test_the_same_data_in_toml_gives_the_same_job(job: Job) -> None:
    data = json.loads(dump_job(job))
    text = "\n".join(f"{key} = {as_toml(value)}" for key, value in data.items())
    assert read(text, ".toml") == job


@given(jobs())
def test_the_published_schema_accepts_every_dumped_job(job: Job) -> None:
    jsonschema.Draft202012Validator(job_schema()).validate(json.loads(dump_job(job)))


def test_a_dump_starts_with_its_schema_and_name_and_leaves_defaults_out() -> None:
    assert dump_job(Job("j", tasks=[Task("a", image="ü")])) == (
        '{\n  "schema": 1,\n  "name": "j",\n  "tasks": [\n'
        '    {\n      "id": "a",\n      "image": "ü"\n    }\n  ]\n}\n'
    )


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"account_key": "HUSH"}, "BC2401"),
        ({"x": float("nan")}, "BC2001"),
        ({"x": {"y": [object()]}}, "BC2001"),
    ],
)
def test_what_a_job_file_must_not_or_cannot_say_is_not_dumped(
    options: dict[str, Any], code: str
) -> None:
    with pytest.raises(JobError) as caught:
        dump_job(Job("j", backend_options={"azure": options}))
    assert caught.value.problems[0].code == code
    assert "HUSH" not in str(caught.value)


def test_a_text_that_is_not_unicode_is_not_dumped() -> None:
    with pytest.raises(JobError, match="not Unicode"):
        dump_job(Job("j", labels={"a": "\udcff"}))
