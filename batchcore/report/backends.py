"""The installed backends, and one of them, as text and data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from batchcore.backend import FEATURES, BackendSpec
from batchcore.plugins import FIRST_PARTY, InstalledPlugin
from batchcore.report.text import table

_LEVELS = {"native": "yes", "emulated": "yes", "unsupported": "no"}


class BackendLine(Struct, frozen=True, kw_only=True):
    """One line of the list; `problem` and `hint` say why a backend cannot be used."""

    name: str
    distribution: str
    version: str = ""
    installed: bool = True
    problem: str = ""
    hint: str = ""


class OptionLine(Struct, frozen=True, kw_only=True):
    """One option of a backend, with its type in words and its default as plain data."""

    key: str
    type: str
    default: Any


def backend_lines(installed: Sequence[InstalledPlugin]) -> list[BackendLine]:
    """Return what is installed, and the project's own backends that are not."""
    lines = [
        BackendLine(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            problem=plugin.problem,
            hint=plugin.hint,
        )
        for plugin in installed
    ]
    missing = FIRST_PARTY.keys() - {plugin.name for plugin in installed}
    lines += [
        BackendLine(
            name=name,
            distribution=FIRST_PARTY[name].distribution,
            installed=False,
            problem="not installed",
            hint=FIRST_PARTY[name].advice,
        )
        for name in missing
    ]
    return sorted(lines, key=lambda line: line.name)


def backends_text(lines: Sequence[BackendLine], width: int | None = None) -> str:
    """Return the list as a table."""
    rows = [
        (
            line.name,
            f"{line.distribution} {line.version}".strip(),
            "yes" if line.installed else "no",
            ": ".join(part for part in (line.problem, line.hint) if part),
        )
        for line in lines
    ]
    return table(("NAME", "PACKAGE", "INSTALLED", ""), rows, width)


def backend_text(spec: BackendSpec, package: str, options: Sequence[OptionLine], about: str) -> str:
    """Return one backend: what it can do and how it is set."""
    features = [
        (feature, _LEVELS[capability.level], capability.reason or meaning)
        for feature, meaning in FEATURES.items()
        for capability in [spec.capability(feature)]
    ]
    parts = [
        f"{spec.name}: {spec.summary}\npackage: {package}",
        table(("CAPABILITY", "", ""), features),
    ]
    if options:
        rows = [(line.key, line.type, shown(line.default)) for line in options]
        parts += [table(("OPTION", "TYPE", "DEFAULT"), rows), about.replace("``", "")]
        parts.append(
            f"set one with: batchcore run JOB --backend {spec.name} --set {options[0].key}=VALUE"
        )
    return "\n\n".join(part for part in parts if part)


def backend_data(
    spec: BackendSpec, plugin: InstalledPlugin, options: Sequence[OptionLine]
) -> Mapping[str, Any]:
    """Return one backend as plain data."""
    return {
        "name": spec.name,
        "summary": spec.summary,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "api_version": spec.api_version,
        "capabilities": {feature: spec.capability(feature) for feature in FEATURES},
        "options": options,
    }


def shown(value: object) -> str:
    """Return a value of a setting as a person would write it, ``-`` for none."""
    return "-" if value is None else json.dumps(value, ensure_ascii=False, default=str)
