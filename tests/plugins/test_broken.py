"""One tiny broken plugin for each way to be broken, and what its user is told."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.backend import API_VERSION, Backend, BackendSpec
from batchcore.errors import EnvironmentNotReady, PluginError, exit_code_of
from batchcore.plugins import Plugins
from batchcore.settings import resolve
from batchcore.testing.plugins import PluginInstaller

Look = Callable[..., Plugins]
Good = Callable[..., str]

HEAD = """
from batchcore.backend import BackendSpec, NATIVE
from batchcore.hookspecs import hookimpl

def spec(**changes):
    fields = dict(name="demo", summary="s", factory="m:f", settings="m:s", capabilities={})
    return BackendSpec(**{**fields, **changes})

"""


def returning(expression: str) -> str:
    return f"{HEAD}@hookimpl\ndef batchcore_register_backend():\n    return {expression}\n"


BROKEN = {
    "raises at import": ("raise ValueError('odd\\n  moment')", "ValueError: odd moment"),
    "leaves at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "syntax error": ("def f(:", "SyntaxError"),
    "needs a module": ("import no_such_sdk.part", "it needs 'no_such_sdk'"),
    "no hook": ("x = 1", "has no hook batchcore_register_backend"),
    "undecorated hook": (
        "def batchcore_register_backend(): ...",
        "has no hook batchcore_register_backend",
    ),
    "misspelt hook": (
        f"{HEAD}@hookimpl\ndef batchcore_register_backned(): ...",
        "unknown hook 'batchcore_register_backned'",
    ),
    "hook with a strange argument": (
        f"{HEAD}@hookimpl\ndef batchcore_register_backend(colour): ...",
        "colour",
    ),
    "hook raises": (returning("1 / 0"), "ZeroDivisionError"),
    "hook leaves": (returning("exit()"), "SystemExit"),
    "spec misses a field": (returning("BackendSpec(name='demo')"), "TypeError"),
    "returns another type": (returning("{'name': 'demo'}"), "returned a dict, not one"),
    "returns two": (returning("[spec(), spec()]"), "returned a list, not one BackendSpec"),
    "returns None": (returning("None"), "returned None, not one BackendSpec"),
    "another name": (returning("spec(name='other')"), "describes itself as 'other'"),
    "newer interface": (
        returning(f"spec(api_version={API_VERSION + 1})"),
        f"version {API_VERSION + 1} of the plugin interface",
    ),
    "no interface": (returning("spec(api_version=None)"), "version None of the plugin interface"),
    "factory is no text": (returning("spec(factory=print)"), "must be texts"),
    "capabilities are no table": (returning("spec(capabilities=['gpus'])"), "must map names"),
    "capability is no Capability": (
        returning("spec(capabilities={'gpus': True})"),
        "must map names",
    ),
    "unknown capability": (
        returning("spec(capabilities={'gpu': NATIVE})"),
        "unknown capability 'gpu'",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_with_its_distribution_and_reason(
    install_plugin: PluginInstaller, plugins: Look, kind: str
) -> None:
    source, reason = BROKEN[kind]
    install_plugin("demo", source, distribution="broken-dist", version="0.7")
    with pytest.raises(PluginError) as caught:
        plugins().spec("demo")
    error = caught.value
    assert reason in error.reason
    assert "plugin 'demo' of broken-dist 0.7 cannot be used" in error.reason
    assert "\n" not in error.reason
    assert (error.error_code, exit_code_of(error)) == ("BC2500", 2)
    assert error.hint


def test_a_missing_module_is_named(install_plugin: PluginInstaller, plugins: Look) -> None:
    install_plugin("demo", None, module="demo_gone")
    with pytest.raises(PluginError, match="No module named 'demo_gone'"):
        plugins().spec("demo")


def test_the_hint_for_a_misspelt_capability_is_the_right_one(
    install_plugin: PluginInstaller, plugins: Look
) -> None:
    install_plugin("demo", BROKEN["unknown capability"][0])
    with pytest.raises(PluginError) as caught:
        plugins().spec("demo")
    assert caught.value.hint == 'did you mean "gpus"?'


def test_the_plugins_own_exception_is_the_cause(
    install_plugin: PluginInstaller, plugins: Look
) -> None:
    install_plugin("demo", "raise ValueError('deep inside')")
    with pytest.raises(PluginError) as caught:
        plugins().spec("demo")
    cause = caught.value.__cause__
    assert isinstance(cause, ValueError)
    assert "demo_demo_plugin.py" in "".join(traceback.format_exception(cause))


@pytest.mark.parametrize(
    ("source", "kind"), [("raise SystemExit(3)", SystemExit), ("1 / 0", ZeroDivisionError)]
)
def test_an_author_can_ask_for_the_original_exception(
    install_plugin: PluginInstaller, plugins: Look, source: str, kind: type[BaseException]
) -> None:
    install_plugin("demo", source)
    with pytest.raises(kind):
        plugins(BATCHCORE_RAISE="1").spec("demo")


def test_ctrl_c_during_an_import_is_not_the_plugins_fault(
    install_plugin: PluginInstaller, plugins: Look
) -> None:
    install_plugin("demo", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        plugins().spec("demo")


def test_a_good_plugin_works_beside_seven_broken_ones(
    install_plugin: PluginInstaller, good_plugin: Good, plugins: Look
) -> None:
    for number, kind in enumerate(list(BROKEN)[:7]):
        install_plugin(f"broken-{number}", BROKEN[kind][0])
    good_plugin("demo")
    look = plugins()
    scanned = list(look.scan())
    assert sum(isinstance(found, PluginError) for found in scanned) == 7
    assert [found.name for found in scanned if isinstance(found, BackendSpec)] == ["demo"]
    assert isinstance(look.create("demo", look.settings_type("demo")()), Backend)


def test_a_description_is_loaded_once(good_plugin: Good, plugins: Look) -> None:
    good_plugin("demo")
    look = plugins()
    assert look.spec("demo") is look.spec("demo")


def test_reading_a_description_imports_neither_backend_nor_settings(
    good_plugin: Good, plugins: Look
) -> None:
    good_plugin("demo", backend="raise SystemExit", settings="raise SystemExit")
    assert plugins().spec("demo").summary == "for tests"


def test_a_factory_gets_the_settings(good_plugin: Good, plugins: Look) -> None:
    good_plugin("demo")
    settings = plugins().settings_type("demo")(slots=7)
    backend: Any = plugins().create("demo", settings)
    assert backend.store(None) == "settings://7"


FACTORIES = {
    "missing attribute": ("x = 1", "no attribute 'DemoBackend'"),
    "raises at import": ("1 / 0", "ZeroDivisionError"),
    "not callable": ("DemoBackend = 3", "cannot be called"),
    "raises": ("def DemoBackend(settings): raise OSError('no disk')", "OSError: no disk"),
    "leaves": ("def DemoBackend(settings): raise SystemExit(2)", "SystemExit: 2"),
    "returns another type": (
        "def DemoBackend(settings): return 3",
        "returned a int, not a Backend",
    ),
    "abstract": (
        "from batchcore.backend import Backend\nclass DemoBackend(Backend): ...",
        "TypeError",
    ),
    "imports an SDK in its module": ("import demo_sdk.core", "it needs 'demo_sdk'"),
    "imports an SDK when called": ("def DemoBackend(s): import demo_sdk", "it needs 'demo_sdk'"),
}


@pytest.mark.parametrize("kind", FACTORIES)
def test_a_broken_factory_is_named_with_its_distribution(
    good_plugin: Good, plugins: Look, kind: str
) -> None:
    backend, reason = FACTORIES[kind]
    good_plugin("demo", backend=backend)
    with pytest.raises(PluginError, match=r"'demo' of demo-demo 1\.0 cannot be used") as caught:
        plugins().create("demo", None)
    assert reason in caught.value.reason


def test_a_missing_sdk_of_a_third_party_comes_with_the_command(
    good_plugin: Good, plugins: Look
) -> None:
    good_plugin("demo", backend="import demo_sdk")
    with pytest.raises(PluginError) as caught:
        plugins().create("demo", None)
    assert caught.value.hint == "pip install --upgrade demo-demo"


def test_a_missing_sdk_of_a_first_party_backend_comes_with_the_command(
    good_plugin: Good, plugins: Look
) -> None:
    good_plugin("azure", distribution="batchcore-azure", backend="import demo_sdk")
    with pytest.raises(PluginError, match="it needs 'demo_sdk'") as caught:
        plugins().create("azure", None)
    assert 'pip install "batchcore[azure]"' in caught.value.hint


def test_what_a_factory_says_in_this_projects_errors_passes_through(
    good_plugin: Good, plugins: Look
) -> None:
    source = "from batchcore.errors import EnvironmentNotReady\n"
    source += "def DemoBackend(settings): raise EnvironmentNotReady('no daemon')"
    good_plugin("demo", backend=source)
    with pytest.raises(EnvironmentNotReady, match="no daemon"):
        plugins().create("demo", None)


@pytest.mark.parametrize("path", ["demo_backend", "demo_backend:", ":DemoBackend", ""])
def test_a_factory_must_name_a_module_and_something_in_it(
    install_plugin: PluginInstaller, plugins: Look, path: str
) -> None:
    install_plugin("demo", returning(f"spec(factory={path!r})"))
    with pytest.raises(PluginError, match="not of the form package"):
        plugins().create("demo", None)


STRUCT = "import msgspec\nclass DemoSettings(msgspec.Struct, frozen=True):\n    "
SETTINGS = {
    "not a type": ("DemoSettings = 3", "is not a msgspec.Struct"),
    "another type": ("DemoSettings = dict", "is not a msgspec.Struct"),
    "not frozen": ("import msgspec\nclass DemoSettings(msgspec.Struct): x: int = 1", "not frozen"),
    "without a default": (
        f"{STRUCT}x: int; y: int",
        "has no default for x, y",
    ),
    "defaults that it refuses": (
        f"{STRUCT}def __post_init__(self): raise ValueError('never right')",
        "never right",
    ),
    "of a type that msgspec refuses": (
        f"{STRUCT}x: list | set = []",
        "TypeError",
    ),
    "missing": ("", "no attribute 'DemoSettings'"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_wrong_settings_type_is_named(good_plugin: Good, plugins: Look, kind: str) -> None:
    settings, reason = SETTINGS[kind]
    good_plugin("demo", settings=settings)
    with pytest.raises(PluginError, match=r"demo-demo 1\.0") as caught:
        plugins().settings_type("demo")
    assert reason in caught.value.reason


def test_a_plugins_settings_are_resolved_like_any(
    good_plugin: Good, plugins: Look, tmp_path: Path
) -> None:
    good_plugin("demo")
    look = plugins()
    environ = {"BATCHCORE_BACKEND": "demo", "BATCHCORE_DEMO_SLOTS": "5"}
    settings = resolve(look, environ=environ, cwd=tmp_path, config_dir=tmp_path)
    assert settings.backend == look.settings_type("demo")(slots=5)
