"""Installing a plugin for the length of one test: fake distributions, no pip, no network."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from batchcore.hookspecs import BACKENDS
from batchcore.plugins.metadata import installed_entry_points


class PluginInstaller:
    """Writes distributions into a directory on ``sys.path``.

    Calling it installs one plugin; `entry_points` lists what was installed here and nothing else,
    in the form that `Plugins` takes. Nothing is imported.
    """

    def __init__(self, site: Path) -> None:
        """Install into `site`, an existing directory."""
        self.site = site

    def __call__(
        self,
        name: str,
        source: str | None,
        *,
        distribution: str = "",
        version: str = "1.0",
        module: str = "",
        group: str = BACKENDS,
        files: Mapping[str, str] | None = None,
    ) -> str:
        """Install a plugin and return the name of its distribution.

        `name` is the entry point's, `source` the text of its `module`; None leaves the module
        out. Defaults: distribution ``demo-<name>``, module ``demo_<name>_plugin``. `files` are
        further modules, file name to source.
        """
        distribution = distribution or f"demo-{name}"
        stem = distribution.replace("-", "_")
        module = module or f"demo_{name.replace('-', '_')}_plugin"
        info = self.site / f"{stem}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        entry = f"[{group}]\n{name} = {module}\n"
        (info / "entry_points.txt").write_text(entry, encoding="utf-8")
        sources = dict(files or {})
        if source is not None:
            sources[f"{module}.py"] = source
        for file, text in sources.items():
            (self.site / file).write_text(textwrap.dedent(text), encoding="utf-8")
        importlib.invalidate_caches()
        return distribution

    def entry_points(self, group: str) -> Iterator[EntryPoint]:
        """Yield the entry points of what was installed here."""
        return installed_entry_points(group, [str(self.site)])


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginInstaller]:
    """Install plugins that are found like any other and forgotten when the test ends.

    They are found in this process and, by ``PYTHONPATH``, in those that the test starts.
    """
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    before = set(sys.modules)
    yield PluginInstaller(site)
    # A module that stays would be what the next test gets under that name.
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(site)):
            del sys.modules[name]
    importlib.invalidate_caches()
