"""What ``--json`` prints, seen as text."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batchcore.report.data import json_text

# Any character, those that stand alone for half of another included: they occur in file names.
ANY = st.text(st.characters())
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(ANY, ANY | st.integers() | NUMBERS | st.none()))
def test_any_data_is_json_of_printable_ascii_that_reads_back_equal(data: dict) -> None:
    text = json_text("kind/1", {"data": data})
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))
    assert json.loads(text) == {"schema": "kind/1", "data": data}


def test_a_path_is_its_text_also_where_that_is_no_unicode() -> None:
    text = json_text("kind/1", {"one": Path("/a/ü"), "other": Path("/b/\udcff")})
    assert json.loads(text) == {"schema": "kind/1", "one": "/a/ü", "other": "/b/\udcff"}
