"""The kinds of tasks, each with the end that it must come to.

The commands need a shell, `cat` and `sleep` alone, so that they run in any image.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

LINES = 3000
# Where tasks see a directory of this machine, they leave word there that they have started.
_NOTE = 'echo "$BATCHCORE_TASK_ID.$BATCHCORE_ATTEMPT" >> "${STARTS:-/dev/null}"'
COPIES = 64


class Expected(Struct, frozen=True):
    """How a task ends, which exit codes it may then have, and what it leaves.

    `own` is how many attempts end by the task's own doing where none is interrupted, `files` are
    below ``outputs/``, `log` is the last attempt's stdout, None where that is not certain.
    """

    state: str = "succeeded"
    reason: str | None = None
    codes: tuple[int | None, ...] = (0,)
    own: int = 1
    files: Mapping[str, bytes] = {}
    log: bytes | None = b"begin\n"


Fields = dict[str, Any]
Made = tuple[Fields, Expected]
Make = Callable[[str, random.Random, str], Made]


def _text(chance: random.Random) -> str:
    return chance.randbytes(60).hex()


def _shell(chance: random.Random, line: str) -> str:
    pause = chance.choice((0, 0, 0.1, 0.3, 0.8, 1.5))
    return f"{_NOTE}; echo begin; sleep {pause}; {line}"


def copies(name: str, chance: random.Random, shared: str) -> Made:
    text = _text(chance)
    fields = {
        "shell": _shell(chance, "cat in > out.txt"),
        "resources": [{"path": "in", "text": text}],
        "outputs": ["out.txt"],
    }
    return fields, Expected(files={f"{name}/out.txt": text.encode()})


def large(name: str, chance: random.Random, shared: str) -> Made:
    loop = f"n=0; while [ $n -lt {COPIES} ]; do cat data/in; n=$((n+1)); done > deep.bin"
    fields = {
        "shell": _shell(chance, loop),
        "resources": [{"path": "data/in", "source": "shared.txt"}],
        "outputs": [{"path": "deep.bin", "to": f"large/{name}.bin"}],
    }
    return fields, Expected(files={f"large/{name}.bin": shared.encode() * COPIES})


def parts(name: str, chance: random.Random, shared: str) -> Made:
    text, count = _text(chance), chance.randint(1, 4)
    loop = f"for n in {' '.join(map(str, range(count)))}; do echo {text} $n > part-$n.txt; done"
    fields = {
        "shell": _shell(chance, loop),
        "outputs": [{"path": "part-*.txt", "to": f"{name}-parts"}],
    }
    files = {f"{name}-parts/part-{n}.txt": f"{text} {n}\n".encode() for n in range(count)}
    return fields, Expected(files=files)


def talks(name: str, chance: random.Random, shared: str) -> Made:
    text = _text(chance)
    loop = f"n=0; while [ $n -lt {LINES} ]; do echo $n {text}; n=$((n+1)); done"
    lines = "".join(f"{n} {text}\n" for n in range(LINES))
    return {"shell": _shell(chance, loop)}, Expected(log=f"begin\n{lines}".encode())


def loses_a_child(name: str, chance: random.Random, shared: str) -> Made:
    text = _text(chance)
    line = f'sleep 300 & kill -9 $!; wait $!; echo "$? {text}" > out.txt'
    fields = {"shell": _shell(chance, line), "outputs": ["out.txt"]}
    return fields, Expected(files={f"{name}/out.txt": f"137 {text}\n".encode()})


def fails_at_first(name: str, chance: random.Random, shared: str) -> Made:
    """The first attempts leave files that must not be among the results.

    An attempt that is interrupted takes a number as well, so there may be fewer failures.
    """
    text, times = _text(chance), chance.randint(1, 2)
    line = (
        f'if [ "$BATCHCORE_ATTEMPT" -le {times} ]; then echo > part-bad.txt; echo > note-bad.txt; '
        f"exit 4; fi; echo {text} > part-good.txt; echo good > note-good.txt"
    )
    fields = {
        "shell": _shell(chance, line),
        "outputs": ["part-*.txt", {"path": "note-*.txt", "when": "always"}],
        "retries": times + chance.randint(0, 1),
    }
    files = {f"{name}/part-good.txt": f"{text}\n".encode(), f"{name}/note-good.txt": b"good\n"}
    return fields, Expected(own=times + 1, files=files)


def exits(name: str, chance: random.Random, shared: str) -> Made:
    text, code, retries = _text(chance), chance.randint(1, 9), chance.randint(0, 1)
    line = f"echo bad > out.txt; echo {text} > trace.txt; exit {code}"
    fields = {
        "shell": _shell(chance, line),
        "outputs": ["out.txt", {"path": "trace.txt", "when": "always"}],
        "retries": retries,
    }
    files = {f"{name}/trace.txt": f"{text}\n".encode()}
    return fields, Expected("failed", "exit_code", (code,), own=retries + 1, files=files)


def leaves_half(name: str, chance: random.Random, shared: str) -> Made:
    """What is there is kept all the same, for whoever looks why the rest is not."""
    retries = chance.randint(0, 1)
    fields = {
        "shell": _shell(chance, "echo half > there.txt"),
        "outputs": ["there.txt", "absent.txt"],
        "retries": retries,
    }
    files = {f"{name}/there.txt": b"half\n"}
    return fields, Expected("failed", "output_missing", own=retries + 1, files=files)


def lasts_too_long(name: str, chance: random.Random, shared: str) -> Made:
    """Whether TERM or KILL ends it, and on a slow machine whether it has begun, is not certain."""
    fields = {
        "shell": _shell(chance, "echo bad > out.txt; sleep 300"),
        "outputs": ["out.txt"],
        "timeout": 3,
        "grace": 1,
    }
    return fields, Expected("failed", "timeout", (None, 137, 143), log=None)


def kills_itself(name: str, chance: random.Random, shared: str) -> Made:
    signal = chance.choice((9, 15))
    fields = {
        "shell": _shell(chance, f"echo bad > out.txt; kill -{signal} $$"),
        "outputs": ["out.txt"],
    }
    return fields, Expected("failed", "exit_code", (128 + signal,))


def blocked() -> Expected:
    """Return the end of a task that waits for one that failed."""
    return Expected("failed", "dependency", (None,), own=0, log=None)


def dependent(links: list[tuple[str, str]]) -> Fields:
    """Return the field of a task that waits for others."""
    return {"depends_on": [{"task": name, "on": on} for name, on in links]} if links else {}


GOOD: tuple[Make, ...] = (copies, copies, large, parts, talks, loses_a_child, fails_at_first)
FAILING: tuple[Make, ...] = (exits, exits, leaves_half, lasts_too_long, kills_itself)
