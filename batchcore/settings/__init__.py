"""Settings: flags > environment > job file > project > user > default, each with its origin.

`files` is the only module here that reads anything; `sources` turns every source into values,
`merge` makes one typed value of them, `secrets` keeps credentials out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from batchcore.errors import NotFound
from batchcore.settings import sources
from batchcore.settings.files import ConfigFile, read_config_files
from batchcore.settings.merge import Leaves, merge, rows
from batchcore.settings.model import (
    Backends,
    CoreSettings,
    OnInterrupt,
    Origin,
    SettingRow,
    Settings,
)
from batchcore.settings.types import fields

if TYPE_CHECKING:
    from batchcore.model import Job
    from batchcore.plan import Plan

__all__ = [
    "Backends",
    "ConfigFile",
    "CoreSettings",
    "OnInterrupt",
    "SettingRow",
    "Settings",
    "combine",
    "job_settings",
    "read_config_files",
    "resolve",
    "user_config_dir",
]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def resolve(
    backends: Backends,
    *,
    flags: Mapping[str, Any] = _NOTHING,
    items: Sequence[str] = (),
    job: Mapping[str, Any] = _NOTHING,
    job_origin: str = "job",
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    config_dir: Path | None = None,
    config: str | Path | None = None,
    no_config: bool = False,
) -> Settings:
    """Return the settings that apply, each value with its origin; reads files, writes nothing.

    From strong to weak: `flags` (fields of `CoreSettings`; None: not given) and `items`
    (``key=value`` of ``--set``, for the chosen backend, with or without its name in front);
    `environ` (``BATCHCORE_MAX_PARALLEL``, ``BATCHCORE_LOCAL_DOCKER_SLOTS``, two underscores
    before a nested key); `job` (see `job_settings`; `job_origin` is its file); the project's
    file, the user's, the defaults. In a file a backend is chosen by ``backend = "NAME"``, or
    beside ``[backend.NAME]`` by ``[backend] default = "NAME"``.

    `environ`, `cwd` and `config_dir` default to the process's own. For `config` and `no_config`
    see `read_config_files`.

    Raises `SettingsError` (BC2400) naming origin and key for an unknown key or a wrong value,
    (BC2401) for a credential in a file, in the job or in `items`; `NotFound` or `PluginError`
    for a backend that cannot be loaded. All are permanent.
    """
    environ = os.environ if environ is None else environ
    files = read_config_files(
        cwd=cwd or Path.cwd(),
        config_dir=config_dir or user_config_dir(),
        environ=environ,
        config=config,
        no_config=no_config,
    )
    return combine(
        backends,
        files,
        flags=flags,
        items=items,
        job=job,
        job_origin=job_origin,
        environ=environ,
    )


def combine(
    backends: Backends,
    files: Iterable[ConfigFile] = (),
    *,
    flags: Mapping[str, Any] = _NOTHING,
    items: Sequence[str] = (),
    job: Mapping[str, Any] = _NOTHING,
    job_origin: str = "job",
    environ: Mapping[str, str] = _NOTHING,
) -> Settings:
    """Return the settings for files that are read already, the weakest first; see `resolve`."""
    known = backends.known()
    weak_to_strong = [
        *(sources.from_table(f.data, Origin("file", f.label), known, f.base) for f in files),
        sources.from_table(job, Origin("job", job_origin), known),
        sources.from_environment(environ, known),
        sources.core_items(items),
        sources.from_flags(flags),
    ]
    core, core_leaves = merge([g for s in weak_to_strong for g in s.core], CoreSettings, "")
    name = core.backend
    wanted = _settings_type(backends, name, core_leaves)
    given = [*sources.from_aliases(environ, wanted)]
    given += [g for s in weak_to_strong for g in sources.options(s, name, wanted)]
    given += sources.backend_items(items, name, fields(wanted) or (), known)
    backend, backend_leaves = merge(given, wanted, name)
    shown = (*rows(core, core_leaves, ""), *rows(backend, backend_leaves, name))
    return Settings(
        core=core,
        backend=backend,
        origins=MappingProxyType({row.key: row.origin for row in shown}),
        rows=shown,
    )


def job_settings(job: Job | Plan) -> Mapping[str, Any]:
    """Return what a job says about settings, in the form of a configuration file's data."""
    return {
        **({} if job.max_parallel is None else {"max_parallel": job.max_parallel}),
        **({"fail_fast": True} if job.fail_fast else {}),
        "backend": job.backend_options,
    }


def user_config_dir() -> Path:
    """Return the directory of the user's ``config.toml`` on this platform."""
    import platformdirs

    return Path(platformdirs.user_config_dir("batchcore", appauthor=False))


def _settings_type(backends: Backends, name: str, leaves: Leaves) -> Any:
    """Load the type of the chosen backend's settings; a wrong choice is traced to its origin."""
    try:
        return backends.settings_type(name)
    except NotFound as exc:
        leaf = leaves.get(("backend",))
        where = leaf.origin.place("", ("backend",)) if leaf else exc.where
        raise NotFound(exc.reason, hint=exc.hint, where=where, code=exc.error_code) from exc
