"""A command's words survive the one line that Azure Batch takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore_azure import quoting

HOSTILE = [
    "plain",
    "two words",
    "'single' \"double\" `back`",
    "$HOME ${PATH} $(id) \\n",
    "new\nline\ttab",
    "grün 日本 \U0001f600",
    "-dash",
    "--",
    "",
    "*",
    "; exit 9 #",
    "%s {0}",
    "back\\slash\\",
]


def test_hostile_words_come_back_unaltered():
    assert quoting.split(quoting.join(HOSTILE)) == HOSTILE


@given(
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1)
)
def test_any_words_come_back_unaltered(words: list[str]):
    assert quoting.split(quoting.join(words)) == words


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_no_backslash_stands_where_it_could_mean_something(words: list[str]):
    line = quoting.join(words)
    outside, quote = "", ""
    for character in line:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            outside += character
    assert "\\" not in outside


def test_words_that_need_no_quotes_are_left_as_they_are():
    assert quoting.join(["python3", "/worker.py", "--n=3"]) == "python3 /worker.py --n=3"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["a\0b"], "NUL"),
        (["python3", "x" * 2**17], "128 KiB"),
        (["python3", "ü" * 2**16], "128 KiB"),
        (HOSTILE, ""),
    ],
    ids=["nul", "long", "long-in-bytes", "hostile"],
)
def test_what_no_line_can_say_is_named(words: list[str], reason: str):
    found = quoting.fault(words)
    assert reason in found
    assert bool(found) == bool(reason)
