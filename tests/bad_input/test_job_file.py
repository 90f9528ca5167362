"""A job file that cannot be read, or says what no job file says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Check = Callable[..., None]

UNREADABLE: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    # the fault: the whole job.toml, what the answer says
    "an empty file": ("", ("job.toml name", 'write name = "my-job"')),
    "UTF-16": ('name = "j"'.encode("utf-16"), ("job.toml:1", "UTF-16", "save it as UTF-8")),
    "Latin-1": ('name = "j"\nimage = "é"'.encode("latin-1"), ("job.toml:2", "save it as UTF-8")),
    "random bytes": (bytes(range(256)), ("job.toml:", "save it as UTF-8")),
    "a NUL byte": ('name = "j\0"', ("job.toml:1:10", r"Illegal character '\x00'")),
    "an unclosed quote": ('name = "j\n', ("job.toml:1:10", "close the quote")),
    "no quotes": ("name = j", ("job.toml:1:8", "put texts in quotes")),
    "a key twice": ('name = "j"\nname = "k"', ("job.toml:2", "remove one of the two")),
    "a table twice": ('name = "j"\n[env]\n[env]', ("job.toml:3:5", "('env',)", "into one")),
    "after a byte order mark": (
        b'\xef\xbb\xbfname = "j"\nimag = "x"',
        ("job.toml:2 imag", 'did you mean "image"?'),
    ),
    "with Windows line ends": (
        b'name = "j"\r\nimag = "x"\r\n',
        ("job.toml:2 imag", 'did you mean "image"?'),
    ),
    "5,000 lists in each other": ("a = " + "[" * 5_000, ("job.toml", "nested too deeply")),
    "5,000 tables in each other": (
        'name = "j"\nbackend.local-process.' + ".".join("a" * 5_000) + " = 1",
        ("job.toml", "nested too deeply"),
    ),
    "a number of 5,000 digits": ("retries = " + "9" * 5_000, ("job.toml", "thousands of digits")),
    "a name of 10 MB": ('name = "' + "x" * 10_000_000 + '"', ("job.toml:1 name", "1 to 64")),
    "a key of 10 MB": ("k" * 10_000_000 + " = 1", ("job.toml kkk", "is not a key of a job file")),
}


@pytest.mark.parametrize(("text", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_broken_toml_file(refused: Check, text: str | bytes, words: tuple[str, ...]) -> None:
    refused({"job.toml": text}, *words)


JSON: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: the whole job.json, what the answer says
    "an empty JSON file": ("", ("job.json:1:1", "double quotes")),
    "a comma too many": ('{"name": "j",}', ("job.json:1:14", "no comma before")),
    "a list": ("[]", ("job.json", "an object, not a list")),
    "a key twice": ('{"name": "j", "name": "k"}', ("job.json", "'name' is there twice")),
    "NaN": ('{"name": "j", "timeout": NaN}', ("job.json", "NaN is not a number")),
    "a number beyond all": ('{"name": "j", "timeout": 1e999}', ("job.json timeout", '"30m"')),
    "a number of 5,000 digits": ('{"retries": ' + "9" * 5_000 + "}", ("thousands of digits",)),
    "half a character": (r'{"name": "j", "image": "\ud800"}', (r"\ud800", "half a character")),
    "half a character as key": (r'{"\udc00": 1}', (r"\udc00", "half a character")),
    "100,000 lists": ('{"env": ' + "[" * 100_000, ("job.json", "nested too deeply")),
    "900 lists in an option": (
        '{"name": "j", "backend": {"local-process": {"x": ' + "[" * 900 + "]" * 900 + "}}}",
        ("job.json backend.local-process", "nested too deeply"),
    ),
    "a schema for editors and a slip": (
        '{"$schema": "job.schema.json", "name": "j", "tasks": [{"id": "a", "comand": ["x"]}]}',
        ("job.json tasks[0].comand", 'did you mean "command"?'),
    ),
}


@pytest.mark.parametrize(("text", "words"), JSON.values(), ids=JSON)
def test_a_broken_json_file(refused: Check, text: str, words: tuple[str, ...]) -> None:
    refused({"job.json": text}, *words, argv=("run", "job.json"))


CONTROLLERS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    # the fault: the whole c.py, what the answer says
    "a wrong syntax": ("\ndef x(:", ("c.py:2", "SyntaxError", "run python c.py")),
    "a NUL byte": ("x = 1\0", ("c.py", "null bytes")),
    "Latin-1": (b"x = '\xe9'", ("c.py:1", "utf-8")),
    "one that raises": ("\n\nraise ValueError('no\\ndata')", ("c.py:3", "ValueError: no data")),
    "one that raises what nobody catches": (
        "class Odd(BaseException): ...\nraise Odd('x')",
        ("c.py:2", "Odd: x"),
    ),
    "one that exits": ("import sys\nsys.exit(3)", ("c.py:2", "sys.exit(3)", "__main__")),
    "without a module": ("import nosuchmodule", ("c.py:1", "install nosuchmodule")),
    "without end": ("def f(): f()\nf()", ("c.py:1", "RecursionError")),
    "an empty file": ("", ("c.py", "has no job", "at module level")),
    "no job": ("job = 3", ("c.py", "has no job", "at module level")),
    "several jobs": (
        "import batchcore as bc\na, b = bc.Job('a'), bc.Job('b')",
        ("c.py", "rename a or b to job"),
    ),
    "a function that returns nothing": ("def job(): ...", ("c.py", "returned NoneType")),
    "a wrong name": (
        "import batchcore as bc\nbc.Job('a b')",
        ("c.py:2 name", 'did you mean "a-b"?'),
    ),
    "a wrong field": (
        "import batchcore as bc\nbc.Task('a', comand=['x'])",
        ("c.py:2", "'comand'"),
    ),
    "a wrong type": (
        "import batchcore as bc\nbc.Job('j', retries='3')",
        ("c.py:2 retries", "must be a whole number, not a text"),
    ),
    "half a character": (
        (
            "import batchcore as bc\njob = bc.Job('j', image='a').with_task('t', command=['true'],"
            " mounts=[bc.Mount('/a', '\\ud800')])"
        ),
        ("c.py tasks[0]", "half a character", r"\ud800"),
    ),
    "half a character in a file": (
        (
            "import batchcore as bc\njob = bc.Job('j').with_task('t', command=['true'],"
            " resources=[bc.Resource('r', text='\\ud800')])"
        ),
        ("c.py tasks[0].resources[r].text", "half a character"),
    ),
    "options within themselves": (
        (
            "import batchcore as bc\nx = {}\nx['x'] = x\n"
            "job = bc.Job('j', shell='true', backend_options={'local-process': x}).with_task('t')"
        ),
        ("c.py backend.local-process", "nested too deeply"),
    ),
    "main of no job": ("import batchcore as bc\nbc.main('x')", ("c.py:2", "wants a Job, not str")),
}


@pytest.mark.parametrize(("text", "words"), CONTROLLERS.values(), ids=CONTROLLERS)
def test_a_broken_controller(refused: Check, text: str | bytes, words: tuple[str, ...]) -> None:
    refused({"c.py": text}, *words, argv=("run", "c.py"))


NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: the name on the command line, what the answer says
    "a file that is not there": ("jobb.toml", ("'jobb.toml'", 'did you mean "job.toml"?')),
    "a directory that is not there": ("no/job.toml", ("there is no directory 'no'",)),
    "a directory": ("sub", ("'sub' is a directory", 'did you mean "sub/job.json"?')),
    "another kind of file": ("job.yaml", ("'job.yaml'", "give a .py, .toml or .json file")),
    "no name": ("", ("the job file is empty", "batchcore run job.toml")),
    "a name too long": ("x" * 5_000 + ".toml", ("File name too long",)),
}


@pytest.mark.parametrize(("name", "words"), NAMES.values(), ids=NAMES)
def test_a_wrong_name_of_a_job_file(refused: Check, name: str, words: tuple[str, ...]) -> None:
    files = {"job.toml": "", "sub/job.json": "{}", "job.yaml": ""}
    refused(files, *words, argv=("run", name))
