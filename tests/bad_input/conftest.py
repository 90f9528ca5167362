"""One question for every case: what does the command line say to this, and what has it left?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from batchcore.cli.edge import call
from batchcore.cli.root import root
from batchcore.cli.session import Session


class Answer(NamedTuple):
    """How a command ended, and what is in the directory that was not there before."""

    code: int
    text: str
    left: set[str]


Ask = Callable[..., Answer]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Write files into an empty directory, run a command there, and look what it did."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(files: Mapping[str, str | bytes], *argv: str) -> Answer:
        for name, content in files.items():
            path = here / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        before = _tree(here)
        capsys.readouterr()
        code = call(root, Session(argv))
        said = capsys.readouterr()
        return Answer(code, said.out + said.err, _tree(here) - before)

    return run


@pytest.fixture
def refused(ask: Ask) -> Callable[..., None]:
    """Hold an answer to the rules: its exit code, its words, and that nothing was created."""

    def check(
        files: Mapping[str, str | bytes],
        *words: str,
        argv: tuple[str, ...] = ("run", "job.toml"),
        code: int = 2,
    ) -> None:
        answer = ask(files, *argv)
        assert [word for word in words if word not in answer.text] == [], answer.text
        assert answer.code == code
        assert answer.left == set()
        assert "hunter2" not in answer.text
        assert len(answer.text) < 10_000

    return check


def _tree(here: Path) -> set[str]:
    return {str(path.relative_to(here)) for path in here.rglob("*")}
