"""``{column}`` in a text: the whole grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.errors import Problem
from batchcore.jobfile.template import parse, references, render

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def fill(text: str, values: dict[str, str]) -> str:
    problems: list[Problem] = []
    parts = parse(text, values, "key", problems)
    assert not problems
    return render(parts, values)


def faults(text: str, columns: tuple[str, ...] = ("seed", "power")) -> list[Problem]:
    problems: list[Problem] = []
    parse(text, columns, "id", problems)
    return problems


@given(st.text())
def test_a_text_with_its_braces_doubled_stays_as_it_was(text: str) -> None:
    assert fill(text.replace("{", "{{").replace("}", "}}"), {}) == text


@given(st.lists(st.tuples(st.text(), NAMES, st.text()), max_size=5))
def test_every_column_is_replaced_by_its_value_and_nothing_else_changes(
    pieces: list[tuple[str, str, str]],
) -> None:
    values = {name: value for _, name, value in pieces}
    text = "".join(
        before.replace("{", "{{").replace("}", "}}") + f"{{{name}}}" for before, name, _ in pieces
    )
    assert fill(text, values) == "".join(before + values[name] for before, name, _ in pieces)


def test_a_value_is_never_looked_at_again() -> None:
    assert fill("{a}", {"a": "{b} {{ {0.__class__}", "b": "no"}) == "{b} {{ {0.__class__}"


def test_braces_around_a_column_are_doubled_ones() -> None:
    assert fill("{{{a}}}", {"a": "1"}) == "{1}"


@pytest.mark.parametrize(
    "text", ["{", "}", "{}", "{0}", "{seed:>4}", "{seed!r}", "{seed.real}", "{seed[0]}", "{ seed }"]
)
def test_what_is_not_a_name_in_braces_is_refused_with_the_way_to_write_braces(text: str) -> None:
    (problem, *_) = faults(text)
    assert (problem.code, problem.key) == ("BC2302", "id")
    assert "{{" in problem.hint


def test_an_unknown_column_names_the_near_one_and_lists_them_all() -> None:
    (problem,) = faults("x-{sed}")
    assert problem.code == "BC2302"
    assert 'did you mean "seed"?' in problem.hint
    assert "columns: seed, power" in problem.hint


def test_a_column_whose_name_is_no_identifier_must_be_renamed_to_be_used() -> None:
    (problem,) = faults("{learning rate}", ("learning rate",))
    assert "rename it" in problem.hint


def test_the_number_of_the_row_is_always_known() -> None:
    assert faults("{n}", ()) == []


@pytest.mark.parametrize("text", ["${seed}", "$seed", "{print}", "{ seed }", "seed"])
def test_what_the_shell_itself_expands_is_not_a_column(text: str) -> None:
    assert references(text, ["seed"]) == []
