"""Looking at this installation and at its backends, with a fix for each thing that is wrong."""

from __future__ import annotations

import fcntl
import platform
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from msgspec import Struct

from batchcore.backend import BackendSpec, Finding
from batchcore.clock import Clock, SystemClock
from batchcore.errors import BatchcoreError, EnvironmentNotReady, PluginError, SettingsError
from batchcore.plugins import FIRST_PARTY, Plugins
from batchcore.settings import CoreSettings, read_config_files, resolve, user_config_dir
from batchcore.units import show_bytes

CORE = "batchcore"
SECONDS = 180.0

_FOR_TESTS = {"memory", "fault"}
_LEAST_FREE = 2**30
_MOST_SKEW = 60.0
_SECONDS_TO_TIDY = 10.0


class Section(Struct, frozen=True):
    """What was found of one backend, or of batchcore itself."""

    name: str
    findings: tuple[Finding, ...]


class Circumstances(Struct, frozen=True, kw_only=True):
    """What the settings are read from, as commands are given it."""

    environ: Mapping[str, str]
    config: str | None = None
    no_config: bool = False
    runs: str | None = None


def examine(
    given: Circumstances,
    names: Sequence[str] = (),
    *,
    clock: Clock | None = None,
    seconds: float = SECONDS,
) -> list[Section]:
    """Look at batchcore and these backends, default all that work here and are not for tests.

    Leaves nothing behind. The checks of one backend may take `seconds`. A backend that cannot be
    reached is a problem where it was named or is the one that settings choose, else a warning.
    Raises `NotFound` for a name that is no backend's.
    """
    told: list[str] = []
    plugins = Plugins(environ=given.environ, warn=told.append)
    for name in names:
        _named(plugins, name)
    core, problem = _core_settings(plugins, given)
    findings = [*_versions(plugins), *_broken(plugins, names, told), problem]
    findings += _runs_directory(Path(core.runs).absolute(), clock or SystemClock())
    wanted = names or [
        spec.name
        for spec in plugins.scan()
        if isinstance(spec, BackendSpec) and spec.name not in _FOR_TESTS
    ]
    chosen = {*names} or {core.backend}
    return [
        Section(CORE, tuple(findings)),
        *(
            Section(name, tuple(_backend(plugins, name, given, name in chosen, seconds)))
            for name in dict.fromkeys(wanted)
        ),
    ]


def _named(plugins: Plugins, name: str) -> None:
    """Raise `NotFound` for an unknown backend; a broken one is a finding."""
    try:
        plugins.spec(name)
    except PluginError:
        return


def _core_settings(plugins: Plugins, given: Circumstances) -> tuple[CoreSettings, Finding]:
    """Return the settings that are no backend's, the defaults where they cannot be read."""
    try:
        files = read_config_files(
            cwd=Path.cwd(),
            config_dir=user_config_dir(),
            environ=given.environ,
            config=given.config,
            no_config=given.no_config,
        )
        # A backend that is chosen and cannot be used is a finding of its own.
        core = _resolve(plugins, given, "local-process")
        chosen = _chosen(plugins, given)
    except BatchcoreError as exc:
        return CoreSettings(), _of_error("problem", exc)
    names = ", ".join(file.label for file in files)
    told = f"settings are read from {names}" if names else "there is no file of settings"
    return CoreSettings(backend=chosen, runs=core.runs), Finding("ok", told)


def _chosen(plugins: Plugins, given: Circumstances) -> str:
    try:
        return _resolve(plugins, given, None).backend
    except SettingsError:
        raise
    except BatchcoreError:
        return ""


def _resolve(plugins: Plugins, given: Circumstances, backend: str | None) -> CoreSettings:
    return resolve(
        plugins,
        flags={"backend": backend, "runs": given.runs},
        environ=given.environ,
        config=given.config,
        no_config=given.no_config,
    ).core


def _versions(plugins: Plugins) -> Iterator[Finding]:
    """Name what is installed of this project; its distributions are released together."""
    ours = {owner.distribution for owner in FIRST_PARTY.values()}
    found = {p.distribution: p.version for p in plugins.names() if p.distribution in ours}
    texts = [f"{name} {version}" for name, version in sorted(found.items())]
    yield Finding("ok", ", ".join([f"Python {platform.python_version()}", *texts]))
    own = found.get(CORE, "")
    for name, version in sorted(found.items()):
        if own and version != own:
            yield Finding(
                "warning",
                f"{name} {version} was not made for {CORE} {own}",
                f"pip install --upgrade {CORE} {name}",
            )


def _broken(plugins: Plugins, names: Sequence[str], told: list[str]) -> Iterator[Finding]:
    """Name the plugins that cannot be used; only the named backends if there are names."""
    if names:
        return
    for spec in plugins.scan():
        if isinstance(spec, PluginError):
            yield _of_error("problem", spec)
    plugins.observers()  # what is wrong with them is told as it is found
    for line in told:
        yield Finding("problem", line, "see: pip list; mend it, or pip uninstall its distribution")


def _runs_directory(runs: Path, clock: Clock) -> Iterator[Finding]:
    """Try what a run does in the directory of the run directories: write, lock, look at times."""
    try:
        place = next(path for path in (runs, *runs.parents) if path.exists())
        with tempfile.TemporaryDirectory(prefix=".batchcore-doctor-", dir=place) as directory:
            probe = Path(directory) / "probe"
            probe.write_bytes(b"probe")
            yield _space(runs, place)
            yield _lock(runs, probe)
            yield _clock(runs, probe, clock)
    except OSError as exc:
        yield Finding(
            "problem",
            f"no run directory can be made in {runs}: {exc.strerror or exc}",
            "choose another place: --runs DIR, or export BATCHCORE_RUNS=DIR",
        )


def _space(runs: Path, place: Path) -> Finding:
    free = shutil.disk_usage(place).free
    told = f"runs go to {runs}, {show_bytes(free)} free"
    if free < _LEAST_FREE:
        return Finding("warning", told, "free some: batchcore clean --all --dry-run")
    return Finding("ok", told)


def _lock(runs: Path, probe: Path) -> Finding:
    """Lock a file twice, which must fail: some network file systems let everybody have it."""
    fix = "keep the runs on a local disk: --runs DIR, or export BATCHCORE_RUNS=DIR"
    with probe.open("rb+") as first, probe.open("rb+") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            return Finding("problem", f"a file in {runs} cannot be locked: {exc.strerror}", fix)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return Finding("ok", "a file that is locked there stays locked")
    return Finding("problem", f"locks of files in {runs} keep nobody out", fix)


def _clock(runs: Path, probe: Path, clock: Clock) -> Finding:
    fix = "set the clock: timedatectl set-ntp true"
    now = clock.now()
    installed = Path(__file__).stat().st_mtime
    if now < installed:
        shown = datetime.fromtimestamp(now).astimezone().isoformat(" ", "minutes")
        return Finding("problem", f"the clock says {shown}, before batchcore was installed", fix)
    skew = abs(probe.stat().st_mtime - now)
    if skew > _MOST_SKEW:
        return Finding(
            "warning", f"the clock of this machine and that of {runs} are {skew:.0f} s apart", fix
        )
    return Finding("ok", "the clock can be right")


def _backend(
    plugins: Plugins, name: str, given: Circumstances, chosen: bool, seconds: float
) -> Iterator[Finding]:
    """Look at one backend; whatever it raises is a finding too."""
    try:
        settings = resolve(
            plugins,
            flags={"backend": name},
            environ=given.environ,
            config=given.config,
            no_config=given.no_config,
        ).backend
        if plugins.spec(name).doctor:
            yield from _within(seconds, partial(plugins.examine, name, settings))
        else:
            plugins.create(name, settings).close()
            yield Finding("ok", "it can be loaded; it brings no checks of its own")
    except EnvironmentNotReady as exc:
        yield _of_error("problem" if chosen else "warning", exc)
    except BatchcoreError as exc:
        yield _of_error("problem", exc)
    except OSError as exc:
        yield Finding("problem", f"its checks failed: {exc}", "see what the system says")


def _within(seconds: float, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what is found until the time is up; what still runs then ends with the process.

    After Ctrl-C it has some seconds to remove what it made.
    """
    told: queue.SimpleQueue[Finding | BaseException | None] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        try:
            for finding in look():
                told.put(finding)
                if stop.is_set():
                    return
            told.put(None)
        except BaseException as exc:  # noqa: BLE001 - it is raised again, by who waits
            told.put(exc)

    worker = threading.Thread(target=work, name="batchcore-doctor", daemon=True)
    try:
        worker.start()
        yield from _told(told, seconds)
    except KeyboardInterrupt:
        stop.set()
        worker.join(_SECONDS_TO_TIDY)
        raise


def _told(
    told: queue.SimpleQueue[Finding | BaseException | None], seconds: float
) -> Iterator[Finding]:
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = told.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            yield Finding(
                "problem",
                f"its checks did not end within {seconds:g} s",
                "see whether what it speaks to answers at all",
            )
            return
        if isinstance(found, BaseException):
            raise found
        if found is None:
            return
        yield found


def _of_error(level: str, error: BatchcoreError) -> Finding:
    place = f" ({error.where})" if error.where and error.where not in error.reason else ""
    return Finding("warning" if level == "warning" else "problem", error.reason + place, error.hint)
