"""What is installed, read from metadata alone: nothing here imports a plugin."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint, distributions

from msgspec import Struct
from msgspec.structs import replace

_BACKEND_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class FirstParty(Struct, frozen=True):
    """A backend of this project: the distribution that has it and the way to install it."""

    distribution: str
    install: str
    checkout: str

    @property
    def advice(self) -> str:
        """The commands to type, for an installed batchcore and for a checkout."""
        return f"{self.install} (from a checkout: {self.checkout})"


_CORE = FirstParty("batchcore", "pip install batchcore", "pip install -e .")

FIRST_PARTY: Mapping[str, FirstParty] = {
    "local-process": _CORE,
    "memory": _CORE,
    "fault": _CORE,
    "local-docker": FirstParty(
        "batchcore-localdocker",
        'pip install "batchcore[docker]"',
        "pip install -e . -e backends/localdocker",
    ),
    "azure": FirstParty(
        "batchcore-azure", 'pip install "batchcore[azure]"', "pip install -e . -e backends/azure"
    ),
}


class InstalledPlugin(Struct, frozen=True, kw_only=True):
    """An entry point as its distribution's metadata declares it.

    `value` is the entry point's own, such as ``batchcore_slurm.plugin``. `problem` and `hint` say
    why it cannot be used and what to type; they are empty where the metadata is in order.
    """

    name: str
    distribution: str
    version: str
    value: str
    problem: str = ""
    hint: str = ""

    @property
    def module(self) -> str:
        """The module that is imported when the plugin is used."""
        return self.value.partition(":")[0].strip()

    @property
    def label(self) -> str:
        """The distribution and its version, as messages name them."""
        return f"{self.distribution} {self.version}".strip()


def is_backend_name(name: str) -> bool:
    """Return whether a text can be a backend's name: lower-case, digits, single hyphens."""
    return _BACKEND_NAME.fullmatch(name) is not None


def canonical(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def installed_entry_points(group: str, path: Sequence[str] | None = None) -> Iterator[EntryPoint]:
    """Yield the entry points of a group from all distributions, or those below `path`.

    A distribution whose metadata cannot be parsed is passed over: unlike
    `importlib.metadata.entry_points`, which then fails for everybody.
    """
    seen: set[str] = set()
    for distribution in distributions() if path is None else distributions(path=list(path)):
        try:
            entries = [entry for entry in distribution.entry_points if entry.group == group]
        except Exception:  # noqa: BLE001, S112 - each Python version has another error for this
            continue
        # Names are asked for last: parsing the metadata of every distribution takes long.
        name = canonical(_identity(distribution)[0]) if entries else ""
        # The first one on the path is the one that gets imported.
        if name and name in seen:
            continue
        seen.add(name)
        yield from entries


def plugins_of(
    entry_points: Iterable[EntryPoint], blocked: Iterable[str] = ()
) -> tuple[InstalledPlugin, ...]:
    """Return the plugins behind entry points, sorted, without those of blocked distributions."""
    left_out = {canonical(name) for name in blocked}
    found = {_plugin(entry) for entry in entry_points}
    kept = (plugin for plugin in found if canonical(plugin.distribution) not in left_out)
    return tuple(sorted(kept, key=lambda p: (p.name, p.distribution, p.version, p.value)))


def with_problems(plugins: Iterable[InstalledPlugin]) -> tuple[InstalledPlugin, ...]:
    """Return backend plugins with all that can be said against them before an import."""
    judged = [_judged(plugin) for plugin in plugins]
    rivals = defaultdict(list)
    for plugin in judged:
        if not plugin.problem:
            rivals[plugin.name].append(plugin)
    return tuple(
        _as_rival(plugin, rivals[plugin.name])
        if not plugin.problem and len(rivals[plugin.name]) > 1
        else plugin
        for plugin in judged
    )


def _judged(plugin: InstalledPlugin) -> InstalledPlugin:
    if not is_backend_name(plugin.name):
        return replace(
            plugin,
            problem=f"{plugin.label} provides a backend named {plugin.name!r}, which is not "
            "a name: use lower-case letters, digits and single hyphens",
            hint=f"rename the entry point, or pip uninstall {plugin.distribution}",
        )
    owner = FIRST_PARTY.get(plugin.name)
    if owner and canonical(plugin.distribution) != owner.distribution:
        return replace(
            plugin,
            problem=f"{plugin.label} provides a backend named {plugin.name!r}, "
            f"a name that belongs to {owner.distribution}",
            hint=f"pip uninstall {plugin.distribution}",
        )
    return plugin


def _as_rival(plugin: InstalledPlugin, rivals: Sequence[InstalledPlugin]) -> InstalledPlugin:
    owners = " and ".join(f"{rival.label} ({rival.value})" for rival in rivals)
    name = rivals[-1].distribution
    return replace(
        plugin,
        problem=f"backend {plugin.name!r} is provided more than once: by {owners}",
        hint=f"pip uninstall one of them, or leave one out: BATCHCORE_BLOCK_PLUGINS={name}",
    )


def _plugin(entry: EntryPoint) -> InstalledPlugin:
    distribution, version = _identity(entry.dist) if entry.dist else ("", "")
    return InstalledPlugin(
        name=entry.name,
        distribution=distribution or "an unnamed distribution",
        version=version,
        value=entry.value,
    )


def _identity(distribution: Distribution) -> tuple[str, str]:
    """Return name and version; damaged metadata gives empty ones, as None or by raising."""
    try:
        metadata = distribution.metadata
        return metadata["Name"] or "", metadata["Version"] or ""
    except Exception:  # noqa: BLE001 - each Python version has another error for this
        return "", ""
