"""Taking up a run on another machine, from the copy of ``job.json`` that lies in its store."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, cast

from msgspec import Struct
from msgspec.structs import replace

from batchcore.backend import Backend, BackendSpec, RunContext, TaskUpdate
from batchcore.clock import SystemClock
from batchcore.driver.ledger import taken_up
from batchcore.errors import BackendError, Conflict, NotFound, SettingsError, UsageError
from batchcore.life.manage import settings_of
from batchcore.life.start import Options
from batchcore.names import check_task_id
from batchcore.paths import safe_path
from batchcore.plugins import Plugins
from batchcore.record import Header, Record, read_heading
from batchcore.record.rundir import header_of, is_driven
from batchcore.run import Run
from batchcore.settings import Settings, resolve
from batchcore.transfer.files import FileRecord
from batchcore.transfer.stage import record_url
from batchcore.transfer.stores import Absent, Altered, get, look, not_as_told, opened

_HINT = "give the URL that `batchcore status RUN --json` prints as its store"
Updates = Sequence[TaskUpdate]

_RUN_ID = re.compile(r"[a-z0-9-]{1,63}")


def attach(
    url: str,
    *,
    backend: str = "",
    directory: str | Path | None = None,
    settings: Sequence[str] = (),
) -> Run:
    """Return the run whose store is at a URL, with a run directory made on this machine.

    `url` is the run's `RunReport.store`. `backend` opens it, default the one backend whose stores
    have such URLs; `settings` are ``key=value`` options of that backend. `directory` is the run
    directory, default ``.batchcore/<run id>``. The tasks are as the backend's service says, and
    one that has ended there is `finalizing`; `Run.wait` collects it, waits for what runs and
    starts what nobody has started. Where the directory has that run already, what is known of it
    stays. Raises `UsageError` for what is no such URL, `NotFound` where there is no run,
    `Conflict` where the directory has another one, `EnvironmentNotReady` for a run of another
    version of batchcore, `SettingsError` where the settings here lead to another store, and
    `BackendError` for a copy that is damaged, or (transient) where the service did not answer;
    nothing is made then.
    """
    place = None if directory is None else Path(directory)
    return attach_run(url, Options(backend=backend, directory=place, items=tuple(settings))).run


class Attached(Struct, frozen=True):
    """A run that was taken up; a service has `known` of its tasks, None where there is none."""

    run: Run
    known: int | None


def attach_run(url: str, options: Options, plugins: Plugins | None = None) -> Attached:
    """Do what `attach` does, with the files of settings and the place that `options` name."""
    plugins = plugins or Plugins()
    wanted = _store_url(url)
    settings = _settings(wanted, options, plugins)
    _require_scheme(plugins.spec(settings.core.backend), wanted)
    with closing(plugins.create(settings.core.backend, settings.backend)) as backend:
        header = _settled_here(_fetched(backend, wanted), options)
    place = options.directory or Path(settings.core.runs) / header.run_id
    directory = place.absolute()
    driven = _is_driven_here(directory, header)
    store, updates = _asked(header, directory, wanted, plugins)
    if not driven:
        rebuild(directory, header, store, updates or ())
    known = None if updates is None else len({update.task_id for update in updates})
    return Attached(Run.load(directory), known)


def rebuild(directory: Path, header: Header, store: str = "", updates: Updates = ()) -> None:
    """Make the record of a run that another machine has begun.

    `store` is the URL of the store that has the copy, where one is known, and `updates` what the
    backend says of its attempts; all other tasks are pending, and the driver asks for them again.
    Raises what `Record.create` raises.
    """
    with closing(Record.create(directory, header)) as record, record.errors():
        record.save_attached()
        record.save(taken_up(record.rows(), updates, SystemClock().now()))
        # Resources are staged before anything is submitted, and their files are elsewhere.
        files = [file for task in header.plan.tasks for file in task.files]
        record.save_staged({f.key: FileRecord(f.size or 0, f.digest or "") for f in files})
        record.save_store(store)


def _store_url(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    if not (scheme and mark and rest.strip("/")):
        raise UsageError(f"{url!r} is not the URL of a store", hint=_HINT)
    if scheme == "file":
        raise UsageError(
            f"{url} is a directory of the machine that began the run",
            hint="go on there: batchcore wait RUN; a local backend's tasks run nowhere else",
        )
    return url.removesuffix("/job.json").rstrip("/")


def _settings(url: str, options: Options, plugins: Plugins) -> Settings:
    """Return the settings with which the URL is opened."""
    name = options.backend or _backend_for(url, plugins)
    return resolve(
        plugins,
        flags={**options.flags(), "backend": name},
        items=options.items,
        config=options.config,
        no_config=options.no_config,
    )


def _require_scheme(spec: BackendSpec, url: str) -> None:
    """Refuse a backend whose stores are elsewhere; what one that declares none has is not known."""
    scheme = url.partition("://")[0]
    if scheme in spec.schemes or (spec.remote and not spec.schemes):
        return
    raise UsageError(
        f"{spec.name} has no stores at {scheme}:// URLs",
        hint="leave out --backend, or name the one that began the run",
        where=url,
    )


def _backend_for(url: str, plugins: Plugins) -> str:
    scheme = url.partition("://")[0]
    specs = [spec for spec in plugins.scan() if isinstance(spec, BackendSpec)]
    names = [spec.name for spec in specs if scheme in spec.schemes]
    if len(names) == 1:
        return names[0]
    whose = f"{len(names)} of the installed backends have" if names else "no installed backend has"
    raise UsageError(
        f"{whose} stores at {scheme}:// URLs",
        hint="name the run's backend with --backend; see batchcore backends list",
        where=url,
    )


def _fetched(backend: Backend, store: str) -> Header:
    url = record_url(store)
    filesystem, path = opened(backend.filesystem, url)
    told = look(filesystem, path)
    if told is None:
        raise NotFound(
            f"there is no run at {store}",
            hint=f"{_HINT}; what a run leaves there is gone once it is cleaned up",
            where=url,
        )
    with tempfile.NamedTemporaryFile() as copy:
        try:
            get(filesystem, path, cast("BinaryIO", copy), told)
        except (Absent, Altered) as exc:  # it was deleted or replaced just now
            raise not_as_told(url, str(exc)) from exc
        header = header_of(Path(copy.name).read_bytes(), url)
    _require_safe(header, url)
    return header


def _require_safe(header: Header, where: str) -> None:
    """Refuse names that could lead out of the run directory: anybody may have written the copy."""
    try:
        _check_names(header)
    except UsageError as exc:
        raise BackendError(
            f"{where} is damaged: {exc.reason}",
            hint="go on with the run on the machine that began it",
            where=where,
            code="BC7002",
        ) from exc


def _check_names(header: Header) -> None:
    if not _RUN_ID.fullmatch(header.run_id):
        raise UsageError(f"{header.run_id!r} is no id of a run")
    for task in header.plan.tasks:
        check_task_id(task.id)
        for output in task.outputs:
            safe_path(output.to, "to")


def _settled_here(header: Header, options: Options) -> Header:
    """Return the header with the files of settings of this machine, and what was set just now."""
    config = str(options.config.absolute()) if options.config else ""
    overrides = (*header.overrides, *options.items)
    return replace(header, overrides=overrides, config=config, no_config=options.no_config)


def _is_driven_here(directory: Path, header: Header) -> bool:
    """Return whether somebody drives this very run from a directory now.

    Raises `Conflict` where that has another run.
    """
    if not (directory / "job.json").exists():
        return False
    there = read_heading(directory)
    if there.run_id != header.run_id:
        raise Conflict(
            f"{directory} holds another run: {there.run_id}",
            hint="choose another directory; a run's directory is never reused",
            where=str(directory),
            code="BC9001",
        )
    return is_driven(directory)


def _asked(
    header: Header, directory: Path, wanted: str, plugins: Plugins
) -> tuple[str, Updates | None]:
    """Return where the commands that come will look for the run's files, and what has become of it.

    That is None where there is no service that knows. Raises `SettingsError` where it is another
    place than the wanted one.
    """
    settings = settings_of(header, header.plan, plugins)
    with closing(plugins.create(header.backend, settings.backend)) as backend:
        context = RunContext(run_id=header.run_id, plan=header.plan, directory=directory)
        store = backend.store(context)
        if store.rstrip("/") != wanted:
            raise SettingsError(
                f"by the settings here the store of {header.run_id} is {store}, not {wanted}",
                hint="give the settings of the machine that began it, with --set or --config",
                where=f"backend {header.backend}",
            )
        if not plugins.spec(header.backend).remote:
            return store, None
        return store, backend.poll(replace(context, store=store), "", 0).updates
