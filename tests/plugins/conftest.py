"""Plugins for the tests: a good one, and what varies in the broken ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchcore.plugins import Plugins
from batchcore.testing.plugins import PluginInstaller, install_plugin

__all__ = ["good_plugin", "install_plugin", "plugins"]

GOOD = """
    from batchcore.backend import NATIVE, BackendSpec
    from batchcore.hookspecs import hookimpl

    @hookimpl
    def batchcore_register_backend():
        return BackendSpec(
            name="{name}",
            summary="for tests",
            factory="demo_backend:DemoBackend",
            settings="demo_settings:DemoSettings",
            capabilities={{"retries": NATIVE}},
        )
"""

BACKEND = """
    from batchcore.backend import Backend, Check, Snapshot

    class DemoBackend(Backend):
        def __init__(self, settings):
            self.settings = settings

        def check(self, plan):
            return Check()

        def store(self, run):
            return f"settings://{self.settings.slots}"

        def submit(self, run, tasks):
            pass

        def poll(self, run, cursor, wait):
            return Snapshot()

        def read_log(self, run, attempt, stream, offset):
            raise NotImplementedError

        def cancel(self, run, task_ids):
            pass

        def outputs(self, run, attempt):
            raise NotImplementedError

        def release(self, run, *, dry_run):
            return []

        def close(self):
            pass
"""

SETTINGS = """
    import msgspec

    class DemoSettings(msgspec.Struct, frozen=True):
        slots: int = 2
"""


@pytest.fixture
def plugins(install_plugin: PluginInstaller) -> Callable[..., Plugins]:
    """Return a function that looks at the plugins of this test alone."""

    def look(**environ: str) -> Plugins:
        return Plugins(environ=environ, entry_points=install_plugin.entry_points)

    return look


@pytest.fixture
def good_plugin(install_plugin: PluginInstaller) -> Callable[..., str]:
    """Return a function that installs a working backend, with parts replaced on request."""

    def install(
        name: str = "demo",
        *,
        source: str = GOOD,
        backend: str = BACKEND,
        settings: str = SETTINGS,
        distribution: str = "",
    ) -> str:
        return install_plugin(
            name,
            source.format(name=name) if source is GOOD else source,
            distribution=distribution,
            files={"demo_backend.py": backend, "demo_settings.py": settings},
        )

    return install
