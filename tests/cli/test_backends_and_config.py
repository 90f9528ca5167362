"""The verbs `backends` and `config`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


def test_backends_are_listed_with_their_distribution(cli: Call) -> None:
    line = next(
        x for x in cli("backends", "list").out.splitlines() if x.startswith("local-process")
    )
    assert line.split()[1] == "batchcore"


def test_the_list_as_data(cli: Call) -> None:
    data = cli("backends", "list", "--json").data
    assert data["schema"] == "batchcore.backends/1"
    assert {"azure", "local-docker", "local-process"} <= {b["name"] for b in data["backends"]}


def test_listing_imports_no_backend(cli: Call, install_plugin: Call) -> None:
    install_plugin("loud", "raise SystemExit('imported')")
    done = cli("backends", "list")
    assert done.code == 0
    assert "loud" in done.out
    assert "demo_loud_plugin" not in sys.modules


def test_a_first_party_backend_that_is_missing_has_the_command_that_installs_it(
    cli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHCORE_BLOCK_PLUGINS", "batchcore-azure")
    azure = cli("backends", "list", "--json").data["backends"][0]
    assert (azure["name"], azure["installed"]) == ("azure", False)
    assert "pip install" in azure["hint"]


def test_a_backend_that_cannot_be_used_is_listed_with_the_reason(
    cli: Call, install_plugin: Call
) -> None:
    install_plugin("local-process", "", distribution="impostor")
    assert "a name that belongs to batchcore" in cli("backends", "list").out


def test_show_has_capabilities_with_reasons(cli: Call) -> None:
    data = cli("backends", "show", "local-process", "--json").data
    assert data["schema"] == "batchcore.backend/1"
    assert data["capabilities"]["containers"]["level"] == "unsupported"
    assert data["capabilities"]["containers"]["reason"]


def test_show_has_options_with_types_and_defaults(cli: Call) -> None:
    options = cli("backends", "show", "local-docker", "--json").data["options"]
    pull = next(option for option in options if option["key"] == "pull")
    assert pull["default"] == "missing"
    assert '"always"' in pull["type"]


def test_show_as_text(cli: Call) -> None:
    out = cli("backends", "show", "local-process").out
    assert out.startswith("local-process: child processes of this machine")
    assert "--set slots=VALUE" in out


def test_show_an_unknown_backend_exits_5_with_the_nearest(cli: Call) -> None:
    done = cli("backends", "show", "local-dokcer")
    assert done.code == 5
    assert 'did you mean "local-docker"?' in done.err


def test_config_shows_each_value_with_its_origin(
    cli: Call, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "batchcore.toml").write_text("max_parallel = 7\n")
    monkeypatch.setenv("BATCHCORE_FAIL_FAST", "true")
    lines = [line.split(maxsplit=2) for line in cli("config", "show").out.splitlines()]
    assert ["max_parallel", "7", "batchcore.toml"] in lines
    assert ["fail_fast", "true", "environment BATCHCORE_FAIL_FAST"] in lines
    assert ["backend", '"local-process"', "default"] in lines


def test_config_as_data(cli: Call) -> None:
    data = cli("config", "show", "--json").data
    assert data["schema"] == "batchcore.config/1"
    assert {"key": "fail_fast", "value": False, "origin": "default"} in data["settings"]


def test_config_of_a_backend(cli: Call) -> None:
    assert "local-docker.network" in cli("config", "show", "--backend", "local-docker").out


def test_config_of_one_file(cli: Call, here: Path) -> None:
    (here / "other.toml").write_text("max_parallel = 3\n")
    assert "other.toml" in cli("config", "show", "--config", "other.toml").out


def test_no_config_reads_no_file(cli: Call, here: Path) -> None:
    (here / "batchcore.toml").write_text("max_parallel = 7\n")
    assert "batchcore.toml" not in cli("config", "show", "--no-config").out


def test_config_hides_secrets(
    cli: Call, install_plugin: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
        from batchcore.backend import BackendSpec
        from batchcore.hookspecs import hookimpl

        @hookimpl
        def batchcore_register_backend():
            return BackendSpec(
                name="vault", summary="", factory="m:f", settings="vault_settings:Options",
                capabilities={},
            )
    """
    options = """
        import msgspec

        class Options(msgspec.Struct, frozen=True):
            access_token: str = ""
    """
    install_plugin("vault", source, files={"vault_settings.py": options})
    monkeypatch.setenv("BATCHCORE_VAULT_ACCESS_TOKEN", "hunter2")
    out = cli("config", "show", "--backend", "vault").out
    assert "hunter2" not in out
    assert "***" in out
