"""The line of each key of a TOML document."""

import pytest

from batchcore.jobfile.lines import key_lines, line_of

DOCUMENT = '''\
# name = "comment"
name = "x"
command = [
  "a", # a comment with a bracket ]
  "b",
]
shell = """
image = "inside a text"
"""
"quoted" = 1
env.SEED = "1"

[requirements]
cpus = 1
[[tasks]]
id = "a"
  [[tasks.outputs]]
  path = "one"
  [[tasks.outputs]]
  path = "two"
[[tasks]]
id = "b"
[tasks.env]
X = "1"
outputs = '[['
[ backend . "local-docker" ]
network = "none"
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("name", 2),
        ("command", 3),
        ("shell", 7),
        ("quoted", 10),
        ("env.SEED", 11),
        ("requirements", 13),
        ("requirements.cpus", 14),
        ("tasks", 15),
        ("tasks[0]", 15),
        ("tasks[0].id", 16),
        ("tasks[0].outputs[0].path", 18),
        ("tasks[0].outputs[1].path", 20),
        ("tasks[1]", 21),
        ("tasks[1].env.X", 24),
        ("backend.local-docker.network", 27),
    ],
)
def test_each_key_has_the_line_where_it_is_written(key: str, line: int) -> None:
    assert line_of(key, key_lines(DOCUMENT)) == line


@pytest.mark.parametrize(
    ("key", "line"), [("command[1]", 3), ("tasks[0].outputs[0].to", 17), ("tasks[1].image", 21)]
)
def test_a_key_without_a_line_has_that_of_the_nearest_one_around_it(key: str, line: int) -> None:
    assert line_of(key, key_lines(DOCUMENT)) == line


@pytest.mark.parametrize("key", ["image", "", "inside"])
def test_a_key_that_is_not_there_has_no_line(key: str) -> None:
    assert line_of(key, key_lines(DOCUMENT)) is None
