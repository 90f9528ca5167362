"""Small jobs to test with: POSIX sh and nothing else, on any backend."""

from __future__ import annotations

from batchcore.model import Job, Task


def hello() -> Job:
    """Return a job of one task, `hello`, that prints a line and writes it to ``hello.txt``."""
    return Job("hello").with_task(
        "hello", shell="echo hello | tee hello.txt", outputs=["hello.txt"]
    )


def failing(exit_code: int = 3) -> Job:
    """Return a job of one task, `failing`, that says so on stderr and exits with this code."""
    return Job("failing").with_task("failing", shell=f"echo no luck >&2; exit {exit_code}")


def many(count: int = 10) -> Job:
    """Return a job of so many tasks, ``task-0`` on, each with its number in ``number.txt``."""
    tasks = [
        Task(f"task-{number}", shell=f"echo {number} >number.txt", outputs=["number.txt"])
        for number in range(count)
    ]
    return Job("many", tasks=tasks)


def diamond() -> Job:
    """Return a job in which `left` and `right` wait for `top`, and `bottom` for both."""
    tasks = [
        Task(name, shell=f"echo {name} >name.txt", outputs=["name.txt"], depends_on=above)
        for name, above in (
            ("top", []),
            ("left", ["top"]),
            ("right", ["top"]),
            ("bottom", ["left", "right"]),
        )
    ]
    return Job("diamond", tasks=tasks)
