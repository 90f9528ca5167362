"""Words of a command, settings, resources on disk and places that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Check = Callable[..., None]

JOB = 'name = "j"\n[[tasks]]\nid = "train"\nshell = "true"\n'

COMMANDS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    # the fault: the command line, the exit code, what the answer says
    "no job file": ("run", 2, ("'JOB'", "batchcore run --help")),
    "two job files": ("run job.toml b.toml", 2, ("b.toml", "--help")),
    "a misspelt verb": ("rnu job.toml", 2, ("'batchcore rnu'", 'did you mean "run"?')),
    "a verb of nobody": ("zzz", 2, ("'batchcore zzz'", "see: batchcore --help")),
    "a misspelt verb of a group": ("backends shw x", 2, ('did you mean "show"?',)),
    "a misspelt option": ("run job.toml --bakend x", 2, ("--bakend", "did you mean --backend?")),
    "an option without value": ("run job.toml --dir", 2, ("'--dir' requires an argument",)),
    "a misspelt backend": ("run job.toml -b local-dokcer", 5, ('did you mean "local-docker"?',)),
    "no backend's page": ("backends show local-proces", 5, ('did you mean "local-process"?',)),
    "an empty backend": (
        "run job.toml --backend=",
        2,
        ("--backend is empty", "leave --backend out"),
    ),
    "an empty directory": ("run job.toml --dir=", 2, ("--dir is empty",)),
    "no task at once": ("run job.toml --max-parallel 0", 2, ("'--max-parallel'", "x>=1")),
    "many tasks at once": ("run job.toml --max-parallel many", 2, ("'--max-parallel'", "'many'")),
    "no such task": ("run job.toml --only trian", 5, ("'trian'", 'did you mean "train"?')),
    "two wishes for settings": (
        "run job.toml --config a --no-config",
        2,
        ("contradict", "keep one"),
    ),
    "settings that are not there": ("run job.toml --config no.toml", 2, ("no.toml", "--config")),
    "settings of a directory": ("run job.toml --config .", 2, ("Is a directory", "--no-config")),
    "a set without value": ("run job.toml --set slots", 2, ("key=value", "--set slots=4")),
    "a set without key": ("run job.toml --set =hunter2", 2, ("key=value", "--set slots=4")),
    "a misspelt set": ("run job.toml --set slot=4", 2, ("--set slot", 'did you mean "slots"?')),
    "a set of another type": ("run job.toml --set slots=many", 2, ("'many'", "--set slots=4")),
    "a set below zero": ("run job.toml --set slots=-1", 2, ("--set slots", "at least 1")),
    "a set of 5,000 digits": ("run job.toml --set slots=" + "9" * 5_000, 2, ("--set slots=4",)),
    "a secret set": ("run job.toml --set password=hunter2", 2, ("--set password", "export BATCH")),
    "a set of another backend": (
        "run job.toml --set local-docker.slots=1",
        2,
        ("runs on local-process", "--backend local-docker"),
    ),
    "a file for a directory": ("run job.toml --dir job.toml", 6, ("job.toml", "choose another")),
    "a directory below a file": ("run job.toml --runs job.toml", 6, ("Not a directory",)),
    "a directory with too long a name": ("run job.toml --runs " + "x" * 300, 2, ("too long",)),
    "no such run": ("status nosuch", 5, ("'nosuch'", "path of a run directory")),
    "a directory that is no run": ("logs .", 5, ("no run in", "batchcore status")),
    "a run with too long a name": ("fetch " + "x" * 5_000, 2, ("File name too long",)),
}


@pytest.mark.parametrize(("line", "code", "words"), COMMANDS.values(), ids=COMMANDS)
def test_a_wrong_command(refused: Check, line: str, code: int, words: tuple[str, ...]) -> None:
    refused({"job.toml": JOB}, *words, argv=tuple(line.split()), code=code)


SETTINGS: dict[str, tuple[str, str | bytes, int, tuple[str, ...]]] = {
    # the fault: the file, its text, the exit code, what the answer says
    "a misspelt key": ("batchcore.toml", "max_paralel = 1", 2, ("max_paralel", '"max_parallel"')),
    "a wrong type": ("batchcore.toml", "max_parallel = 'x'", 2, ("'x'", "max_parallel = 4")),
    "a broken file": ("batchcore.toml", "a = ", 2, ("batchcore.toml", "not valid TOML")),
    "UTF-16": ("batchcore.toml", "a = 1".encode("utf-16"), 2, ("save it as UTF-8",)),
    "5,000 digits": ("batchcore.toml", "max_parallel = " + "9" * 5_000, 2, ("batchcore.toml",)),
    "nested without end": (
        "batchcore.toml",
        "backend." + ".".join("a" * 5_000) + " = 1",
        2,
        ("batchcore.toml", "nested too deeply"),
    ),
    "a NUL in a path": ("batchcore.toml", r'runs = "a\u0000"', 2, ("batchcore.toml runs",)),
    "a secret": (
        "batchcore.toml",
        '[backend.local-process]\npassword = "hunter2"',
        2,
        ("backend.local-process.password", "export BATCHCORE_LOCAL_PROCESS_PASSWORD"),
    ),
    "a misspelt backend": ("batchcore.toml", "[backend.azur]\na = 1", 2, ('mean "azure"?',)),
    "a misspelt choice": ("batchcore.toml", 'backend = "azur"', 5, ('mean "azure"?',)),
    "in pyproject.toml": (
        "pyproject.toml",
        "[tool.batchcore]\nrun = 1",
        2,
        ("pyproject.toml run",),
    ),
}


@pytest.mark.parametrize(("name", "text", "code", "words"), SETTINGS.values(), ids=SETTINGS)
def test_wrong_settings(
    refused: Check, name: str, text: str | bytes, code: int, words: tuple[str, ...]
) -> None:
    refused({"job.toml": JOB, name: text}, *words, code=code)


VARIABLES: dict[str, tuple[str, str, int, tuple[str, ...]]] = {
    # the fault: the variable, its value, the exit code, what the answer says
    "misspelt": ("MAX_PARALEL", "3", 2, ("did you mean BATCHCORE_MAX_PARALLEL?",)),
    "a wrong type": ("MAX_PARALLEL", "x", 2, ("'x'", "export BATCHCORE_MAX_PARALLEL=4")),
    "no truth value": ("FAIL_FAST", "perhaps", 2, ("'perhaps'", "export BATCHCORE_FAIL_FAST=true")),
    "no such backend": ("BACKEND", "azur", 5, ("environment BATCHCORE_BACKEND", '"azure"')),
    "no such option": ("LOCAL_PROCESS_SLOT", "3", 2, ('"BATCHCORE_LOCAL_PROCESS_SLOTS"',)),
    "slots below zero": ("LOCAL_PROCESS_SLOTS", "-1", 2, ("at least 1", "_SLOTS=4")),
    "no such file": ("CONFIG", "no.toml", 2, ("no.toml", "environment BATCHCORE_CONFIG")),
}


@pytest.mark.parametrize(("name", "value", "code", "words"), VARIABLES.values(), ids=VARIABLES)
def test_a_wrong_variable(
    refused: Check,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    code: int,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setenv(f"BATCHCORE_{name}", value)
    refused({"job.toml": JOB}, *words, code=code)


SOURCES: dict[str, tuple[str, tuple[str, ...]]] = {
    # the fault: a resource's source, what the answer says
    "a misspelt file": ("dta.csv", ("'dta.csv'", "did you mean", "data.csv")),
    "no such directory": ("no/data.csv", ("there is no directory",)),
    "a pattern that matches nothing": ("*.tsv", ("'*.tsv' matches no file", "look into")),
    "an open bracket": ("[a.csv", ("an unclosed bracket", "[[]")),
    "a Windows path": (r"data\a.csv", ("there is no file", 'write "data/a.csv"')),
    "a pipe": ("pipe", ("not a regular file",)),
    "a link to itself": ("loop", ("Too many levels of symbolic links",)),
    "a link to nothing": ("dangling", ("cannot be read",)),
    "a file that cannot be read": ("/proc/self/mem", ("'/proc/self/mem' cannot be read",)),
    "an unknown kind of address": ("nope://x/y", ("nope", "its fsspec package")),
    "a name too long": ("x" * 5_000, ("File name too long",)),
}


@pytest.mark.parametrize(("source", "words"), SOURCES.values(), ids=SOURCES)
def test_a_wrong_source(refused: Check, source: str, words: tuple[str, ...]) -> None:
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nothing")
    job = f"{JOB}resources = [{{ path = 'r', source = '{source}' }}]"
    refused({"job.toml": job, "data.csv": ""}, "job.toml tasks[0].resources[r].source", *words)


def test_a_directory_that_everybody_can_write_to(refused: Check) -> None:
    Path("open").mkdir()
    Path("open").chmod(0o777)
    argv = ("run", "job.toml", "--dir", "open")
    refused({"job.toml": JOB}, "can be written by everybody", "chmod 700", argv=argv, code=6)


def test_a_directory_of_another_run(refused: Check, ask: Callable[..., object]) -> None:
    ask({"other.toml": JOB.replace("true", "exit 0")}, "run", "other.toml", "--dir", "d")
    argv = ("run", "job.toml", "--dir", "d")
    refused({"job.toml": JOB}, "holds another run", "choose another", argv=argv, code=9)
