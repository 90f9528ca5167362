"""What each source gives: for the core, and for each backend by name."""

from __future__ import annotations

import difflib
import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from batchcore.errors import SettingsError, suggest
from batchcore.settings.model import PREFIX, CoreSettings, Form, Given, Origin, Path, variable
from batchcore.settings.secrets import refuse_credentials

CORE_KEYS = tuple(field.name for field in fields(CoreSettings))
RESERVED = frozenset(
    PREFIX + name
    for name in (
        "ATTEMPT",
        "BLOCK_PLUGINS",
        "CONFIG",
        "CRASH_AT",
        "RAISE",
        "REQUIRE",
        "RUN_ID",
        "TASK_ID",
    )
)
_TYPO = 0.8


class Source(Struct, frozen=True):
    """The values of one source; those of a backend may concern one that is not chosen."""

    core: Sequence[Given]
    backends: Mapping[str, Sequence[Given]] = {}


def from_flags(flags: Mapping[str, Any]) -> Source:
    """Return the values of flags; None means that a flag was not given."""
    origin = Origin("flag")
    return Source(
        [
            Given((name,), value, origin, "plain" if isinstance(value, str) else "data")
            for name, value in flags.items()
            if value is not None
        ]
    )


def from_table(
    data: Mapping[str, Any], origin: Origin, known: Collection[str], base: FilePath | None = None
) -> Source:
    """Return the values of a file's or a job's table: core keys and ``[backend.NAME]``.

    A relative `runs` starts at `base`. Raises `SettingsError` for the section of a backend that
    is not `known`, and BC2401 for a credential anywhere.
    """
    core = [
        Given((key,), _anchored(value, base) if key == "runs" else value, origin)
        for key, value in data.items()
        if key != "backend"
    ]
    for given in core:
        refuse_credentials("", given.path, given.value, origin)
    sections = data.get("backend", {})
    if not isinstance(sections, Mapping):
        return Source([*core, Given(("backend",), sections, origin)])
    backends = {}
    for name, section in sections.items():
        if name == "default" and not isinstance(section, Mapping):
            core.append(Given(("backend",), section, origin))
        else:
            backends[name] = [Given((), _section(name, section, origin, known), origin)]
    return Source(core, backends)


def _section(
    name: str, section: object, origin: Origin, known: Collection[str]
) -> Mapping[str, Any]:
    place = f"{origin.label} backend.{name}"
    if not isinstance(section, Mapping):
        raise SettingsError(
            f"backend.{name} is not a table of settings",
            hint=f'write [backend.{name}], or [backend] default = "NAME" to choose one',
            where=place,
        )
    refuse_credentials(name, (), section, origin)
    if name not in known:
        raise SettingsError(f"there is no backend {name!r}", hint=suggest(name, known), where=place)
    return section


def _anchored(value: Any, base: FilePath | None) -> Any:
    if not isinstance(value, str) or not value:
        return value
    path = FilePath(value).expanduser() if value.startswith("~/") else FilePath(value)
    return str(base / path if base else path)


def from_environment(environ: Mapping[str, str], known: Iterable[str]) -> Source:
    """Return the values of ``BATCHCORE_*`` variables; an empty one counts as not set.

    Raises `SettingsError` for a near miss of a core variable. A variable that belongs to nothing
    known is left alone: it may be a plugin's own.
    """
    core: list[Given] = []
    backends: dict[str, list[Given]] = defaultdict(list)
    # The longest first: BATCHCORE_LOCAL_DOCKER_… is not a variable of a backend named `local`.
    prefixes = sorted(((variable(name, ("",)), name) for name in known), key=lambda p: -len(p[0]))
    for name, text in sorted(environ.items()):
        if not text or not name.startswith(PREFIX) or name in RESERVED:
            continue
        key = name.removeprefix(PREFIX).lower()
        if key in CORE_KEYS:
            core.append(Given((key,), text, Origin("environment"), "plain"))
            continue
        for prefix, backend in prefixes:
            if name.startswith(prefix):
                path = tuple(name.removeprefix(prefix).lower().split("__"))
                backends[backend].append(Given(path, text, Origin("environment"), "plain"))
                break
        else:
            _refuse_near_miss(name, key)
    return Source(core, backends)


def from_aliases(environ: Mapping[str, str], wanted: type[Struct]) -> Sequence[Given]:
    """Return what a backend's own variables give: the `aliases` of its settings type.

    Quotes around a value are stripped: they come from files that a shell did not read.
    """
    aliases: Mapping[str, str] = getattr(wanted, "aliases", {})
    found = []
    for name, key in aliases.items():
        if text := environ.get(name, "").strip().strip("'\"").strip():
            found.append(Given((key,), text, Origin("environment", name), "plain"))
    return found


def options(source: Source, backend: str, wanted: type[Struct]) -> Iterator[Given]:
    """Yield what a source gives for a backend, without the `credentials` it reads itself."""
    own: Collection[str] = getattr(wanted, "credentials", ())
    for given in source.backends.get(backend, ()):
        if given.origin.kind != "environment" or given.path[0] not in own:
            yield given


def _refuse_near_miss(name: str, key: str) -> None:
    if close := difflib.get_close_matches(key, CORE_KEYS, n=1, cutoff=_TYPO):
        raise SettingsError(
            f"there is no setting {name}",
            hint=f"did you mean {variable('', (close[0],))}?",
            where=f"environment {name}",
        )


def core_items(items: Iterable[str]) -> Source:
    """Return those ``--set key=value`` items whose key is a setting of the core."""
    pairs = [_pair(item) for item in items]
    return Source([_set(path, text) for path, text in pairs if _is_core(path)])


def backend_items(
    items: Iterable[str], chosen: str, keys: Collection[str], known: Collection[str]
) -> Sequence[Given]:
    """Return the ``--set`` items for the chosen backend, whose settings have `keys`.

    The backend's name may stand before the key. Raises `SettingsError` for another backend's
    name, which could only be a mistake in this command, and BC2401 for a credential.
    """
    found = []
    for path, text in map(_pair, items):
        if _is_core(path):
            continue
        key = path
        if len(path) > 1 and path[0] not in keys:
            if path[0] == chosen:
                key = path[1:]
            elif path[0] in known:
                raise SettingsError(
                    f"{'.'.join(path)} is a setting of {path[0]}, and this runs on {chosen}",
                    hint=f"leave it out, or give --backend {path[0]}",
                    where=f"--set {'.'.join(path)}",
                )
        given = _set(key, text)
        refuse_credentials(chosen, key, text, given.origin)
        found.append(given)
    return found


def _is_core(path: Path) -> bool:
    return len(path) == 1 and path[0] in CORE_KEYS


def _set(path: Path, text: str) -> Given:
    form: Form = "toml"
    return Given(path, text, Origin("set"), form)


def _pair(item: str) -> tuple[Path, str]:
    key, separator, text = item.partition("=")
    path = _dotted(key.strip())
    if not separator or not all(path):
        # The item may be a bare credential, so it is not repeated.
        raise SettingsError("--set wants key=value", hint="write --set slots=4", where="--set")
    return path, text.strip()


def _dotted(key: str) -> Path:
    """Split a key at its dots, as TOML does: a part in quotes may hold dots."""
    try:
        table: Any = tomllib.loads(f"{key} = 0") if key and "\n" not in key else {}
    except tomllib.TOMLDecodeError:
        return tuple(key.split("."))
    path: list[str] = []
    while isinstance(table, dict) and len(table) == 1:
        ((name, table),) = table.items()
        path.append(name)
    return tuple(path) or ("",)
