"""Finding plugins by name and loading one at a time.

Listing reads metadata only (`metadata`). What a plugin's code does wrong is caught, named with
its distribution and kept away from all others (`loading`, `observers`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import msgspec

from batchcore import hookspecs
from batchcore.errors import NotFound, PluginError, Problem, suggest
from batchcore.plugins import loading
from batchcore.plugins.metadata import (
    FIRST_PARTY,
    InstalledPlugin,
    installed_entry_points,
    plugins_of,
    with_problems,
)
from batchcore.plugins.observers import Observer, Warn

if TYPE_CHECKING:
    from batchcore.backend import Backend, BackendSpec, Finding
    from batchcore.model import Job

__all__ = ["FIRST_PARTY", "InstalledPlugin", "Observer", "Plugins"]

EntryPoints = Callable[[str], Iterable[EntryPoint]]


class Plugins:
    """The plugins of this installation; builds its picture at first use and keeps it.

    `environ` defaults to the process's own. Two variables matter: ``BATCHCORE_BLOCK_PLUGINS``, a
    list of distributions to leave out, separated by commas, and ``BATCHCORE_RAISE=1``, with which
    the author of a plugin sees its own exceptions. `entry_points` maps a group to entry points,
    default those of all installed distributions. `warn` takes a line about an observer that is
    broken, default this module's logger.

    Everything that goes wrong in a plugin is a `PluginError` (permanent) that names the
    distribution, with the plugin's exception as its cause.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        entry_points: EntryPoints | None = None,
        warn: Warn | None = None,
    ) -> None:
        """Keep where to look; nothing is read yet."""
        environ = os.environ if environ is None else environ
        blocked = environ.get("BATCHCORE_BLOCK_PLUGINS", "").split(",")
        self._blocked = tuple(name.strip() for name in blocked if name.strip())
        self._reraise = environ.get("BATCHCORE_RAISE", "") not in ("", "0")
        self._entry_points = entry_points or installed_entry_points
        self._warn = warn or logging.getLogger(__name__).warning
        self._specs: dict[InstalledPlugin, BackendSpec] = {}

    def names(self) -> Sequence[InstalledPlugin]:
        """Return the installed backends, sorted by name; imports nothing.

        One that cannot be used for a reason that the metadata shows (two distributions with one
        name, a first-party name, an odd name) carries that in `problem`.
        """
        return self._backends

    def known(self) -> Sequence[str]:
        """Return the names of all usable and all first-party backends, sorted."""
        usable = (plugin.name for plugin in self._backends if not plugin.problem)
        return sorted({*usable, *FIRST_PARTY})

    def spec(self, name: str) -> BackendSpec:
        """Return the description of a backend; imports its light module and no other plugin.

        Raises `NotFound` (BC5002) with the command that installs it, or the nearest name, and
        `PluginError` where the plugin is broken.
        """
        return self._spec(self._plugin(name))

    def settings_type(self, name: str) -> type[msgspec.Struct]:
        """Return the type of a backend's settings: a frozen Struct, all of it with defaults."""
        plugin = self._plugin(name)
        return loading.load_settings_type(plugin, self._spec(plugin), reraise=self._reraise)

    def create(self, name: str, settings: object) -> Backend:
        """Return the backend for settings of its type; this is where its SDK gets imported.

        Errors of this project that its factory raises, such as `EnvironmentNotReady`, pass
        through; any other is a `PluginError`.
        """
        plugin = self._plugin(name)
        return loading.create_backend(plugin, self._spec(plugin), settings, reraise=self._reraise)

    def examine(self, name: str, settings: object) -> Iterator[Finding]:
        """Yield what a backend's own doctor finds; one that brings none has nothing to say.

        Errors of this project that it raises, such as `EnvironmentNotReady`, pass through; any
        other is a `PluginError`.
        """
        plugin = self._plugin(name)
        spec = self._spec(plugin)
        if spec.doctor:
            yield from loading.examine(plugin, spec, settings, reraise=self._reraise)

    def scan(self) -> Iterator[BackendSpec | PluginError]:
        """Yield every installed backend's description, or what is wrong with it, by name."""
        for plugin in self._backends:
            try:
                yield self._spec(plugin)
            except PluginError as exc:
                yield exc

    def observers(self) -> Sequence[Observer]:
        """Return the plugins of group ``batchcore.plugins``, loaded at the first call.

        One that cannot be loaded is reported once and left out.
        """
        return self._observers

    def validate(self, job: Job, backend: str) -> Sequence[Problem]:
        """Return what all validators say against a job; one that raises is a problem itself."""
        return [
            problem
            for observer in self._observers
            for problem in observer.validate_job(job, backend)
        ]

    @cached_property
    def _backends(self) -> tuple[InstalledPlugin, ...]:
        allowed = plugins_of(self._entry_points(hookspecs.BACKENDS), self._blocked)
        return with_problems(allowed)

    @cached_property
    def _observers(self) -> tuple[Observer, ...]:
        found = []
        for plugin in plugins_of(self._entry_points(hookspecs.OBSERVERS), self._blocked):
            try:
                with loading.blaming(plugin, reraise=self._reraise):
                    hooks = loading.load_hooks(plugin, hookspecs.OBSERVERS)
            except PluginError as exc:
                self._warn(exc.reason)
            else:
                found.append(Observer(plugin, hooks, self._warn, reraise=self._reraise))
        return tuple(found)

    def _spec(self, plugin: InstalledPlugin) -> BackendSpec:
        if plugin.problem:
            raise PluginError(plugin.problem, hint=plugin.hint, where=plugin.value)
        if plugin not in self._specs:
            self._specs[plugin] = loading.load_spec(plugin, reraise=self._reraise)
        return self._specs[plugin]

    def _plugin(self, name: str) -> InstalledPlugin:
        """Return the entry of a name, a usable one before one with a problem."""
        found = [plugin for plugin in self._backends if plugin.name == name]
        if found:
            return min(found, key=lambda plugin: bool(plugin.problem))
        raise self._not_found(name)

    def _not_found(self, name: str) -> NotFound:
        code = "BC5002"
        for plugin in plugins_of(self._entry_points(hookspecs.BACKENDS)):
            if plugin.name == name:
                return NotFound(
                    f"backend {name!r} of {plugin.label} is left out by BATCHCORE_BLOCK_PLUGINS",
                    hint=f"take {plugin.distribution} out of that variable",
                    code=code,
                )
        if owner := FIRST_PARTY.get(name):
            return NotFound(f"backend {name!r} is not installed", hint=owner.advice, code=code)
        installed = ", ".join(p.name for p in self._backends if not p.problem) or "none"
        return NotFound(
            f"there is no backend {name!r}; installed: {installed}",
            hint=suggest(name, self.known()),
            code=code,
        )
