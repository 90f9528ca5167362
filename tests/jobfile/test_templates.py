"""One task for each row: what is filled in where, in a job file and from Python."""

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from batchcore.errors import JobError, Problem
from batchcore.jobfile import load_job, tasks_from_rows
from batchcore.model import Job, Output, Requirements, Resource, Task

ROWS = [{"seed": 1, "name": "a b"}, {"seed": 12, "name": "$(rm)"}]


def one(template: Mapping[str, object], **row: object) -> Task:
    (task,) = tasks_from_rows(template, [row])
    return task


def faults(template: Mapping[str, object], *rows: Mapping[str, object]) -> list[Problem]:
    with pytest.raises(JobError) as caught:
        tasks_from_rows(template, rows)
    return list(caught.value.problems)


def load(folder: Path, text: str, table: str = "seed,power\n1,2\n12,3\n") -> Job:
    (folder / "tasks.csv").write_text(table)
    (folder / "job.toml").write_text(text)
    return load_job(folder / "job.toml").job


def test_every_text_of_a_task_is_filled_in() -> None:
    template = {
        "id": "t-{x}",
        "image": "worker:{x}",
        "command": ["run", "{x}", "{{x}}"],
        "env": {"X": "{x}"},
        "resources": [{"path": "in/{x}", "source": "data/{x}.csv"}, {"path": "p", "text": "{x}"}],
        "outputs": ["{x}.out", {"path": "o", "to": "{x}/o"}],
        "mounts": [{"path": "/m/{x}", "source": "{x}"}],
        "labels": {"x": "{x}"},
        "depends_on": ["prep-{x}", {"task": "init-{x}", "on": "any"}],
        "secrets": ["TOKEN_{x}"],
        "timeout": "{x}m",
        "requirements": {"memory": "{x}GiB"},
    }
    written = json.loads(json.dumps(template).replace("{{x}}", "{ x }").replace("{x}", "7"))
    written["command"][2] = "{x}"
    expected = msgspec.convert(written, Task)
    assert one(template, x=7) == expected


def test_a_value_with_spaces_stays_one_word_of_a_command_given_as_a_line() -> None:
    tasks = tasks_from_rows({"command": 'run --name {name} "{seed} x"'}, ROWS)
    assert [task.command for task in tasks] == [
        ("run", "--name", "a b", "1 x"),
        ("run", "--name", "$(rm)", "12 x"),
    ]


def test_a_number_or_a_flag_may_come_from_a_cell() -> None:
    template = {
        "retries": "{r}",
        "requirements": {"cpus": "{c}"},
        "outputs": [{"path": "o", "required": "{f}"}],
    }
    task = one(template, r=2, c="0.5", f=False)
    assert task.retries == 2
    assert task.requirements == Requirements(cpus=0.5)
    assert task.outputs == (Output("o", required=False),)


def test_a_text_that_looks_like_a_number_stays_a_text() -> None:
    task = one({"env": {"A": "{a}"}, "image": "null", "labels": {"b": "true"}}, a="1")
    assert (task.env, task.image, task.labels) == ({"A": "1"}, "null", {"b": "true"})


def test_ids_default_to_the_number_of_the_row() -> None:
    assert [task.id for task in tasks_from_rows({}, ROWS)] == ["task-1", "task-2"]


def test_a_column_named_n_wins_over_the_number_of_the_row_except_in_the_default_id() -> None:
    task = one({"env": {"N": "{n}"}}, n=100)
    assert (task.id, task.env) == ("task-1", {"N": "100"})


def test_values_of_the_model_may_stand_in_a_template() -> None:
    task = one({"resources": [Resource("a", source="{x}.csv")], "outputs": [Output("o")]}, x=1)
    assert task.resources == (Resource("a", source="1.csv"),)


def test_a_path_may_stand_in_a_template() -> None:
    task = one({"resources": [{"path": "a", "source": Path("in/{x}")}]}, x=1)
    assert task.resources == (Resource("a", source="in/1"),)


def test_no_rows_give_no_tasks() -> None:
    assert tasks_from_rows({"id": "{seed}"}, []) == []


def test_a_shell_line_is_left_exactly_as_it_is() -> None:
    line = "awk '{print}' ${HOME}/{{x}} | grep '{0,3}'"
    assert one({"shell": line}, seed=1).shell == line


def test_a_column_in_a_shell_line_is_refused_with_the_way_through_env() -> None:
    (problem,) = faults({"shell": "run {seed}"}, {"seed": "1; rm -rf ~"})
    assert (problem.code, problem.key) == ("BC2302", "shell")
    assert 'env = { SEED = "{seed}" }' in problem.hint
    assert '"$SEED"' in problem.hint


def test_a_line_that_needs_a_shell_is_refused_as_a_command() -> None:
    (problem,) = faults({"command": "run {seed} > out"}, {"seed": 1})
    assert (problem.code, problem.key) == ("BC2201", "command")
    assert "'run {seed} > out' needs a shell" in problem.reason


def test_a_problem_of_one_row_names_the_row() -> None:
    (problem,) = faults({"id": "{a}"}, {"a": "ok"}, {"a": "not ok"})
    assert (problem.code, problem.key) == ("BC2200", "id")
    assert "'not ok'" in problem.reason
    assert problem.reason.endswith("(row 2)")


def test_a_problem_of_several_rows_is_told_once_and_counted() -> None:
    (problem,) = faults({"id": "{a}"}, *({"a": f"x {n}"} for n in range(5)))
    assert problem.reason.endswith("(row 1 and 4 more)")


def test_a_problem_of_every_row_is_told_without_a_row() -> None:
    (problem,) = faults({"outputs": ["../x"]}, {"a": 1}, {"a": 2})
    assert (problem.code, problem.key) == ("BC2100", "outputs[0]")
    assert "row" not in problem.reason


def test_thousands_of_bad_rows_do_not_flood_the_answer() -> None:
    (problem,) = faults({"id": "{a}"}, *({"a": f"x {n}"} for n in range(10_000)))
    assert problem.reason.endswith("(row 1 and at least 99 more)")


def test_all_problems_of_a_template_are_reported_together() -> None:
    template = {"id": "{sed}", "outptus": [], "outputs": ["/x"], "shell": "{seed}", "retries": -1}
    found = faults(template, {"seed": 1})
    assert {p.key for p in found} == {"id", "outptus", "outputs[0]", "shell", "retries"}


def test_a_template_that_is_not_plain_data_is_refused() -> None:
    (problem,) = faults({"env": {"A": object()}}, {"a": 1})
    assert problem.code == "BC2001"


def test_a_table_beside_the_job_file_makes_one_task_for_each_row(tmp_path: Path) -> None:
    text = 'name = "j"\n[tasks]\ntable = "tasks.csv"\nid = "s-{seed}"\nenv = { P = "{power}" }\n'
    job = load(tmp_path, text)
    assert job == Job("j", tasks=[Task("s-1", env={"P": "2"}), Task("s-12", env={"P": "3"})])


def test_a_matrix_makes_one_task_for_each_combination(tmp_path: Path) -> None:
    text = 'name = "j"\n[tasks]\nid = "{a}-{b}"\nmatrix = { a = [1, 2], b = ["x", "y"] }\n'
    assert [task.id for task in load(tmp_path, text).tasks] == ["1-x", "1-y", "2-x", "2-y"]


def test_a_problem_of_a_row_in_a_job_file_names_key_and_both_files(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        load(
            tmp_path, 'name = "j"\n[tasks]\ntable = "tasks.csv"\nid = "s {seed}"\n', "seed\n1\n2\n"
        )
    (problem,) = caught.value.problems
    assert (problem.file, problem.key) == (f"{tmp_path / 'job.toml'}:4", "tasks.id")
    assert "tasks.csv:2 and 1 more" in problem.reason


def test_a_matrix_row_is_named_by_its_values(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="row 2: a = x y"):
        load(tmp_path, 'name = "j"\n[tasks]\nid = "{a}"\nmatrix = { a = ["x", "x y"] }\n')


def test_a_broken_table_is_named_and_not_the_job_file(tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        load(tmp_path, 'name = "j"\n[tasks]\ntable = "tasks.csv"\n', "a,b\n1\n")
    assert caught.value.problems[0].file == f"{tmp_path / 'tasks.csv'}:2"


@pytest.mark.parametrize("line", ['image = "w:{seed}"', 'command = ["w", "{seed}"]'])
def test_a_column_outside_the_template_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(JobError) as caught:
        load(tmp_path, f'name = "j"\n{line}\n[tasks]\ntable = "tasks.csv"\n')
    (problem,) = caught.value.problems
    assert problem.code == "BC2302"
    assert problem.file.endswith(":2")
    assert "into [tasks]" in problem.hint


def test_braces_outside_the_template_are_left_alone_where_they_name_no_column(
    tmp_path: Path,
) -> None:
    text = 'name = "j"\ncommand = ["w", "{other}", "${seed}"]\n[tasks]\ntable = "tasks.csv"\n'
    assert load(tmp_path, text).command == ("w", "{other}", "${seed}")
