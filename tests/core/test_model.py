"""What the user writes: values that are checked when they are built, frozen, and plain data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchcore.errors import JobError
from batchcore.model import Dependency, Job, Mount, Output, Requirements, Resource, Task

# The case, what is built, then the problem: its code, its key, a part of its reason, its hint.
Refusal = tuple[str, Callable[[], object], str, str, str, str]
REFUSALS: list[Refusal] = [
    (
        "a resource outside",
        lambda: Resource("../a", text=""),
        "BC2100",
        "path",
        "leaves the directory",
        'did you mean "a"?',
    ),
    (
        "a resource of nothing",
        lambda: Resource("in/a"),
        "BC2202",
        "source",
        "needs exactly one of source, text and content",
        'write source = "in/a"',
    ),
    (
        "a resource of two things",
        lambda: Resource("a", source="b", text="c"),
        "BC2202",
        "source",
        "not source and text",
        "keep source alone",
    ),
    (
        "a resource of an empty source",
        lambda: Resource("a", source=" "),
        "BC2202",
        "source",
        "has an empty source",
        "",
    ),
    (
        "a mode of letters",
        lambda: Resource("a", text="", mode="rwx"),
        "BC2001",
        "mode",
        "'rwx' is not a file mode",
        'write "0644"',
    ),
    (
        "a mode with setuid",
        lambda: Resource("a", text="", mode="4755"),
        "BC2001",
        "mode",
        "'4755' is not a file mode",
        'write "0644"',
    ),
    (
        "a mode as a number",
        lambda: Resource("a", text="", mode=0o644),
        "BC2001",
        "mode",
        "mode must be a text, not a whole number",
        "",
    ),
    (
        "an output outside",
        lambda: Output("/etc/*"),
        "BC2100",
        "path",
        "is not relative",
        'did you mean "etc/*"?',
    ),
    (
        "an output with a dollar",
        lambda: Output("$HOME/a"),
        "BC2101",
        "path",
        "Azure Batch expands",
        "name the file without a $",
    ),
    (
        "an output with an unclosed bracket",
        lambda: Output("a[b"),
        "BC2101",
        "path",
        "has an unclosed bracket",
        "write [[] for a literal bracket",
    ),
    (
        "a destination outside",
        lambda: Output("a", to="../b"),
        "BC2100",
        "to",
        "leaves the directory",
        'did you mean "b"?',
    ),
    (
        "a destination with a wildcard",
        lambda: Output("a*", to="b*"),
        "BC2101",
        "to",
        "has a wildcard",
        "write a file name, or a directory for a pattern",
    ),
    (
        "a misspelt when",
        lambda: Output("a", when="sucess"),
        "BC2002",
        "when",
        "'sucess' is not a value of when",
        'did you mean "success"?',
    ),
    (
        "a required that is a text",
        lambda: Output("a", required="no"),
        "BC2001",
        "required",
        "required must be true or false, not a text",
        "",
    ),
    (
        "no processor",
        lambda: Requirements(cpus=0),
        "BC2001",
        "requirements.cpus",
        "is not a number of processors",
        "write cpus = 1",
    ),
    (
        "processors that are not a number",
        lambda: Requirements(cpus=float("nan")),
        "BC2001",
        "requirements.cpus",
        "nan is not a number of processors",
        "write cpus = 1",
    ),
    (
        "memory without a unit that is known",
        lambda: Requirements(memory="2 apples"),
        "BC2001",
        "requirements.memory",
        "is not a size",
        'write "512MiB"; the units are KB, MB, GB, TB and KiB, MiB, GiB, TiB',
    ),
    (
        "no disk",
        lambda: Requirements(disk=0),
        "BC2001",
        "requirements.disk",
        "is not a size above zero",
        'write "512MiB"; the units are KB, MB, GB, TB and KiB, MiB, GiB, TiB',
    ),
    (
        "fewer than no GPUs",
        lambda: Requirements(gpus=-1),
        "BC2001",
        "requirements.gpus",
        "-1 is not a number of GPUs",
        "",
    ),
    (
        "a relative mount",
        lambda: Mount("data", "/srv"),
        "BC2100",
        "path",
        "is not an absolute path to mount at",
        'write a path such as "/data"',
    ),
    (
        "a mount over everything",
        lambda: Mount("/", "/srv"),
        "BC2100",
        "path",
        "is not an absolute path to mount at",
        'write a path such as "/data"',
    ),
    (
        "a mount that climbs",
        lambda: Mount("/data/../etc", "/srv"),
        "BC2100",
        "path",
        "is not an absolute path to mount at",
        'write a path such as "/data"',
    ),
    (
        "a mount with a colon",
        lambda: Mount("/data:rw", "/srv"),
        "BC2100",
        "path",
        "is not an absolute path to mount at",
        'write a path such as "/data"',
    ),
    (
        "a mount of nothing",
        lambda: Mount("/data", ""),
        "BC2202",
        "source",
        "has an empty source",
        "name a directory or a store URL",
    ),
    (
        "a misspelt end of a dependency",
        lambda: Dependency("a", on="succes"),
        "BC2002",
        "on",
        "'succes' is not a value of on",
        'did you mean "success"?',
    ),
    (
        "a task id with a space",
        lambda: Task("seed 1"),
        "BC2200",
        "id",
        "'seed 1' is not a task id",
        'did you mean "seed-1"?',
    ),
    ("an empty task id", lambda: Task(""), "BC2200", "id", "'' is not a task id", ""),
    (
        "a long task id",
        lambda: Task("x" * 65),
        "BC2200",
        "id",
        "is not a task id",
        f'did you mean "{"x" * 64}"?',
    ),
    (
        "a task id with a line end",
        lambda: Task("a\n"),
        "BC2200",
        "id",
        "is not a task id",
        'did you mean "a"?',
    ),
    (
        "a job name with a slash",
        lambda: Job("my/job"),
        "BC2200",
        "name",
        "'my/job' is not a job name",
        'did you mean "my-job"?',
    ),
    (
        "a job name that starts with a dot",
        lambda: Job(".job"),
        "BC2200",
        "name",
        "'.job' is not a job name",
        'did you mean "job"?',
    ),
    (
        "a command and a shell line",
        lambda: Task("a", command=["x"], shell="y"),
        "BC2201",
        "command",
        "command and shell are both given",
        "keep one of them",
    ),
    (
        "an empty command",
        lambda: Task("a", command=[]),
        "BC2201",
        "command",
        "is not a command",
        'write command = ["python3", "/worker.py"]',
    ),
    (
        "a command of blanks",
        lambda: Task("a", command="  "),
        "BC2201",
        "command",
        "is not a command",
        'write command = ["python3", "/worker.py"]',
    ),
    (
        "a command with an empty program",
        lambda: Task("a", command=["", "x"]),
        "BC2201",
        "command",
        "is not a command",
        'write command = ["python3", "/worker.py"]',
    ),
    (
        "a command with a number",
        lambda: Task("a", command=["sleep", 3]),
        "BC2201",
        "command",
        "is not a command",
        'write command = ["python3", "/worker.py"]',
    ),
    (
        "a command with a NUL",
        lambda: Task("a", command=["a\0b"]),
        "BC2201",
        "command",
        "has a NUL character",
        "put such data in a file: resources with content",
    ),
    (
        "a command that is not Unicode",
        lambda: Task("a", command=["cat", "\udcff"]),
        "BC2201",
        "command",
        "is not Unicode",
        "put such data in a file: resources with content",
    ),
    (
        "a command with an open quote",
        lambda: Task("a", command="echo 'a"),
        "BC2201",
        "command",
        "cannot be split into words",
        "write the command as a list of words",
    ),
    (
        "an empty shell line",
        lambda: Task("a", shell=" "),
        "BC2201",
        "shell",
        "shell is not a line",
        'write shell = "sort in.csv > out.csv"',
    ),
    (
        "a variable with a dash",
        lambda: Task("a", env={"MY-VAR": "1"}),
        "BC2200",
        "env.MY-VAR",
        "is not a name for a variable",
        "use letters, digits and _; BATCHCORE_ and AZ_BATCH_ are reserved",
    ),
    (
        "a variable of batchcore's",
        lambda: Task("a", env={"BATCHCORE_RUN_ID": "1"}),
        "BC2200",
        "env.BATCHCORE_RUN_ID",
        "cannot be set by a job",
        "use letters, digits and _; BATCHCORE_ and AZ_BATCH_ are reserved",
    ),
    (
        "a variable of Azure's",
        lambda: Job("j", env={"AZ_BATCH_TASK_ID": "1"}),
        "BC2200",
        "env.AZ_BATCH_TASK_ID",
        "cannot be set by a job",
        "use letters, digits and _; BATCHCORE_ and AZ_BATCH_ are reserved",
    ),
    (
        "a number as a variable's value",
        lambda: Task("a", env={"SEED": 12}),
        "BC2001",
        "env.SEED",
        "SEED = 12 is not a text",
        'write SEED = "12"',
    ),
    (
        "a variable with a NUL",
        lambda: Task("a", env={"A": "b\0"}),
        "BC2001",
        "env.A",
        "is not a text",
        "write a text without a NUL character",
    ),
    (
        "a label that is a number",
        lambda: Task("a", labels={"seed": 1}),
        "BC2001",
        "labels[...]",
        "must be a text, not a whole number",
        "",
    ),
    (
        "a time without a unit that is known",
        lambda: Task("a", timeout="soon"),
        "BC2001",
        "timeout",
        "'soon' is not a time",
        'write "30m"; the units are s, m, h and d',
    ),
    (
        "no time",
        lambda: Job("j", grace=0),
        "BC2001",
        "grace",
        "0 is not a time above zero",
        'write "30m"; the units are s, m, h and d',
    ),
    (
        "fewer than no retries",
        lambda: Task("a", retries=-1),
        "BC2001",
        "retries",
        "retries must be at least 0",
        "",
    ),
    (
        "retries without end",
        lambda: Task("a", interruptions=101),
        "BC2001",
        "interruptions",
        "interruptions must be at most 100",
        "",
    ),
    (
        "no task in parallel",
        lambda: Job("j", max_parallel=0),
        "BC2001",
        "max_parallel",
        "max_parallel must be at least 1",
        "",
    ),
    (
        "another user",
        lambda: Task("a", user="nobody"),
        "BC2002",
        "user",
        "'nobody' is not a value of user",
        "known: caller, root",
    ),
    (
        "outputs that are one text",
        lambda: Task("a", outputs="result.csv"),
        "BC2001",
        "outputs",
        "outputs must be a list",
        "write outputs = […]",
    ),
    (
        "dependencies that are one text",
        lambda: Task("a", depends_on="b"),
        "BC2001",
        "depends_on",
        "depends_on must be a list",
        "write depends_on = […]",
    ),
    (
        "a resource that is a text",
        lambda: Task("a", resources=["in.csv"]),
        "BC2001",
        "resources[0]",
        "must be a Resource, not a text",
        "",
    ),
    (
        "an output among the resources",
        lambda: Task("a", resources=[Output("b")]),
        "BC2001",
        "resources[0]",
        "must be a Resource, not Output",
        "",
    ),
    (
        "a task that is an id",
        lambda: Job("j", tasks=[Task("a"), "b"]),
        "BC2001",
        "tasks[1]",
        "must be a Task, not a text",
        "",
    ),
    (
        "an image that is a number",
        lambda: Job("j", image=3),
        "BC2001",
        "image",
        "image must be a text, not a whole number",
        "",
    ),
    (
        "a secret with its value",
        lambda: Task("a", secrets=["TOKEN=CANARY"]),
        "BC2200",
        "secrets",
        "this is not a name",
        'write secrets = ["API_TOKEN"] and export API_TOKEN',
    ),
    (
        "secrets with their values",
        lambda: Task("a", secrets={"TOKEN": "CANARY"}),
        "BC2001",
        "secrets",
        "secrets must be a list",
        "write secrets = […]",
    ),
    (
        "a secret that is one text",
        lambda: Task("a", secrets="CANARY"),
        "BC2001",
        "secrets",
        "secrets must be a list",
        "write secrets = […]",
    ),
    (
        "a secret that is in env too",
        lambda: Task("a", secrets=["TOKEN"], env={"TOKEN": "CANARY"}),
        "BC2203",
        "secrets",
        "TOKEN is both a secret and in env",
        "keep one",
    ),
]


@pytest.mark.parametrize("case", REFUSALS, ids=[case[0] for case in REFUSALS])
def test_a_wrong_value_is_refused_when_it_is_built(problems_of, case: Refusal) -> None:
    _, build, code, key, reason, hint = case
    (problem,) = problems_of(build)
    assert (problem.code, problem.key, problem.hint) == (code, key, hint)
    assert reason in problem.reason
    assert "CANARY" not in str(problem)


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("python3 /worker.py", ["python3", "/worker.py"]),
        ("python3 /worker.py --seed 12", ["python3", "/worker.py", "--seed", "12"]),
        ("echo 'two words' \"and two\"", ["echo", "two words", "and two"]),
        (r"echo a\ b", ["echo", "a b"]),
        ("worker --name=x,y:z@1%2+3", ["worker", "--name=x,y:z@1%2+3"]),
        ("echo ''", ["echo", ""]),
    ],
)
def test_a_plain_line_is_split_into_words(line: str, argv: list[str]) -> None:
    assert Task("a", command=line).argv == tuple(argv)


@pytest.mark.parametrize(
    "line",
    [
        "a | b",
        "a && b",
        "a; b",
        "a > b",
        "a < b",
        "echo $HOME",
        "echo `date`",
        "ls *.csv",
        "ls a?",
        "cat ~/a",
        "(a)",
        "a # b",
        "a\nb",
        "echo {a,b}",
        "! a",
    ],
)
def test_a_line_that_needs_a_shell_is_refused_with_the_fix(problems_of, line: str) -> None:
    (problem,) = problems_of(Task, "a", command=line)
    assert (problem.code, problem.key) == ("BC2201", "command")
    assert "needs a shell" in problem.reason
    assert problem.hint == f"write shell = {line!r}, or the command as a list of words"


def test_words_of_a_list_are_passed_as_given() -> None:
    words = ["echo", "$HOME", "a b", "*", "", "'", "ü", "\n"]
    assert Task("a", command=words).argv == tuple(words)


def test_a_shell_line_is_run_by_the_shell_and_by_nothing_else() -> None:
    assert Task("a", shell="sort < in > out").argv == ("/bin/sh", "-c", "sort < in > out")


def test_a_task_without_a_command_leaves_it_to_the_job() -> None:
    assert Task("a").argv is None


def test_a_plain_text_is_short_for_an_output_and_a_dependency() -> None:
    task = Task("b", outputs=["out.csv", Output("log")], depends_on=["a", Dependency("c", "any")])
    assert task.output_values == (Output("out.csv"), Output("log"))
    assert task.dependencies == (Dependency("a", "success"), Dependency("c", "any"))


def test_paths_become_nfc() -> None:
    assert Resource("e\u0301", text="").path == "é"
    assert Output("e\u0301*").path == "é*"
    assert Output("a", to="e\u0301").to == "é"


def test_times_become_seconds_and_sizes_bytes() -> None:
    task = Task("a", timeout="30m", grace="5s", requirements=Requirements(memory="2GiB", disk="1G"))
    assert (task.timeout, task.grace) == (1800.0, 5.0)
    assert (task.requirements.memory_bytes, task.requirements.disk) == (2**31, 2**30)


def test_a_mount_point_has_one_spelling() -> None:
    assert Mount("//data//in/", "/srv").path == "/data/in"


def test_a_pathlib_path_may_stand_for_its_text() -> None:
    assert Resource(Path("in/a"), source=Path("/srv/a")) == Resource("in/a", source="/srv/a")


def test_any_iterable_is_a_list_of_tasks() -> None:
    job = Job("j", tasks=(Task(f"t{n}") for n in range(3)))
    assert [task.id for task in job.tasks] == ["t0", "t1", "t2"]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Resource("a", text=""), "text"),
        (Output("a"), "to"),
        (Requirements(), "cpus"),
        (Mount("/a", "b"), "source"),
        (Dependency("a"), "on"),
        (Task("a"), "id"),
        (Job("a"), "name"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_value_is_frozen(value: object, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(value, name, "other")


def test_a_value_does_not_change_with_what_it_was_built_from() -> None:
    env, labels = {"SEED": "1"}, {"n": "1"}
    outputs: list[Output | str] = ["a"]
    options: dict[str, Any] = {"azure": {}}
    task = Task("a", env=env, labels=labels, outputs=outputs)
    job = Job("j", tasks=[task], backend_options=options)
    env["SEED"] = labels["n"] = "2"
    outputs.append("b")
    options["local"] = {}
    assert (task.env, task.labels) == ({"SEED": "1"}, {"n": "1"})
    assert task.output_values == (Output("a"),)
    assert list(job.backend_options) == ["azure"]


def test_with_task_returns_another_job_with_the_task_at_its_end() -> None:
    first = Job("j", image="worker:v1", tasks=[Task("a")])
    second = first.with_task("b", command=["x"], outputs=["out"])
    assert [task.id for task in first.tasks] == ["a"]
    assert second == Job(
        "j", image="worker:v1", tasks=[Task("a"), Task("b", command=["x"], outputs=["out"])]
    )


def test_with_tasks_adds_many_at_once() -> None:
    job = Job("j").with_tasks(Task(f"t{n}") for n in range(3))
    assert [task.id for task in job.tasks] == ["t0", "t1", "t2"]


def test_with_tasks_checks_what_it_is_given(problems_of) -> None:
    (problem,) = problems_of(Job("j").with_tasks, ["a"])
    assert (problem.code, problem.key) == ("BC2001", "tasks[0]")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="comand"):
        Task("a", comand=["x"])
    with pytest.raises(msgspec.ValidationError, match="comand"):
        msgspec.json.decode(b'{"id": "a", "comand": ["x"]}', type=Task)


NAMES = st.from_regex(r"[A-Z][A-Z_]{0,5}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
FILES = st.from_regex(r"[a-z]{1,5}(/[a-zé]{1,5}){0,2}", fullmatch=True)
TIMES = st.none() | st.floats(0.1, 1e6) | st.sampled_from(["5s", "1h"])
RESOURCES = st.one_of(
    st.builds(Resource, FILES, source=st.just("a.csv"), mode=st.sampled_from([None, "755"])),
    st.builds(Resource, FILES, text=TEXTS),
    st.builds(Resource, FILES, content=st.binary(max_size=8)),
)
OUTPUTS = FILES | st.builds(
    Output,
    FILES | st.sampled_from(["*", "**/*.csv"]),
    to=st.none() | FILES,
    when=st.sampled_from(["success", "failure", "always"]),
    required=st.booleans(),
)
SHARED = {
    "image": st.none() | st.just("worker:v1"),
    "env": st.dictionaries(NAMES, TEXTS, max_size=2),
    "requirements": st.builds(
        Requirements,
        cpus=st.none() | st.integers(1, 9) | st.floats(0.1, 9),
        memory=st.none() | st.integers(1, 2**40) | st.just("1GiB"),
        gpus=st.none() | st.integers(0, 4),
    ),
    "timeout": TIMES,
    "grace": TIMES,
    "retries": st.none() | st.integers(0, 100),
    "interruptions": st.none() | st.integers(0, 100),
    "resources": st.lists(RESOURCES, max_size=2),
    "outputs": st.lists(OUTPUTS, max_size=2),
    "mounts": st.lists(st.builds(Mount, st.just("/m"), st.just("s"), st.booleans()), max_size=1),
    "labels": st.dictionaries(TEXTS, TEXTS, max_size=2),
    "user": st.sampled_from([None, "caller", "root"]),
}
COMMANDS = st.one_of(
    st.just({}),
    st.lists(TEXTS.filter(bool), min_size=1, max_size=3).map(lambda words: {"command": words}),
    TEXTS.filter(str.strip).map(lambda line: {"shell": line}),
)
TASKS = st.builds(
    lambda id_, links, command, fields: Task(id_, depends_on=links, **command, **fields),
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
    st.lists(st.just("a") | st.builds(Dependency, st.just("b"), st.just("any")), max_size=2),
    COMMANDS,
    st.fixed_dictionaries({}, optional=SHARED),
)
JOBS = st.builds(
    lambda tasks, limit, command, fields: Job(
        "job", tasks=tasks, max_parallel=limit, **command, **fields
    ),
    st.lists(TASKS, max_size=3),
    st.none() | st.integers(1, 9),
    COMMANDS,
    st.fixed_dictionaries({}, optional=SHARED),
)


@given(JOBS)
@settings(max_examples=60, deadline=None)
def test_every_job_is_read_back_equal_from_json(job: Job) -> None:
    text = msgspec.json.encode(job)
    again = msgspec.json.decode(text, type=Job)
    assert again == job
    assert msgspec.json.encode(again) == text


@pytest.mark.parametrize(
    "source",
    [
        "https://host.example/file?sv=1&sig=CANARY",
        "https://user:CANARY@host.example/file",
        "az://x?AccountKey=CANARY",
    ],
)
def test_a_source_with_a_credential_is_refused_and_not_shown(source: str) -> None:
    with pytest.raises(JobError, match="carries a credential") as caught:
        Resource("in", source=source)
    assert caught.value.error_code == "BC2401"
    assert "CANARY" not in str(caught.value)
