"""How text from the environment and from --set becomes a value of the wanted type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.settings.text import from_text


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("SLOTS", "4", 4),
        ("SLOTS", "null", None),
        ("PULL", "false", False),
        ("PULL", "0", False),
        ("PULL", "True", True),
        ("GRACE", "2", 2.0),
        ("NOTE", "4", "4"),
        ("NOTE", "true", "true"),
        ("NOTE", '"quoted"', '"quoted"'),
        ("NETWORK", "none", "none"),
        ("DNS", "1.1.1.1, 8.8.8.8", ["1.1.1.1", "8.8.8.8"]),
        ("DNS", "1.1.1.1", ["1.1.1.1"]),
        ("DNS", '["a,b", "c"]', ["a,b", "c"]),
        ("ENV", '{"A": "1"}', {"A": "1"}),
        ("ENV", '{ A = "1" }', {"A": "1"}),
        ("ENV__HOME", "/h", {"home": "/h"}),
    ],
)
def test_a_variable_is_read_for_its_type(docker: Any, key: str, text: str, value: object) -> None:
    settings = docker(environ={f"BATCHCORE_LOCAL_DOCKER_{key}": text})
    assert getattr(settings, key.partition("__")[0].lower()) == value


@pytest.mark.parametrize(
    ("item", "key", "value"),
    [
        ("slots=4", "slots", 4),
        ("local-docker.slots=4", "slots", 4),
        (" slots = 4 ", "slots", 4),
        ("note=plain", "note", "plain"),
        ("note=a=b", "note", "a=b"),
        ("note=4", "note", "4"),
        ('note="quoted"', "note", "quoted"),
        ("note=", "note", ""),
        ("note=1\nslots = 9", "note", "1\nslots = 9"),
        ('dns=["a", "b"]', "dns", ["a", "b"]),
        ("dns=a,b", "dns", ["a", "b"]),
        ("dns=[]", "dns", []),
        ('env={A="1"}', "env", {"A": "1"}),
        ("env.A=1", "env", {"A": "1"}),
        ("grace=3", "grace", 3.0),
        ("pull=false", "pull", False),
    ],
)
def test_an_item_is_a_toml_value_or_else_a_text(
    docker: Any, item: str, key: str, value: object
) -> None:
    assert getattr(docker(items=[item]), key) == value


def test_a_value_of_free_type_is_taken_as_toml_from_an_item(machine: Any) -> None:
    items = ["anything={a=[1, 2]}"]
    settings = machine.resolve(flags={"backend": "azure"}, items=items)
    assert settings.backend.anything == {"a": [1, 2]}
    assert settings.origins["azure.anything.a"] == "--set"


def test_the_empty_variable_leaves_a_default(docker: Any) -> None:
    assert docker(environ={"BATCHCORE_LOCAL_DOCKER_SLOTS": ""}).slots is None


@given(st.text())
def test_any_text_is_itself_where_a_text_is_wanted(text: str) -> None:
    assert from_text(text, str, "plain") == text


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_whole_number_survives_as_text(number: int) -> None:
    assert from_text(str(number), int, "plain") == number
    assert from_text(str(number), int | None, "toml") == number


@given(st.lists(st.text(st.characters(whitelist_categories=["L", "N"]), min_size=1)))
def test_any_list_of_words_survives_as_a_comma_list(words: list[str]) -> None:
    assert from_text(",".join(words), list[str], "plain") == words
