"""Importing one plugin, and saying whose fault it is when that fails."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy

from batchcore import hookspecs
from batchcore.errors import BatchcoreError, PluginError, suggest
from batchcore.plugins.metadata import FIRST_PARTY, InstalledPlugin

if TYPE_CHECKING:
    from batchcore.backend import Backend, BackendSpec, Finding

REGISTER = "batchcore_register_backend"
_LEVELS = ("ok", "warning", "problem")


def load_hooks(plugin: InstalledPlugin, group: str) -> pluggy.PluginManager:
    """Import a plugin's module and return a manager that holds its hooks alone.

    With a manager for each plugin the hooks of one can be called without the others', and a
    plugin that is refused leaves nothing behind. Raises whatever the plugin's code raises.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    loaded = EntryPoint(plugin.name, plugin.value, group).load()
    manager.register(loaded, name=f"{plugin.label} ({plugin.value})")
    # Without this a misspelt hook would be silently ignored.
    manager.check_pending()
    return manager


def load_spec(plugin: InstalledPlugin, *, reraise: bool) -> BackendSpec:
    """Import a backend's light module and return its checked description.

    Raises `PluginError` that names the distribution; with `reraise` the plugin's own exception.
    """
    with blaming(plugin, reraise=reraise):
        manager = load_hooks(plugin, hookspecs.BACKENDS)
    if not manager.hook.batchcore_register_backend.get_hookimpls():
        raise broken(
            plugin,
            f"{plugin.module} has no hook {REGISTER}",
            hint=f"write it there, and decorate it: @hookimpl def {REGISTER}()",
        )
    with blaming(plugin, reraise=reraise):
        answers = manager.hook.batchcore_register_backend()
    return _checked_spec(plugin, answers[0] if answers else None)


def create_backend(
    plugin: InstalledPlugin, spec: BackendSpec, settings: object, *, reraise: bool
) -> Backend:
    """Import the factory, which imports the SDK, and return what it makes of the settings.

    Errors of this project that the factory raises pass through. Raises `PluginError` for
    anything else.
    """
    from batchcore.backend import Backend
    from batchcore.plugins.guard import GuardedBackend

    factory = _imported(plugin, "factory", spec.factory, reraise=reraise)
    if not callable(factory):
        raise broken(plugin, f"its factory {spec.factory!r} cannot be called")
    with blaming(plugin, passing=BatchcoreError, reraise=reraise):
        backend = factory(settings)
    if not isinstance(backend, Backend):
        raise broken(
            plugin,
            f"its factory {spec.factory!r} returned {_kind(backend)}, not a Backend",
            hint="return an instance of a subclass of batchcore.backend.Backend",
        )
    return GuardedBackend(backend, plugin, reraise=reraise)


def load_settings_type(
    plugin: InstalledPlugin, spec: BackendSpec, *, reraise: bool
) -> type[msgspec.Struct]:
    """Import and check the type of a backend's settings."""
    found = _imported(plugin, "settings", spec.settings, reraise=reraise)
    if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
        problem = "is not a msgspec.Struct"
    elif not found.__struct_config__.frozen:
        problem = "is not frozen"
    elif required := [f.name for f in msgspec.structs.fields(found) if f.required]:
        problem = f"has no default for {', '.join(required)}"
    else:
        with blaming(plugin, reraise=reraise):
            # Shows a type that msgspec cannot build, and defaults that contradict each other.
            msgspec.convert({}, found)
        return found
    raise broken(
        plugin,
        f"its settings type {spec.settings!r} {problem}",
        hint="make it a frozen msgspec.Struct whose fields all have defaults",
    )


def examine(
    plugin: InstalledPlugin, spec: BackendSpec, settings: object, *, reraise: bool
) -> Iterator[Finding]:
    """Import the backend's doctor and yield what it finds, each checked.

    Errors of this project that the doctor raises pass through. Raises `PluginError` for anything
    else.
    """
    from batchcore.backend import Finding

    doctor = _imported(plugin, "doctor", spec.doctor, reraise=reraise)
    with blaming(plugin, passing=BatchcoreError, reraise=reraise):
        for finding in doctor(settings):
            if not isinstance(finding, Finding) or finding.level not in _LEVELS:
                raise broken(plugin, f"its doctor said {finding!r}, which is no Finding")
            yield finding


@contextmanager
def blaming(
    plugin: InstalledPlugin,
    *,
    reraise: bool,
    passing: type[BaseException] | tuple[type[BaseException], ...] = (),
    wanted: str = "",
) -> Iterator[None]:
    """Turn what a plugin's code raises, SystemExit included, into an error that names it.

    `wanted` is the module that batchcore itself asked for: only other modules are taken for
    something that is not installed.
    """
    try:
        yield
    except passing:
        raise
    except (Exception, SystemExit) as exc:
        if reraise:
            raise
        module = exc.name if isinstance(exc, ImportError) else None
        if module and not f"{wanted or plugin.module}.".startswith(f"{module}."):
            raise broken(
                plugin,
                f"it needs {module!r}, which cannot be imported: {_text(exc)}",
                hint=_install_command(plugin),
            ) from exc
        raise broken(plugin, _text(exc)) from exc


def broken(plugin: InstalledPlugin, what: str, *, hint: str = "") -> PluginError:
    """Return the error for a plugin that cannot be used."""
    return PluginError(
        f"plugin {plugin.name!r} of {plugin.label} cannot be used: {what}",
        hint=hint
        or f"pip uninstall {plugin.distribution}, or leave it out: "
        f"BATCHCORE_BLOCK_PLUGINS={plugin.distribution}; its author sets BATCHCORE_RAISE=1",
        where=plugin.value,
    )


def _imported(plugin: InstalledPlugin, what: str, path: str, *, reraise: bool) -> Any:
    module, separator, attribute = path.partition(":")
    if not (separator and module and attribute):
        raise broken(
            plugin,
            f"its {what} {path!r} is not of the form package.module:name",
            hint=f'write {what}="{plugin.module.partition(".")[0]}.backend:Name"',
        )
    with blaming(plugin, wanted=module, reraise=reraise):
        found: Any = importlib.import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    return found


def _checked_spec(plugin: InstalledPlugin, spec: object) -> BackendSpec:
    from batchcore.backend import API_VERSION, FEATURES, BackendSpec, Capability

    if not isinstance(spec, BackendSpec):
        raise broken(plugin, f"{REGISTER} returned {_kind(spec)}, not one BackendSpec")
    version: object = spec.api_version
    if not isinstance(version, int) or not 1 <= version <= API_VERSION:
        raise broken(
            plugin,
            f"it was written for version {version!r} of the plugin interface, and this batchcore "
            f"knows version{'s 1 to' if API_VERSION > 1 else ''} {API_VERSION}",
            hint=f"pip install --upgrade batchcore {plugin.distribution}",
        )
    if spec.name != plugin.name:
        raise broken(
            plugin,
            f"it describes itself as {spec.name!r}, and its entry point is named {plugin.name!r}",
            hint="give both the same name",
        )
    texts = (spec.summary, spec.factory, spec.settings, spec.doctor)
    if not all(isinstance(text, str) for text in texts):
        raise broken(
            plugin, "summary, factory, settings and doctor of its BackendSpec must be texts"
        )
    declared: object = spec.capabilities
    if not isinstance(declared, Mapping) or not all(
        isinstance(capability, Capability) for capability in declared.values()
    ):
        raise broken(plugin, "the capabilities of its BackendSpec must map names to Capability")
    for feature in declared:
        if feature not in FEATURES:
            raise broken(
                plugin,
                f"it declares an unknown capability {feature!r}",
                hint=suggest(str(feature), FEATURES),
            )
    return spec


def _install_command(plugin: InstalledPlugin) -> str:
    owner = FIRST_PARTY.get(plugin.name)
    return owner.advice if owner else f"pip install --upgrade {plugin.distribution}"


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _text(exc: BaseException) -> str:
    """Return type and text of an exception as one line."""
    return ": ".join(part for part in (type(exc).__name__, " ".join(str(exc).split())) if part)
