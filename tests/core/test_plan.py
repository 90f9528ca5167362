"""From a job to a plan: defaults merged, files expanded, every problem found, hashes fixed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchcore.errors import JobError, Problem
from batchcore.model import Dependency, Job, Mount, Output, Requirements, Resource, Task
from batchcore.plan import Plan, PlannedTask, plan_job


@pytest.fixture
def plan(tmp_path: Path) -> Callable[[Job], Plan]:
    return lambda job: plan_job(job, base=tmp_path)


@pytest.fixture
def task_of(plan) -> Callable[..., PlannedTask]:
    """Return a function that plans one task, of a job with these defaults."""

    def planned(job: dict[str, Any] | None = None, **task: Any) -> PlannedTask:
        fields = {"command": ["work"], **(job or {})}
        return plan(Job("j", tasks=[Task("a", **task)], **fields)).tasks[0]

    return planned


@pytest.fixture
def problems(problems_of, tmp_path: Path) -> Callable[[Job], list[Problem]]:
    return lambda job: problems_of(plan_job, job, base=tmp_path)


def job_of(*tasks: Task, **fields: Any) -> Job:
    return Job("j", tasks=tasks, **{"command": ["work"], **fields})


def brief(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.code, problem.key) for problem in problems]


# What a job says for all of its tasks.


@pytest.mark.parametrize(
    ("field", "default", "job", "task"),
    [
        ("image", None, "a:1", "b:1"),
        ("timeout", None, 60.0, 30.0),
        ("grace", 10.0, 60.0, 30.0),
        ("retries", 0, 3, 0),
        ("interruptions", 5, 3, 0),
        ("user", "caller", "root", "caller"),
    ],
)
def test_a_single_value_of_the_task_wins(
    task_of, field: str, default: object, job: object, task: object
) -> None:
    found = [
        task_of(),
        task_of(job={field: job}),
        task_of(**{field: task}),
        task_of(job={field: job}, **{field: task}),
    ]
    assert [getattr(planned, field) for planned in found] == [default, job, task, task]


@pytest.mark.parametrize(
    ("job", "task", "argv"),
    [
        ({"command": ["a"]}, {}, ("a",)),
        ({"command": ["a"]}, {"command": ["b"]}, ("b",)),
        ({"command": ["a"]}, {"shell": "b"}, ("/bin/sh", "-c", "b")),
        ({"command": None, "shell": "a"}, {"command": ["b"]}, ("b",)),
    ],
)
def test_the_command_of_the_task_wins_in_either_form(
    task_of, job: dict[str, Any], task: dict[str, Any], argv: tuple[str, ...]
) -> None:
    assert task_of(job=job, **task).command == argv


@pytest.mark.parametrize("field", ["env", "labels"])
def test_tables_are_merged_key_by_key(task_of, field: str) -> None:
    found = task_of(job={field: {"A": "1", "B": "1"}}, **{field: {"B": "2", "C": "2"}})
    assert getattr(found, field) == {"A": "1", "B": "2", "C": "2"}


def test_requirements_are_merged_one_by_one(task_of) -> None:
    found = task_of(
        job={"requirements": Requirements(cpus=1, memory="1GiB", gpus=1)},
        requirements=Requirements(cpus=2, disk="5GiB", gpus=0),
    )
    assert found.requirements == Requirements(cpus=2, memory=2**30, disk=5 * 2**30, gpus=0)


def test_secrets_are_joined_without_doubles(task_of) -> None:
    assert task_of(job={"secrets": ["A", "B"]}, secrets=["B", "C"]).secrets == ("A", "B", "C")


def test_resources_are_joined_and_the_task_replaces_by_path(task_of) -> None:
    found = task_of(
        job={"resources": [Resource("a", text="job"), Resource("b", text="job")]},
        resources=[Resource("b", text="task"), Resource("c", text="task")],
    )
    assert {file.path: file.content for file in found.files} == {
        "a": b"job",
        "b": b"task",
        "c": b"task",
    }


def test_a_resource_that_every_task_replaces_need_not_exist(task_of) -> None:
    found = task_of(
        job={"resources": [Resource("a", source="missing")]}, resources=[Resource("a", text="x")]
    )
    assert [file.content for file in found.files] == [b"x"]


def test_outputs_are_joined_and_the_task_replaces_by_path(task_of) -> None:
    found = task_of(
        job={"outputs": ["a", Output("b", when="always")]}, outputs=[Output("b", to="x"), "c"]
    )
    assert {output.path: (output.to, output.when) for output in found.outputs} == {
        "a": ("a/a", "success"),
        "b": ("x", "success"),
        "c": ("a/c", "success"),
    }


def test_mounts_are_joined_and_the_task_replaces_by_path(task_of) -> None:
    found = task_of(
        job={"mounts": [Mount("/a", "/job"), Mount("/b", "/job")]}, mounts=[Mount("/b/", "/task")]
    )
    assert [(mount.path, mount.source) for mount in found.mounts] == [
        ("/a", "/job"),
        ("/b", "/task"),
    ]


def test_two_globs_may_fill_one_directory(task_of, tmp_path: Path) -> None:
    for name in ("one/a.csv", "two/b.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    found = task_of(
        resources=[Resource("in", source="one/*.csv"), Resource("in", source="two/*.csv")]
    )
    assert [file.path for file in found.files] == ["in/a.csv", "in/b.csv"]


def test_one_file_may_be_collected_to_two_places(task_of) -> None:
    found = task_of(outputs=[Output("a", to="x"), Output("a", to="y")])
    assert [output.to for output in found.outputs] == ["x", "y"]


@pytest.mark.parametrize(
    ("path", "to", "is_pattern"),
    [
        ("out.csv", "a/out.csv", False),
        ("sub/out.csv", "a/sub/out.csv", False),
        ("*.csv", "a", True),
        ("sub/*.csv", "a", True),
    ],
)
def test_an_output_goes_below_the_id_of_its_task_by_default(
    task_of, path: str, to: str, is_pattern: bool
) -> None:
    (output,) = task_of(outputs=[path]).outputs
    assert (output.to, output.is_pattern) == (to, is_pattern)


def test_what_is_for_the_whole_job_is_kept(plan) -> None:
    found = plan(
        job_of(Task("a"), max_parallel=3, fail_fast=True, backend_options={"azure": {"x": 1}})
    )
    assert (found.name, found.max_parallel, found.fail_fast) == ("j", 3, True)
    assert found.backend_options == {"azure": {"x": 1}}


def test_a_plan_is_read_back_equal_from_json(plan) -> None:
    found = plan(
        job_of(
            Task("a", resources=[Resource("x", content=b"\0\xff")], outputs=["*.csv"]),
            Task("b", depends_on=[Dependency("a", "any")], requirements=Requirements(cpus=2)),
        )
    )
    assert msgspec.json.decode(msgspec.json.encode(found), type=Plan) == found


def test_relative_sources_start_at_the_current_directory_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").write_text("x")
    monkeypatch.chdir(tmp_path)
    found = plan_job(job_of(Task("a", resources=[Resource("in", source="in")])))
    assert found.base == str(tmp_path)


# What is wrong.


def test_a_job_needs_a_task(problems) -> None:
    assert brief(problems(job_of())) == [("BC2202", "tasks")]


def test_a_task_needs_a_command(problems) -> None:
    found = problems(Job("j", tasks=[Task("a", command=["x"]), Task("b")]))
    assert brief(found) == [("BC2202", "tasks[1].command")]
    assert found[0].reason == "task 'b' has no command"


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (["a", "a"], "task id 'a' is taken"),
        (["A", "a"], "task id 'a' is taken by 'A': case does not count"),
    ],
)
def test_two_tasks_cannot_have_one_id(problems, ids: list[str], reason: str) -> None:
    found = problems(job_of(*(Task(id_) for id_ in ids)))
    assert brief(found) == [("BC2203", "tasks[1].id")]
    assert found[0].reason == reason


def test_the_id_that_is_proposed_instead_is_a_task_id(problems) -> None:
    tasks = [Task(f"t{n}") for n in range(2000)] + [Task("x" * 64), Task("x" * 64)]
    (problem,) = problems(job_of(*tasks))
    Task(problem.hint.split('"')[1])


@pytest.mark.parametrize(
    ("one", "other", "key"),
    [
        (Resource("a", text="1"), Resource("a", text="2"), "resources[a].path"),
        (Resource("a", text="1"), Resource("a", text="1"), "resources[a].path"),
        (Resource("A", text="1"), Resource("a", text="2"), "resources[a].path"),
        (Resource("a", text="1"), Resource("a/b", text="2"), "resources[a/b].path"),
        (Resource("a/b", text="1"), Resource("a", text="2"), "resources[a].path"),
        (Resource("A/b", text="1"), Resource("a", text="2"), "resources[a].path"),
    ],
    ids=["same", "equal", "case", "below", "above", "above by case"],
)
def test_two_resources_cannot_be_in_one_place(
    problems, one: Resource, other: Resource, key: str
) -> None:
    assert brief(problems(job_of(Task("a", resources=[one, other])))) == [
        ("BC2203", f"tasks[0].{key}")
    ]


def test_a_directory_and_a_file_of_it_cannot_both_be_resources(problems, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_text("x")
    resources = [Resource("in", source="tree"), Resource("in/a", text="y")]
    found = problems(job_of(Task("t", resources=resources)))
    assert brief(found) == [("BC2203", "tasks[0].resources[in/a].path")]


@pytest.mark.parametrize(
    ("one", "other", "index"),
    [
        (Output("x", to="out"), Output("y", to="out"), 1),
        (Output("x", to="Out"), Output("y", to="out"), 1),
        (Output("x", to="out"), Output("y", to="out/y"), 1),
        (Output("x", to="out/x"), Output("y", to="out"), 0),
        (Output("x", to="out"), Output("*.csv", to="out"), 1),
        (Output("*.csv", to="out/sub"), Output("y", to="out"), 0),
    ],
    ids=["same", "case", "below", "above", "pattern at", "pattern below"],
)
def test_outputs_of_two_tasks_cannot_be_in_one_place(
    problems, one: Output, other: Output, index: int
) -> None:
    found = problems(job_of(Task("a", outputs=[one]), Task("b", outputs=[other])))
    assert brief(found) == [("BC2203", f"tasks[{index}].outputs")]
    assert found[0].hint == "give each output a place of its own; the default is <task id>/<path>"


def test_two_patterns_may_fill_one_directory(plan) -> None:
    plan(
        job_of(
            Task("a", outputs=[Output("*.csv", to="all")]),
            Task("b", outputs=[Output("*", to="all")]),
        )
    )


def test_a_default_destination_of_the_job_is_one_place_for_all_tasks(problems) -> None:
    found = problems(job_of(Task("a"), Task("b"), outputs=[Output("x", to="out")]))
    assert brief(found) == [("BC2203", "tasks[1].outputs")]


def test_a_dependency_that_is_missing_comes_with_one_that_could_be_meant(problems) -> None:
    found = problems(job_of(Task("prepare"), Task("b", depends_on=["prepair"])))
    assert brief(found) == [("BC2204", "tasks[1].depends_on")]
    assert found[0].reason == "task 'b' waits for 'prepair', which is not in the job"
    assert found[0].hint == 'did you mean "prepare"?'


@pytest.mark.parametrize(
    ("links", "cycle"),
    [
        ({"a": ["a"]}, "a -> a"),
        ({"a": ["b"], "b": ["a"]}, "a -> b -> a"),
        ({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, "a -> b -> c -> a"),
    ],
)
def test_tasks_that_wait_for_each_other_are_named(
    problems, links: dict[str, list[str]], cycle: str
) -> None:
    found = problems(job_of(*(Task(id_, depends_on=on) for id_, on in links.items())))
    assert brief(found) == [("BC2204", "tasks")]
    assert found[0].reason == f"tasks wait for each other: {cycle}"


def test_a_diamond_is_no_cycle(plan) -> None:
    plan(
        job_of(
            Task("a"),
            Task("b", depends_on=["a"]),
            Task("c", depends_on=["a"]),
            Task("d", depends_on=["b", "c"]),
        )
    )


CHAIN = 50_000


@pytest.fixture(scope="module")
def links() -> list[Task]:
    """Tasks that each wait for the one before, the last first: a walk starts at the far end."""
    return [Task(f"t{n}", depends_on=[f"t{n - 1}"]) for n in range(CHAIN, 0, -1)]


def test_a_chain_of_50000_tasks_is_planned(plan, links: list[Task]) -> None:
    assert len(plan(job_of(*links, Task("t0"))).tasks) == CHAIN + 1


def test_a_ring_of_50000_tasks_is_refused_in_a_line_that_can_be_read(
    problems, links: list[Task]
) -> None:
    (problem,) = problems(job_of(*links, Task("t0", depends_on=[f"t{CHAIN}"])))
    assert problem.code == "BC2204"
    assert len(problem.reason) < 200


def test_a_name_cannot_be_a_secret_of_the_task_and_a_variable_of_the_job(problems) -> None:
    found = problems(job_of(Task("a", secrets=["TOKEN"]), env={"TOKEN": "CANARY"}))
    assert brief(found) == [("BC2203", "tasks[0].secrets")]
    assert "CANARY" not in str(found[0])


def test_two_mounts_cannot_be_at_one_place(problems) -> None:
    found = problems(job_of(Task("a", mounts=[Mount("/m", "/a"), Mount("/m/", "/b")])))
    assert brief(found) == [("BC2203", "tasks[0].mounts")]


def test_all_problems_are_found_at_once_with_their_file_and_key(tmp_path: Path) -> None:
    job = Job(
        "j",
        tasks=[
            Task("a", command=["x"], resources=[Resource("in", source="missing")]),
            Task("A", outputs=["x"]),
            Task("c", command=["x"], depends_on=["nobody"], outputs=[Output("x", to="A/x")]),
        ],
    )
    with pytest.raises(JobError) as caught:
        plan_job(job, base=tmp_path, origin="job.toml")
    assert sorted(brief(caught.value.problems)) == [
        ("BC2202", "tasks[1].command"),
        ("BC2203", "tasks[1].id"),
        ("BC2203", "tasks[2].outputs"),
        ("BC2204", "tasks[2].depends_on"),
        ("BC2205", "tasks[0].resources[in].source"),
    ]
    assert {problem.file for problem in caught.value.problems} == {"job.toml"}


def test_a_problem_with_what_tasks_share_is_told_once(problems) -> None:
    tasks = [Task(f"t{n}") for n in range(5)]
    found = problems(job_of(*tasks, resources=[Resource("in", source="missing")]))
    assert brief(found) == [("BC2205", "resources[in].source")]


def test_a_url_that_tasks_share_is_looked_up_once(plan, site) -> None:
    url = site.put("a", b"x")
    resource = Resource("a", source=url)
    site.requests.clear()
    plan(job_of(*(Task(f"t{n}", resources=[resource]) for n in range(5))))
    assert len(site.requests) == 1


# The hash that says whether two plans are the same work.


def test_the_hash_does_not_depend_on_where_the_files_are(tmp_path: Path) -> None:
    hashes = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "in").write_text("content")
        job = job_of(Task("a", resources=[Resource("in", source="in")]))
        hashes.add(plan_job(job, base=tmp_path / name).spec_hash)
    inline = job_of(Task("a", resources=[Resource("in", text="content")]))
    hashes.add(plan_job(inline, base=tmp_path).spec_hash)
    assert len(hashes) == 1


def test_the_hash_does_not_depend_on_the_order_of_a_table(plan) -> None:
    one = plan(job_of(Task("a", env={"A": "1", "B": "2"})))
    other = plan(job_of(Task("a", env={"B": "2", "A": "1"})))
    assert one.spec_hash == other.spec_hash


def test_the_hash_does_not_depend_on_how_a_value_is_spelt(plan) -> None:
    one = job_of(Task("a", timeout="1m", requirements=Requirements(cpus=2, memory="1GiB")))
    other = job_of(Task("a", timeout=60, requirements=Requirements(cpus=2.0, memory=2**30)))
    assert plan(one).spec_hash == plan(other).spec_hash
    read = msgspec.json.decode(msgspec.json.encode(one), type=Job)
    assert plan(read).spec_hash == plan(one).spec_hash


@pytest.mark.parametrize(
    "fields",
    [
        {"retries": 3},
        {"interruptions": 3},
        {"labels": {"a": "b"}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_cannot_change_the_result_does_not_change_the_hash(
    plan, fields: dict[str, Any]
) -> None:
    assert plan(job_of(Task("a", **fields))).spec_hash == plan(job_of(Task("a"))).spec_hash


@pytest.mark.parametrize(
    "fields",
    [
        {"command": ["other"]},
        {"shell": "work"},
        {"image": "b:1"},
        {"env": {"A": "1"}},
        {"secrets": ["A"]},
        {"requirements": Requirements(memory="1GiB")},
        {"timeout": 60},
        {"user": "root"},
        {"outputs": ["out"]},
        {"mounts": [Mount("/a", "/b")]},
        {"resources": [Resource("a", text="1")]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_can_change_the_result_changes_the_hash(plan, fields: dict[str, Any]) -> None:
    assert plan(job_of(Task("a", **fields))).spec_hash != plan(job_of(Task("a"))).spec_hash


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Resource("a", text="1"), Resource("a", text="2")),
        (Resource("a", text="1"), Resource("b", text="1")),
        (Resource("a", text="1"), Resource("a", text="1", mode="755")),
    ],
    ids=["content", "path", "mode"],
)
def test_every_part_of_a_resource_counts(plan, one: Resource, other: Resource) -> None:
    hashes = {plan(job_of(Task("a", resources=[r]))).spec_hash for r in (one, other)}
    assert len(hashes) == 2


def test_the_name_of_the_job_and_the_order_of_its_tasks_count(plan) -> None:
    jobs = [
        Job("j", command=["x"], tasks=[Task("a"), Task("b")]),
        Job("k", command=["x"], tasks=[Task("a"), Task("b")]),
        Job("j", command=["x"], tasks=[Task("b"), Task("a")]),
    ]
    assert len({plan(job).spec_hash for job in jobs}) == 3


def test_each_task_has_a_hash_of_its_own(plan) -> None:
    before = plan(job_of(Task("a"), Task("b"))).tasks
    after = plan(job_of(Task("a"), Task("b", env={"X": "1"}))).tasks
    assert before[0].spec_hash == after[0].spec_hash
    assert before[1].spec_hash != after[1].spec_hash
