"""Every code block of the README and the documentation is executed or checked.

A page is read from top to bottom in a directory of its own, which holds the files of another page
where it says "You go on with the files of". A block after a line such as
"`worker.py`:" is a file that later blocks use; ``python`` runs, ``toml`` must load as a job or,
in a `batchcore.toml`, as settings. A block that is called like a file which a command wrote must
be a part of it. ``console`` runs what stands behind ``$`` and compares the output, in which ``…``
is anything; a command that must fail has ``# exit`` and its code behind it. What needs containers
or an account, or changes this installation, is checked and not run. ``shell-session`` is a terminal
with all it shows, on stderr too: every command is run, and the directory that `cd` leaves stays for
the blocks that follow. What cannot be checked here
is `UNCHECKED`; `DIRECTIVES` are followed by `test_site`, which builds the pages.
"""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from batchcore.jobfile import load_job

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
    *sorted(ROOT.glob("backends/*/README.md")),
]
UNCHECKED = {"bicep", "dockerfile", "text"}
DIRECTIVES = {"{eval-rst}", "{include}", "{toctree}"}
LANGUAGES = {"console", "python", "sh", "toml", "yaml"} | UNCHECKED | DIRECTIVES
CONTAINERS = ("docker", "azure")
ELSEWHERE = {".", "az", "cd", "docker", "eval", "export", "pytest"}


class Block(NamedTuple):
    """A fenced block: its language, its text, the file it is, and where it starts."""

    language: str
    text: str
    file: str
    place: str


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    before, start, language, lines = "", 0, "", list[str]()
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if start and line == "```":
            name = re.fullmatch(r"`([\w./-]+)`:", before)
            place = f"{page.relative_to(ROOT)}:{start}"
            yield Block(language, "\n".join(lines) + "\n", name[1] if name else "", place)
            start, before = 0, ""
        elif start:
            lines.append(line)
        elif line.startswith("```"):
            language = line.removeprefix("```").partition(" ")[0]
            start, lines = number, []
        elif line.strip():
            before = line
    assert not start, f"{page}:{start}: the block does not end"


def run(words: list[str], cwd: Path, place: str, code: int = 0, *, terminal: bool = False) -> str:
    """Run a command that exits so and return its standard output; fail with all it said.

    On a `terminal` both streams are one.
    """
    done = subprocess.run(
        words,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if terminal else subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )
    said = f"{place}: exit {done.returncode}\n{done.stdout}\n{done.stderr or ''}"
    assert done.returncode == code, said
    return done.stdout


def here(words: list[str]) -> list[str]:
    """Return the command with this Python instead of any other."""
    programs = {"python": [sys.executable], "batchcore": [sys.executable, "-m", "batchcore"]}
    programs |= {name: [name] for name in ("cat", "cp", "sed")}
    return [*programs[words[0]], *words[1:]]


def check_command(line: str, cwd: Path, place: str) -> str | None:
    """Run a command and return what it printed; None where it was only checked."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for word in words[1:]:
            assert word in targets or "=" in word, f"{place}: there is no target {word}"
    elif words[0] == "pip":
        paths = [path for flag, path in itertools.pairwise(words) if flag == "-e"]
        assert paths, f"{place}: what is installed?"
        folders = [path.partition("[")[0] for path in paths]
        assert all(
            any((start / folder / "pyproject.toml").exists() for start in (ROOT, cwd))
            for folder in folders
        ), place
    elif words[0] in ELSEWHERE:
        return None
    elif words[:2] == ["python", "-m"]:
        known = run([*here(words[:3]), "--help"], cwd, place)
        own = itertools.takewhile(lambda word: word != "python", words[3:])
        assert all(word in known for word in own if word.startswith("--")), place
    elif any(container in line for container in CONTAINERS):
        if words[0] == "batchcore":
            run([*here(words[:2]), "--help"], cwd, place)
    else:
        code = re.search(r"  # exit (\d+)$", line)
        return run(here(words), cwd, place, int(code[1]) if code else 0)
    return None


def check_console(text: str, cwd: Path, place: str) -> None:
    """Run each command behind ``$`` and compare the lines that follow it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, expected = part.partition("\n")
        shown = check_command(line, cwd, place)
        if shown is not None and expected:
            pattern = ".*".join(re.escape(piece) for piece in expected.split("…"))
            assert re.fullmatch(pattern, shown, re.DOTALL), f"{place}: {line}\n{shown}"


def check_session(text: str, cwd: Path, place: str) -> Path:
    """Run what a terminal shows, compare all that it says, and return the last directory."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        line, _, expected = part.partition("\n")
        words, code = shlex.split(line, comments=True), re.search(r"  # exit (\d+)$", line)
        if words[0] == "cd":
            cwd = cwd / words[1]
            continue
        shown = run(here(words), cwd, place, int(code[1]) if code else 0, terminal=True)
        pattern = ".*".join(re.escape(piece) for piece in expected.split("…"))
        assert re.fullmatch(pattern, shown, re.DOTALL), f"{place}: {line}\n{shown}"
    return cwd


def written_by_init(cwd: Path) -> set[str]:
    """Return the files of the projects that a page's ``batchcore init`` has written."""
    return {str(file.relative_to(cwd)) for file in cwd.glob("batchcore-*/**/*")}


def files_before(page: Path) -> Iterator[Block]:
    """Yield the files of the pages with whose files this one goes on."""
    said = re.search(
        r"^You go on with the files of \[.+?\]\((.+?)\)", page.read_text(), re.MULTILINE
    )
    if said:
        earlier = page.parent / said[1]
        yield from files_before(earlier)
        yield from (block for block in blocks(earlier) if block.file)


def write(block: Block, cwd: Path) -> None:
    """Write the file that a block is."""
    (cwd / block.file).parent.mkdir(parents=True, exist_ok=True)
    (cwd / block.file).write_text(block.text)


def check_python(block: Block, cwd: Path) -> None:
    """Compile a file, which a later block uses, and run all else."""
    if block.file:
        compile(block.text, block.place, "exec")
        return
    (cwd / "block.py").write_text(block.text)
    run([sys.executable, "block.py"], cwd, block.place)


def check(block: Block, cwd: Path) -> None:
    """Do with a block what its language asks for."""
    assert block.language in LANGUAGES, f"{block.place}: what is {block.language!r}?"
    if block.file and block.file in written_by_init(cwd):
        assert block.text in (cwd / block.file).read_text(), f"{block.place}: not in {block.file}"
        return
    if block.file:
        write(block, cwd)
    if block.file == "batchcore.toml":
        run(here(["batchcore", "config", "show"]), cwd, block.place)
    elif block.language == "toml":
        path = cwd / (block.file or "block.toml")
        path.write_text(block.text)
        assert load_job(path).job.tasks, block.place
    elif block.language == "yaml":
        assert yaml.safe_load(block.text), block.place
    elif block.language == "python":
        check_python(block, cwd)
    elif block.language == "console":
        check_console(block.text, cwd, block.place)
    elif block.language == "sh":
        for line in block.text.replace("\\\n", " ").splitlines():
            check_command(line, cwd, block.place)


def name_of(page: Path) -> str:
    """Return a page's name from the root of the project."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_blocks_of_a_page_are_true(page: Path, tmp_path: Path) -> None:
    for block in files_before(page):
        write(block, tmp_path)
    cwd = tmp_path
    for block in blocks(page):
        if block.language == "shell-session":
            cwd = check_session(block.text, cwd, block.place)
        else:
            check(block, cwd)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in _anchors(there)):
            dead.append(target)
    assert dead == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings: lower case, words joined by hyphens."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).strip().replace(" ", "-") for text in headings}
