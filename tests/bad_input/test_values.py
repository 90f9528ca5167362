"""A job file that is well formed, and has a value that cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Check = Callable[..., None]

JOB = 'name = "j"\nshell = "true"\n[[tasks]]\nid = "a"\n'  # four lines; the fault is in line 5

IN_A_TASK: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: the fifth line, what the answer says
    "an unknown key": ('imag = "x"', ("job.toml:5 tasks[0].imag", 'did you mean "image"?')),
    "a key of requirements": ("cpus = 2", ("tasks[0].cpus", "requirements = { cpus = 1 }")),
    "a key of the job": ("max_parallel = 2", ("tasks[0].max_parallel", "above the first [tasks]")),
    "negative retries": ("retries = -1", ("tasks[0].retries", "at least 0", "retries = 3")),
    "too many retries": ("retries = 9999", ("tasks[0].retries", "at most 100")),
    "half a retry": ("retries = 1.5", ("tasks[0].retries", "a whole number", "retries = 3")),
    "true retries": ("retries = true", ("tasks[0].retries", "not true or false", "retries = 3")),
    "retries in quotes": ('retries = "3"', ("tasks[0].retries", "retries = 3, without quotes")),
    "a time of NaN": ("timeout = nan", ("tasks[0].timeout", "nan is not a time", '"30m"')),
    "a time without end": ("timeout = inf", ("tasks[0].timeout", "inf is not a time", '"30m"')),
    "a time of zero": ("timeout = 0", ("tasks[0].timeout", "above zero", '"30m"')),
    "a date for a time": ("timeout = 2026-01-01", ("tasks[0].timeout", 'timeout = "30m"')),
    "an odd unit of time": (
        'timeout = "5 parsecs"',
        ("'5 parsecs'", "the units are s, m, h and d"),
    ),
    "two units of time": ('grace = "1h30m"', ("tasks[0].grace", "'1h30m'", "the units are")),
    "an odd unit of size": (
        'requirements.memory = "10 gigs"',
        ("tasks[0].requirements.memory", "'10 gigs'", "KiB, MiB, GiB"),
    ),
    "a disk of no machine": ("requirements.disk = '99999999 TiB'", ("that any machine has",)),
    "no processor": ("requirements.cpus = 0", ("tasks[0].requirements.cpus", "write cpus = 1")),
    "GPUs below zero": ("requirements.gpus = -1", ("tasks[0].requirements.gpus", "-1")),
    "an id with a space": ('id2 = 1\nid3 = "a b"', ("'id2' is not a key", "'id3' is not a key")),
    "an empty image": ('image = ""', ("tasks[0].image", 'write image = "')),
    "an image with a space": ('image = "my image"', ("tasks[0].image", "'my image'")),
    "a misspelt user": ('user = "rot"', ("tasks[0].user", 'did you mean "root"?')),
    "a label of a number": ("labels = { a = 1 }", ("tasks[0].labels.a", 'write a = "1"')),
    "an empty command": ("command = []", ("tasks[0].command", "empty", '["python3"')),
    "a command for a shell": (
        "command = \"sort 'a' > b\"",
        ("tasks[0].command", """write shell = "sort 'a' > b\""""),
    ),
    "an open quote in a command": ('command = "echo \'a"', ("No closing quotation", "list of")),
    "a command and a shell line": ('command = ["x"]\nshell = "y"', ("both given", "keep one")),
    "a number in a command": ('command = ["x", 1]', ("tasks[0].command[1]", "must be a text")),
    "a NUL in a command": (r'command = ["x", "a\u0000"]', ("tasks[0].command", "NUL")),
    "a secret in a command": (
        'command = "get https://me:hunter2@x/ | y"',
        ("needs a shell", "***"),
    ),
    "a variable of a number": ("env.A = 1", ("tasks[0].env.A", 'write A = "1"')),
    "a variable with a space": ('env."A B" = "1"', ("tasks[0].env.A B", "letters, digits and _")),
    "a variable of batchcore": ('env.BATCHCORE_X = "1"', ("tasks[0].env.BATCHCORE_X", "reserved")),
    "a NUL in a variable": (r'env.PASSWORD = "hunter2\u0000"', ("tasks[0].env.PASSWORD", "NUL")),
    "a secret as its own name": ('secrets = ["hunter2!"]', ("tasks[0].secrets", "API_TOKEN")),
    "a secret that is in env": ('secrets = ["A"]\nenv.A = ""', ("tasks[0].secrets", "keep one")),
    "a secret in an address": (
        'resources = [{ path = "a", source = "https://x/a?sig=hunter2" }]',
        ("tasks[0].resources[0].source", "carries a credential", "take it out"),
    ),
    "a secret in an option": (
        '[backend.local-process]\npassword = "hunter2"',
        ("job.toml:6 backend.local-process.password", "export BATCHCORE_LOCAL_PROCESS_PASSWORD"),
    ),
    "a wait for itself": ('depends_on = ["a"]', ("a -> a", "remove one")),
    "a wait for nobody": (
        'depends_on = ["b"]',
        ("tasks[0].depends_on", "waits for 'b'", "known: a"),
    ),
    "a wait in no list": ('depends_on = "b"', ("tasks[0].depends_on", "put it in [ ]")),
    "a resource as a text": (
        'resources = ["a.csv"]',
        ("tasks[0].resources[0]", 'write { path = "a.csv", source = "a.csv" }'),
    ),
    "a resource of nothing": (
        'resources = [{ path = "a" }]',
        ("resources[0].source", 'source = "a"'),
    ),
    "a resource of two things": (
        'resources = [{ path = "a", text = "", source = "b" }]',
        ("tasks[0].resources[0].source", "not source and text", "keep source alone"),
    ),
    "a resource elsewhere": ('resources = [{ path = "/a", text = "" }]', ('did you mean "a"?',)),
    "an odd mode": ('resources = [{ path = "a", text = "", mode = "9" }]', ("'9'", '"0644"')),
    "content that is no base64": (
        'resources = [{ path = "a", content = "?" }]',
        ("tasks[0].resources[0].content", "base64", "write text ="),
    ),
    "two resources but for case": (
        'resources = [{ path = "a", text = "" }, { path = "A", text = "" }]',
        ("tasks[0].resources[A].path", "two resources land at 'A'", "another path"),
    ),
    "a file where a directory is": (
        'resources = [{ path = "a", text = "" }, { path = "a/b", text = "" }]',
        ("tasks[0].resources[a/b].path", "another has a directory"),
    ),
    "a misspelt when": (
        'outputs = [{ path = "a", when = "allways" }]',
        ('did you mean "always"?',),
    ),
    "a destination of many": (
        'outputs = [{ path = "a", to = "*" }]',
        ("outputs[0].to", "wildcard"),
    ),
    "two outputs at one place": ('outputs = ["a", "a"]', ("'a/a' would overwrite", "of its own")),
    "two outputs but for case": (
        'outputs = [{ path = "a", to = "x.csv" }, { path = "b", to = "X.CSV" }]',
        ("tasks[0].outputs", "'X.CSV' would overwrite"),
    ),
    "two outputs but for their Unicode form": (
        r'outputs = [{ path = "a", to = "\u00e9" }, { path = "b", to = "e\u0301" }]',
        ("tasks[0].outputs", "would overwrite"),
    ),
    "a mount at no place": (
        'mounts = [{ path = "data", source = "." }]',
        ("mounts[0].path", '"/data"'),
    ),
    "a mount on no container": ('mounts = [{ path = "/d", source = "." }]', ("use local-docker",)),
    "a misspelt backend": ("[backend.local-proces]\na = 1", ('did you mean "local-process"?',)),
    "a misspelt option": ("[backend.local-process]\nslot = 1", ("has no setting 'slot'", "slots")),
    "no slots": ("[backend.local-process]\nslots = 0", ("slots", "at least 1", "slots = 4")),
    "slots below zero": ("[backend.local-process]\nslots = -3", ("slots", "at least 1", "-3")),
}


@pytest.mark.parametrize(("line", "words"), IN_A_TASK.values(), ids=IN_A_TASK)
def test_a_wrong_value(refused: Check, line: str, words: tuple[str, ...]) -> None:
    refused({"job.toml": JOB + line}, "job.toml", *words)


PATHS: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: an output's path in TOML, what the answer says
    "Windows": (r"out\\a.csv", ("has a backslash", 'did you mean "out/a.csv"?')),
    "a drive": (r"C:\\a.csv", ("not relative", 'did you mean "a.csv"?')),
    "absolute": ("/etc/passwd", ("not relative", 'did you mean "etc/passwd"?')),
    "home": ("~/a", ("not relative", 'did you mean "a"?')),
    "up": ("../a", ("leaves the directory", 'did you mean "a"?')),
    "up within": ("a/../../b", ("leaves the directory", 'did you mean "a/b"?')),
    "a trailing dot": ("a.", ("ending with a dot", 'did you mean "a"?')),
    "a trailing slash": ("a/", ("ends with a slash", 'did you mean "a"?')),
    "a dot": ("./a", ("'.' segment", 'did you mean "a"?')),
    "a control character": (r"a\u0007b", (r"'a\x07b'", 'did you mean "ab"?')),
    "empty": ("", ("an empty path", "in/a.csv")),
    "only spaces": ("  ", ("an empty path", "in/a.csv")),
    "a name of 300 bytes": ("x" * 300, ("over 255 bytes", "in/a.csv")),
    "an open bracket": ("a[b", ("an unclosed bracket", "[[]")),
    "a backward range": ("a[z-a]", ("runs backwards: z-a", "[[]")),
    "a dollar": ("a$b", ("Azure Batch expands", "without a $")),
}


@pytest.mark.parametrize(("path", "words"), PATHS.values(), ids=PATHS)
def test_a_wrong_path(refused: Check, path: str, words: tuple[str, ...]) -> None:
    refused({"job.toml": f'{JOB}outputs = ["{path}"]'}, "job.toml:5 tasks[0].outputs[0]", *words)


IDS: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: the ids, what the answer says
    "a space": ('"a b"', ("'a b'", 'did you mean "a-b"?')),
    "empty": ('""', ("'' is not a task id", "1 to 64")),
    "65 characters": (f'"{"x" * 65}"', ("1 to 64", f'did you mean "{"x" * 64}"?')),
    "a line break": (r'"a\n"', (r"'a\n'", 'did you mean "a"?')),
    "a number": ("1", ("tasks[0].id", "must be a text", 'write id = "task-1"')),
}


@pytest.mark.parametrize(("task_id", "words"), IDS.values(), ids=IDS)
def test_a_wrong_id(refused: Check, task_id: str, words: tuple[str, ...]) -> None:
    text = f'name = "j"\nshell = "true"\n[[tasks]]\nid = {task_id}'
    refused({"job.toml": text}, "job.toml:4 tasks[0].id", *words)


@pytest.mark.parametrize("other", ["a", "A"])
def test_an_id_twice(refused: Check, other: str) -> None:
    refused({"job.toml": f'{JOB}[[tasks]]\nid = "{other}"'}, "tasks[1].id", f'write "{other}-1"')


def test_tasks_that_wait_for_each_other(refused: Check) -> None:
    waits = 'depends_on = ["b"]\n[[tasks]]\nid = "b"\ndepends_on = ["a"]'
    refused({"job.toml": JOB + waits}, "a -> b -> a", "remove one of these dependencies")


def test_a_job_without_tasks(refused: Check) -> None:
    refused({"job.toml": 'name = "j"'}, "job.toml tasks", "at least one task")


def test_all_problems_of_a_file_at_once(refused: Check) -> None:
    text = 'name = "j j"\nimag = "x"\nretries = -1\n[[tasks]]\nid = "a b"\noutputs = ["../x"]'
    keys = ("name", "imag", "retries", "tasks[0].id", "tasks[0].outputs[0]")
    lines = (1, 2, 3, 5, 6)
    refused({"job.toml": text}, *map("job.toml:{} {}".format, lines, keys))


def test_all_problems_of_a_plan_at_once(refused: Check) -> None:
    text = (
        'name = "j"\n[[tasks]]\nid = "a"\nresources = [{ path = "r", source = "no" }]\n'
        '[[tasks]]\nid = "a"\ndepends_on = ["z"]\noutputs = ["x", "x"]'
    )
    keys = ("tasks[0].command", "tasks[0].resources[r].source", "tasks[1].id")
    refused({"job.toml": text}, *keys, "tasks[1].depends_on", "tasks[1].outputs")
