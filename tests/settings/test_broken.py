"""Every way to write a setting wrongly, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from batchcore.errors import BatchcoreError, NotFound, SettingsError

DOCKER = {"flags": {"backend": "local-docker"}}


def env(**variables: str) -> dict[str, Any]:
    return {**DOCKER, "environ": {f"BATCHCORE_{name}": text for name, text in variables.items()}}


def items(*written: str) -> dict[str, Any]:
    return {**DOCKER, "items": written}


def job(**section: Any) -> dict[str, Any]:
    return {**DOCKER, "job": {"backend": {"local-docker": section}}, "job_origin": "job.toml"}


# What is given, what happened, where, what to type.
BROKEN: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "unknown key in --set": (
        items("slts=4"), "local-docker has no setting 'slts'", "--set slts", 'mean "slots"?',
    ),
    "unknown key in a job": (
        job(netwrk="none"), "local-docker has no setting 'netwrk'",
        "job.toml backend.local-docker.netwrk", 'mean "backend.local-docker.network"?',
    ),
    "unknown variable of the backend": (
        env(LOCAL_DOCKER_SLTS="4"), "no setting 'slts'",
        "environment BATCHCORE_LOCAL_DOCKER_SLTS", 'mean "BATCHCORE_LOCAL_DOCKER_SLOTS"?',
    ),
    "near miss of a core variable": (
        env(MAX_PARALEL="4"), "there is no setting BATCHCORE_MAX_PARALEL",
        "environment BATCHCORE_MAX_PARALEL", "mean BATCHCORE_MAX_PARALLEL?",
    ),
    "unknown flag": (
        {"flags": {"max_paralel": 2}}, "there is no setting 'max_paralel'",
        "--max-paralel", 'mean "--max-parallel"?',
    ),
    "unknown key in a job's core": (
        {"job": {"fail_fst": True}, "job_origin": "job.toml"}, "there is no setting 'fail_fst'",
        "job.toml fail_fst", 'mean "fail_fast"?',
    ),
    "unknown nested key": (
        {"flags": {"backend": "azure"}, "items": ["pool.node=2"]},
        "azure has no setting 'pool.node'", "--set pool.node", 'mean "pool.nodes"?',
    ),
    "key below a plain value": (
        items("slots.max=2"), "slots is a whole number and has no part 'max'",
        "--set slots.max", "--set slots=4",
    ),
    "another backend's item": (
        items("azure.batch_url=u"), "azure.batch_url is a setting of azure",
        "--set azure.batch_url", "--backend azure",
    ),
    "item without a value": (items("slots"), "wants key=value", "--set", "--set slots=4"),
    "item without a key": (items("=4"), "wants key=value", "--set", "--set slots=4"),
    "item with half a key": (items("env.=4"), "wants key=value", "--set", "--set slots=4"),
    "text for a number": (
        env(LOCAL_DOCKER_SLOTS="four"), "slots must be a whole number, not 'four'",
        "environment BATCHCORE_LOCAL_DOCKER_SLOTS", "export BATCHCORE_LOCAL_DOCKER_SLOTS=4",
    ),
    "text for a truth value": (
        env(FAIL_FAST="yes"), "fail_fast must be true or false, not 'yes'",
        "environment BATCHCORE_FAIL_FAST", "export BATCHCORE_FAIL_FAST=true",
    ),
    "number out of range": (
        {"flags": {"max_parallel": 0}}, "max_parallel must be a whole number, at least 1, not 0",
        "--max-parallel", "--max-parallel 4",
    ),
    "value that is none of the choices": (
        items("network=nne"), 'network must be "bridge" or "none", not \'nne\'',
        "--set network", 'mean "none"?',
    ),
    "text for a list": (
        job(dns="1.1.1.1"), "dns must be a list, not '1.1.1.1'",
        "job.toml backend.local-docker.dns", 'write dns = ["a", "b"]',
    ),
    "text for a table": (
        items("env=A"), "env must be a table, not 'A'", "--set env", "--set env='{ key = 1 }'",
    ),
    "table for a number": (
        job(slots={"a": 1}), "slots must be a whole number, not {'a': 1}",
        "job.toml backend.local-docker.slots", "write slots = 4",
    ),
    "long value": (
        items("slots=" + "x" * 500), f"not '{'x' * 59}…", "--set slots", "--set slots=4",
    ),
    "values that contradict each other": (
        items("network=none", "dns=1.1.1.1"),
        "the settings of local-docker do not fit together: dns servers need a network",
        "--set", "batchcore config show",
    ),
    "section that is no table": (
        {"job": {"backend": {"azure": 3}}, "job_origin": "job.toml"},
        "backend.azure is not a table", "job.toml backend.azure", "[backend.azure]",
    ),
    "section of an unknown backend": (
        {"job": {"backend": {"azur": {}}}, "job_origin": "job.toml"},
        "there is no backend 'azur'", "job.toml backend.azur", 'mean "azure"?',
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_wrong_setting_is_explained(machine: Any, kind: str) -> None:
    given, reason, where, hint = BROKEN[kind]
    with pytest.raises(SettingsError) as caught:
        machine.resolve(**given)
    error = caught.value
    assert reason in error.reason
    assert error.where == where
    assert hint in error.hint
    assert (error.error_code, error.exit_code) == ("BC2400", 2)


@pytest.mark.parametrize(
    ("text", "reason", "where"),
    [
        ("max_paralel = 4", "no setting 'max_paralel'", "batchcore.toml max_paralel"),
        ("max_parallel = '4'", "must be a whole number", "batchcore.toml max_parallel"),
        ("backend = 3", "backend must be a text", "batchcore.toml backend"),
        ("runs = ''", "runs must be a text, of length at least 1", "batchcore.toml runs"),
        ("[backend.docker]", "no backend 'docker'", "batchcore.toml backend.docker"),
    ],
)
def test_a_wrong_file_is_explained(machine: Any, text: str, reason: str, where: str) -> None:
    machine.project(text)
    with pytest.raises(SettingsError) as caught:
        machine.resolve()
    assert reason in caught.value.reason
    assert caught.value.where == where


def test_a_tool_table_that_is_none_is_explained(machine: Any) -> None:
    machine.project("[tool]\nbatchcore = 3", "pyproject.toml")
    with pytest.raises(SettingsError, match="not a table"):
        machine.resolve()


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"environ": {"BATCHCORE_BACKEND": "azur"}}, "environment BATCHCORE_BACKEND"),
        ({"flags": {"backend": "azur"}}, "--backend"),
    ],
)
def test_a_wrong_choice_of_backend_is_traced_to_its_origin(
    machine: Any, given: dict[str, Any], where: str
) -> None:
    with pytest.raises(NotFound, match="no backend 'azur'") as caught:
        machine.resolve(**given)
    assert (caught.value.where, caught.value.error_code) == (where, "BC5002")
    assert caught.value.hint == 'did you mean "azure"?'


def test_every_error_has_something_to_type(machine: Any) -> None:
    for given, *_ in BROKEN.values():
        with pytest.raises(BatchcoreError) as caught:
            machine.resolve(**given)
        assert caught.value.hint
