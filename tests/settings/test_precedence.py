"""Which of several values counts, and what is said about where it came from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.model import Job
from batchcore.settings import ConfigFile, CoreSettings, combine, job_settings
from batchcore.settings.model import SettingRow

# Strong to weak; each gives max_parallel its own value.
ORDER = ("flag", "set", "environment", "job", "project", "user")


def scene(machine: Any, sources: set[str]) -> Any:
    if "project" in sources:
        machine.project("max_parallel = 5")
    if "user" in sources:
        machine.user("max_parallel = 6")
    return machine.resolve(
        flags={"max_parallel": 1} if "flag" in sources else {},
        items=["max_parallel=2"] if "set" in sources else [],
        environ={"BATCHCORE_MAX_PARALLEL": "3"} if "environment" in sources else {},
        job={"max_parallel": 4} if "job" in sources else {},
        job_origin="job.toml",
    )


def test_without_any_source_the_defaults_hold(machine: Any) -> None:
    settings = machine.resolve()
    assert settings.core == CoreSettings()
    assert set(settings.origins.values()) == {"default"}


@pytest.mark.parametrize("strongest", range(len(ORDER)))
def test_the_strongest_source_wins(machine: Any, strongest: int) -> None:
    settings = scene(machine, set(ORDER[strongest:]))
    assert settings.core.max_parallel == strongest + 1


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ("flag", "--max-parallel"),
        ("set", "--set"),
        ("environment", "environment BATCHCORE_MAX_PARALLEL"),
        ("job", "job.toml"),
        ("project", "batchcore.toml"),
    ],
)
def test_each_value_has_its_origin(machine: Any, source: str, origin: str) -> None:
    origins = scene(machine, {source}).origins
    assert origins["max_parallel"] == origin
    assert origins["fail_fast"] == "default"


def test_the_users_file_is_named_by_its_path(machine: Any) -> None:
    path = machine.user("fail_fast = true")
    assert machine.resolve().origins["fail_fast"] == str(path)


def test_a_flag_that_was_not_given_counts_for_nothing(machine: Any) -> None:
    machine.project("max_parallel = 5")
    assert machine.resolve(flags={"max_parallel": None}).core.max_parallel == 5


def test_false_is_a_value(machine: Any) -> None:
    machine.project("fail_fast = true")
    assert machine.resolve(flags={"fail_fast": False}).core.fail_fast is False


def test_an_empty_variable_counts_as_not_set(machine: Any) -> None:
    machine.project("max_parallel = 5")
    assert machine.resolve(environ={"BATCHCORE_MAX_PARALLEL": ""}).core.max_parallel == 5


def test_the_later_of_two_items_wins(docker: Any) -> None:
    assert docker(items=["slots=1", "local-docker.slots=2"]).slots == 2


def test_backend_settings_come_from_all_sources(machine: Any) -> None:
    machine.project("[backend]\ndefault = 'local-docker'\n[backend.local-docker]\nslots = 3")
    machine.user("[backend.local-docker]\nslots = 1\nnote = 'mine'")
    settings = machine.resolve(
        environ={"BATCHCORE_LOCAL_DOCKER_PULL": "false"},
        job={"backend": {"local-docker": {"grace": 5}}},
        job_origin="job.toml",
        items=["network=none"],
    )
    value = settings.backend
    found = (value.slots, value.note, value.pull, value.grace, value.network)
    assert found == (3, "mine", False, 5.0, "none")
    assert {k: v for k, v in settings.origins.items() if v != "default"} == {
        "backend": "batchcore.toml",
        "local-docker.slots": "batchcore.toml",
        "local-docker.note": str(machine.config_dir / "config.toml"),
        "local-docker.pull": "environment BATCHCORE_LOCAL_DOCKER_PULL",
        "local-docker.grace": "job.toml",
        "local-docker.network": "--set",
    }


def test_nested_tables_are_merged_key_by_key(machine: Any) -> None:
    machine.project("[backend]\ndefault='azure'\n[backend.azure]\npool = { nodes = 3, size = 'L' }")
    settings = machine.resolve(environ={"BATCHCORE_AZURE_POOL__NODES": "7"})
    assert (settings.backend.pool.nodes, settings.backend.pool.size) == (7, "L")
    assert settings.origins["azure.pool.nodes"] == "environment BATCHCORE_AZURE_POOL__NODES"
    assert settings.origins["azure.pool.size"] == "batchcore.toml"


def test_free_tables_are_merged_key_by_key(docker: Any) -> None:
    value = docker(
        job={"backend": {"local-docker": {"env": {"A": "job", "B": "job"}}}},
        items=["env.B=set", 'env."c.d"=dots'],
    )
    assert value.env == {"A": "job", "B": "set", "c.d": "dots"}


def test_a_plain_value_replaces_a_table_and_the_other_way_round(machine: Any) -> None:
    machine.project("[backend]\ndefault='azure'\n[backend.azure]\nspare = { nodes = 3 }")
    assert machine.resolve(items=["spare=existing"]).backend.spare == "existing"
    machine.project("[backend]\ndefault='azure'\n[backend.azure]\nspare = 'existing'")
    assert machine.resolve(items=["spare.nodes=2"]).backend.spare.nodes == 2


def test_an_empty_table_takes_nothing_away(docker: Any) -> None:
    job = {"backend": {"local-docker": {"env": {"A": "1"}}}}
    assert docker(job=job, items=["env={}"]).env == {"A": "1"}


def test_lists_are_replaced_whole(docker: Any) -> None:
    job = {"backend": {"local-docker": {"dns": ["1.1.1.1", "8.8.8.8"]}}}
    assert docker(job=job, items=["dns=9.9.9.9"]).dns == ["9.9.9.9"]


def test_sections_of_backends_that_are_not_chosen_are_left_alone(machine: Any) -> None:
    machine.project("[backend.azure]\nno_such_key = 1")
    assert machine.resolve().core.backend == "local-process"


def test_variables_of_other_backends_and_of_the_core_are_left_alone(machine: Any) -> None:
    own = ["RUN_ID", "TASK_ID", "ATTEMPT", "CRASH_AT", "RAISE", "BLOCK_PLUGINS", "REQUIRE"]
    names = [*own, "AZURE_WHAT", "SITE_X"]
    assert machine.docker(environ={f"BATCHCORE_{name}": "x" for name in names})


def test_the_longest_backend_name_owns_a_variable(machine: Any) -> None:
    environ = {"BATCHCORE_LOCAL_DOCKER_SLOTS": "4"}
    assert machine.resolve(environ=environ, flags={"backend": "local"})
    assert machine.docker(environ=environ).backend.slots == 4


def test_what_a_job_says_is_the_job_layer(machine: Any) -> None:
    job = Job("j", command="true", max_parallel=3, backend_options={"azure": {"batch_url": "u"}})
    settings = machine.resolve(job=job_settings(job), flags={"backend": "azure"})
    assert (settings.core.max_parallel, settings.backend.batch_url) == (3, "u")
    assert settings.origins["fail_fast"] == "default"


LAYER = st.fixed_dictionaries(
    {},
    optional={
        "max_parallel": st.integers(1, 99),
        "fail_fast": st.booleans(),
        "runs": st.sampled_from(["a", "b/c", "/d"]),
    },
)


class OneBackend:
    def known(self) -> list[str]:
        return ["local-process"]

    def settings_type(self, name: str) -> Any:
        import msgspec

        return msgspec.defstruct("Empty", [], frozen=True)


@given(st.lists(LAYER, max_size=5))
def test_any_stack_of_files_is_merged_key_by_key(layers: list[dict[str, Any]]) -> None:
    files = [ConfigFile(f"file {n}", layer) for n, layer in enumerate(layers)]
    settings = combine(OneBackend(), files)
    merged = {key: value for layer in layers for key, value in layer.items()}
    assert settings.core == CoreSettings(**merged)
    for key in ("max_parallel", "fail_fast", "runs"):
        setters = [file.label for file in files if key in file.data]
        assert settings.origins[key] == (setters[-1] if setters else "default")


def test_rows_cover_every_setting_once(machine: Any) -> None:
    rows = machine.docker(items=["env.A=1"]).redacted()
    assert SettingRow("local-docker.env.A", "1", "--set") in rows
    assert [row.key for row in rows] == [
        "backend", "runs", "max_parallel", "fail_fast", "on_interrupt",
        *(f"local-docker.{key}" for key in ("slots", "network", "pull", "grace", "dns")),
        "local-docker.env.A", "local-docker.note",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["https://a", '"https://a"', " 'https://a' "])
def test_a_variable_of_the_backends_own_fills_an_option(machine: Any, text: str) -> None:
    settings = machine.resolve(flags={"backend": "azure"}, environ={"BATCH_URL": text})
    assert settings.backend.batch_url == "https://a"
    assert settings.origins["azure.batch_url"] == "environment BATCH_URL"


def test_a_variable_of_the_backends_own_is_weaker_than_all_other_sources(machine: Any) -> None:
    machine.user('[backend.azure]\nbatch_url = "from the file"')
    settings = machine.resolve(flags={"backend": "azure"}, environ={"BATCH_URL": "weak"})
    assert settings.backend.batch_url == "from the file"


@pytest.mark.parametrize("text", ["", "''", '""', " "])
def test_an_empty_variable_of_the_backends_own_gives_nothing(machine: Any, text: str) -> None:
    settings = machine.resolve(flags={"backend": "azure"}, environ={"BATCH_URL": text})
    assert settings.origins["azure.batch_url"] == "default"


def test_a_variable_of_another_backend_gives_nothing(machine: Any) -> None:
    assert machine.docker(environ={"BATCH_URL": "https://a"}) == machine.docker()
