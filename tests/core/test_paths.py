"""Safe relative paths, and the one grammar for file patterns."""

from __future__ import annotations

import fnmatch
import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchcore.errors import JobError
from batchcore.paths import (
    above,
    check_pattern,
    fixed_part,
    folded,
    has_wildcard,
    matches,
    safe_path,
    safe_pattern,
)

SAFE = [
    "a",
    "a.csv",
    "in/a.csv",
    ".hidden",
    "a/.b/c",
    "...a",
    "-rf",
    "with space",
    " leading",
    "a'b\"c",
    "#?%&$",
    "ünï/çødé",
    "x" * 255,
    "ü" * 127,
    "/".join(["d" * 99] * 9),
    "a~",
    "ab:c",
]

REFUSED = [
    ("", "is an empty path", ""),
    ("  ", "is an empty path", ""),
    ("/etc/passwd", "is not relative", "etc/passwd"),
    ("//host/share", "is not relative", "host/share"),
    ("~/a", "is not relative", "a"),
    ("~", "is not relative", ""),
    ("~root/a", "is not relative", ""),
    ("C:/a.csv", "is not relative", "a.csv"),
    ("c:a.csv", "is not relative", "a.csv"),
    ("C:\\out\\a.csv", "is not relative", "out/a.csv"),
    ("out\\a.csv", "has a backslash", "out/a.csv"),
    ("..", "leaves the directory", ""),
    ("../a", "leaves the directory", "a"),
    ("a/../b", "leaves the directory", "a/b"),
    ("a/..", "leaves the directory", "a"),
    (".", "has an empty or '.' segment", ""),
    ("./a", "has an empty or '.' segment", "a"),
    ("a/./b", "has an empty or '.' segment", "a/b"),
    ("a//b", "has an empty or '.' segment", "a/b"),
    ("a/", "ends with a slash", "a"),
    ("a.", "ends with a dot or space", "a"),
    ("a ", "ends with a dot or space", "a"),
    ("a./b", "ends with a dot or space", "a/b"),
    ("a /b", "ends with a dot or space", "a/b"),
    ("...", "ends with a dot or space", ""),
    ("a\nb", "has a control character", "ab"),
    ("a\0b", "has a control character", "ab"),
    ("a\x7fb", "has a control character", "ab"),
    ("a\x85b", "has a control character", "ab"),
    ("a\udcffb", "has a control character", "ab"),
    ("\ud800", "has a control character", ""),
    ("x" * 256, "has a name over 255 bytes", ""),
    ("ü" * 128, "has a name over 255 bytes", ""),
    ("/".join(["d" * 99] * 9) + "/", "ends with a slash", "/".join(["d" * 99] * 9)),
    ("/".join(["d" * 90] * 10), "is longer than 900 characters", ""),
]


@pytest.mark.parametrize("path", SAFE)
def test_a_safe_path_is_returned_as_it_is(path: str) -> None:
    assert safe_path(path, "path") == path


@pytest.mark.parametrize(("path", "reason", "meant"), REFUSED)
def test_an_unsafe_path_is_refused_with_what_could_be_meant(
    problems_of, path: str, reason: str, meant: str
) -> None:
    (problem,) = problems_of(safe_path, path, "outputs[0].path")
    assert (problem.code, problem.key) == ("BC2100", "outputs[0].path")
    reasons = {"ends with a dot or space": "has a name ending with a dot or space"}
    assert reasons.get(reason, reason) in problem.reason
    assert problem.hint == (
        f'did you mean "{meant}"?' if meant else "write a path such as in/a.csv"
    )


@pytest.mark.parametrize(("path", "_reason", "_meant"), REFUSED)
def test_a_pattern_is_held_to_the_same_rules(path: str, _reason: str, _meant: str) -> None:
    with pytest.raises(JobError):
        safe_pattern(path, "path")


def test_a_path_becomes_nfc() -> None:
    assert safe_path("e\u0301.csv", "path") == "é.csv"


def test_a_message_about_a_lone_surrogate_can_be_printed(problems_of) -> None:
    (problem,) = problems_of(safe_path, "a\udcff", "path")
    assert str(problem).encode()


@given(st.text(max_size=40))
@example("../a")
@example("C:\\Windows\\..\\x ")
@example("~/../.. ./x")
def test_any_text_is_refused_or_stays_inside_and_every_suggestion_is_accepted(text: str) -> None:
    try:
        path = safe_path(text, "path")
    except JobError as exc:
        hint = exc.problems[0].hint
        if hint.startswith("did you mean"):
            meant = hint.removeprefix('did you mean "').removesuffix('"?')
            assert safe_path(meant, "path") == meant
        return
    pure = PurePosixPath(path)
    assert not pure.is_absolute()
    assert not {"..", ".", ""} & set(path.split("/"))
    assert unicodedata.is_normalized("NFC", path)
    assert safe_path(path, "path") == path


GRAMMAR = [
    # A star stays in one directory and may be empty.
    ("*.csv", "a.csv", True),
    ("*.csv", "sub/a.csv", False),
    ("a*", "a", True),
    ("a*", "abcdef", True),
    ("a*", "ba", False),
    ("*", "a", True),
    ("*", "a/b", False),
    ("sub/*", "sub/a", True),
    ("sub/*", "sub/a/b", False),
    ("*/a", "x/a", True),
    ("*/a", "a", False),
    ("a**b", "aXb", True),
    ("a**b", "a/b", False),
    # Two stars as a segment are any number of directories, none included.
    ("**/*.txt", "a.txt", True),
    ("**/*.txt", "x/a.txt", True),
    ("**/*.txt", "x/y/z/a.txt", True),
    ("**/*.txt", "a.csv", False),
    ("x/**/a", "x/a", True),
    ("x/**/a", "x/y/z/a", True),
    ("x/**/a", "y/a", False),
    ("x/**", "x/a", True),
    ("x/**", "x/a/b", True),
    ("x/**", "x", False),
    ("**", "a", True),
    ("**", "a/b/c", True),
    ("**/**/a", "a", True),
    # A question mark is one character.
    ("a?", "ab", True),
    ("a?", "a", False),
    ("a?", "abc", False),
    ("a?b", "a/b", False),
    ("?", "ü", True),
    # Sets, ranges, negation.
    ("[abc]", "b", True),
    ("[abc]", "d", False),
    ("[a-c]x", "cx", True),
    ("[a-c]x", "dx", False),
    ("[!abc]", "d", True),
    ("[!abc]", "a", False),
    ("[!a-c]", "b", False),
    ("[^a]", "^", True),
    ("[^a]", "b", False),
    ("[a-]", "-", True),
    ("[-a]", "-", True),
    ("[]a]", "]", True),
    ("[!]a]", "]", False),
    ("[!]a]", "b", True),
    ("[!]", "!", None),
    ("[+--]", ",", True),
    ("[a&&b]", "&", True),
    ("[a||b]", "|", True),
    ("[[]x", "[x", True),
    ("x[!a]y", "x/y", False),
    ("x[.-0]y", "x/y", False),
    # A wildcard in brackets is itself.
    ("abc[*]", "abc*", True),
    ("abc[*]", "abcd", False),
    ("a[?]", "a?", True),
    ("a[?]", "ab", False),
    # A leading dot must be written out, at every level.
    ("*.gif", ".a.gif", False),
    (".*.gif", ".a.gif", True),
    ("*", ".a", False),
    ("?a", ".a", False),
    ("[.]a", ".a", False),
    ("[!x]a", ".a", False),
    ("**", ".a", False),
    ("**/*", "x/.a", False),
    ("**/*", ".x/a", False),
    ("**/a", "x/.y/a", False),
    ("*/a", ".x/a", False),
    (".*/a", ".x/a", True),
    ("**/.*", "x/.a", True),
    ("a*", "a.b", True),
    # What is no wildcard is itself, and case counts.
    ("a.csv", "a.csv", True),
    ("a.csv", "aXcsv", False),
    ("A*", "ab", False),
    ("a+(b)*", "a+(b)c", True),
    ("*\n*", "a\nb", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), GRAMMAR)
def test_the_grammar_is_that_of_azure_batch(pattern: str, path: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(JobError):
            check_pattern(pattern, "path")
    else:
        assert matches(pattern, path) is expected


@pytest.mark.parametrize("pattern", ["[abc", "a/[b/c]", "[", "[]", "[!]", "x[!", "[[]["])
def test_an_unclosed_bracket_is_refused(problems_of, pattern: str) -> None:
    (problem,) = problems_of(safe_pattern, pattern, "outputs[2].path")
    assert (problem.code, problem.key) == ("BC2101", "outputs[2].path")
    assert "unclosed bracket" in problem.reason
    assert problem.hint == "write [[] for a literal bracket"


def test_a_range_that_runs_backwards_is_refused(problems_of) -> None:
    (problem,) = problems_of(safe_pattern, "[z-a]", "path")
    assert problem.code == "BC2101"
    assert "backwards: z-a" in problem.reason


@pytest.mark.parametrize("pattern", ["$HOME/a", "a$", "*.$x"])
def test_a_dollar_is_refused_because_azure_would_expand_it(problems_of, pattern: str) -> None:
    (problem,) = problems_of(safe_pattern, pattern, "path")
    assert problem.code == "BC2101"
    assert "Azure Batch expands" in problem.reason


def is_literal(text: str) -> bool:
    try:
        return safe_path(text, "path") == text and not has_wildcard(text)
    except JobError:
        return False


LITERALS = st.text(st.sampled_from("ab.-_[]*?/ü !^"), min_size=1, max_size=12).filter(is_literal)


@given(LITERALS, LITERALS)
def test_a_literal_path_matches_itself_only(one: str, other: str) -> None:
    assert matches(one, one)
    assert matches(one, other) is (one == other)


@given(st.text(st.sampled_from("ab.*?[]!-"), min_size=1, max_size=10))
def test_brackets_make_any_wildcard_literal(name: str) -> None:
    pattern = "".join(f"[{c}]" if c in "*?[" else c for c in name)
    assert matches(pattern, name)


@given(
    st.text(st.sampled_from("ab*?[]!-c"), min_size=1, max_size=10),
    st.text(st.sampled_from("abc*?[]!-"), min_size=1, max_size=6),
)
@settings(max_examples=300)
def test_within_a_directory_the_grammar_agrees_with_fnmatch(pattern: str, name: str) -> None:
    try:
        check_pattern(pattern, "path")
    except JobError:
        return  # fnmatch takes an unclosed bracket for a literal one
    assert matches(pattern, name) is fnmatch.fnmatchcase(name, pattern)


@pytest.mark.parametrize("pattern", ["*" * 60 + "b", "*a" * 30 + "b", "**/" * 5 + "*a*a*a*b"])
def test_no_name_that_a_worker_chooses_takes_long_to_match(pattern: str) -> None:
    assert not matches(pattern, "a" * 255)


@pytest.mark.parametrize(
    ("pattern", "fixed"),
    [
        ("a.csv", ""),
        ("*.csv", ""),
        ("out/*.csv", "out"),
        ("out/sub/*.csv", "out/sub"),
        ("out/*/x.csv", "out"),
        ("**/x", ""),
        ("out/[ab]/x", "out"),
        ("out/x", "out"),
    ],
)
def test_the_fixed_part_is_the_directories_before_the_first_wildcard(
    pattern: str, fixed: str
) -> None:
    assert fixed_part(pattern) == fixed


def test_the_directories_above_a_path_start_with_the_outermost() -> None:
    assert above("a/b/c") == ["a", "a/b"]
    assert above("a") == []


@pytest.mark.parametrize(
    ("one", "other"), [("A", "a"), ("é", "e\u0301"), ("STRASSE", "straße"), ("Ä/x", "ä/X")]
)
def test_paths_that_some_file_system_holds_for_one_fold_to_one(one: str, other: str) -> None:
    assert folded(one) == folded(other)
