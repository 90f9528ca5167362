"""`run --dry-run`: says what would happen, and nothing happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchcore.jobfile import load_job

Call = Callable[..., Any]


def test_it_creates_nothing(cli: Call, job: Call, tree: Call) -> None:
    file = job(more='resources = [{ path = "in.txt", text = "1" }]')
    before = tree()
    assert cli("run", file, "--dry-run").code == 0
    assert tree() == before


def test_it_says_what_would_be_created(cli: Call, job: Call) -> None:
    out = cli("run", job(), "--dry-run").out
    assert "would create    run demo-" in out
    assert "on local-process, in .batchcore/demo-" in out


def test_it_says_what_would_be_uploaded(cli: Call, job: Call) -> None:
    more = 'resources = [{ path = "in.txt", text = "12345" }]'
    out = cli("run", job(more=more, a="true", b="true"), "--dry-run").out
    assert "would upload    1 file, 5 B\n" in out


def test_it_says_what_would_be_run(cli: Call, job: Call) -> None:
    out = cli("run", job(more="", a="echo hello", b="true"), "--dry-run").out
    assert "would run       2 tasks: /bin/sh -c 'echo hello'   (the first, a)" in out


def test_it_shows_the_image_and_the_notes(cli: Call, job: Call) -> None:
    out = cli("run", job(more='image = "worker:v1"'), "--dry-run").out
    assert "image           worker:v1\n" in out
    assert "note            local-process runs the commands on this machine" in out


def test_it_knows_a_run_that_is_there(cli: Call, job: Call) -> None:
    file = job()
    cli("run", file)
    assert "would continue  run demo-" in cli("run", file, "--dry-run").out


def test_with_json_it_prints_the_equal_job_file(cli: Call, job: Call, here: Path) -> None:
    file = job(more="retries = 2", a="echo hello > out.txt")
    (here / "same.json").write_text(cli("run", file, "--dry-run", "--json").out)
    assert load_job(here / "same.json").job == load_job(here / file).job


def test_a_wrong_job_exits_2(cli: Call, job: Call) -> None:
    assert cli("run", job(more='bakend = "x"'), "--dry-run").code == 2


def test_control_characters_are_shown_and_not_sent(cli: Call, job: Call) -> None:
    assert "\x1b" not in cli("run", job(a="printf '\x1b[2J'"), "--dry-run").out
