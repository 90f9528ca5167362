"""Imports go one way, and each third-party library stays in its rooms; read from the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "batchcore"
PLUGINS = tuple(
    sorted([*ROOT.glob("backends/*/batchcore_*"), *ROOT.glob("examples/plugins/*/batchcore_*")])
)

# Packages whose modules have a place each.
WINGS = ("driver", "life", "plan", "record")

# From the top of the house to its ground. A room is a module, or a package with all that is in
# it unless it is a wing, and may import itself and the layers below its own, not its neighbours.
# A new room must be given its place here.
LAYERS = (
    ("__main__", "compat"),
    ("cli",),
    ("report",),
    ("history",),
    ("life.attach", "explain", "replay", "life.retry"),
    ("doctor", "life.sweep"),
    ("life.manage", "life.start", "scaffold"),
    ("driver.drive", "life.follow"),
    ("driver.signals",),
    ("driver",),
    ("driver.driver",),
    ("driver.ledger",),
    ("driver.finish",),
    ("driver.announce", "driver.schedule", "life.background", "life.identity", "run"),
    ("record.resume", "results"),
    ("record",),
    ("features", "jobfile", "local", "plugins", "record.record", "settings"),
    ("record.database", "record.manifest", "record.requests"),
    ("record.rundir",),
    ("record.durability",),
    ("delegate", "hookspecs", "otel", "transfer"),
    ("backend", "events"),
    ("plan",),
    ("plan.plan",),
    ("plan.relations", "plan.sources"),
    ("model",),
    ("command", "names", "paths", "units"),
    ("credentials", "shape"),
    ("patience",),
    ("clock", "crash", "errors", "lazy", "life", "states"),
)

# Nobody in the core imports these: a backend is found by its entry point, and the conformance kit
# is for tests. The package itself only hands out names, see `batchcore.__getattr__`.
APART = {"__init__", "local", "testing"}

# Upward imports, each allowed inside functions alone, with the reason.
UPWARD = {
    ("model", "run"): "the type that Job.run returns",
    ("run", "life.manage"): "Run.wait drives where nobody does",
    ("run", "replay"): "Run.replay is the short form of replay.replay_task",
    ("run", "history"): "Run.write_report is the short form of report.files.write_report",
    ("run", "report"): "Run.write_report is the short form of report.files.write_report",
    ("results", "report"): "how a notebook shows results",
    ("run", "life.retry"): "Run.retry is the short form of retry.retry_run",
    ("model", "report"): "how a notebook shows a job",
    ("model", "life.start"): "Job.run is the short form of start.run_job",
    ("plan.relations", "plan.plan"): "the types of what a plan lets it look at",
}

# Which rooms may import a third-party library; one that is not listed is not allowed at all.
LIBRARIES = {
    "click": {"cli"},
    "filelock": {"record"},
    "fsspec": {"backend", "delegate", "plan", "testing", "transfer"},
    "msgspec": None,
    "platformdirs": {"cli", "settings"},
    "opentelemetry": {"otel"},
    "pandas": {"report", "run"},
    "pluggy": {"hookspecs", "plugins"},
    "pytest": {"testing"},
    "rich": {"cli", "report"},
}


class Import(NamedTuple):
    """One imported module: where it stands, and whether it is imported with its file."""

    room: str
    module: str
    eager: bool
    place: str


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide the direction"
        base = node.module or ""
        if base == "batchcore" or base.removeprefix("batchcore.") in WINGS:
            return [f"{base}.{alias.name}" for alias in node.names]
        return [base]
    return []


def _walk(node: ast.AST, *, eager: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        later = lazy or (isinstance(child, ast.stmt) and _is_type_checking(child))
        yield child, eager
        yield from _walk(child, eager=eager and not later)


def _room(words: Sequence[str]) -> str:
    """Return the room that a module is in, from its name below the package."""
    if words[0] not in WINGS or len(words) == 1 or words[1] == "__init__":
        return words[0]
    place = CORE / words[0] / f"{words[1]}.py"
    return f"{words[0]}.{words[1]}" if place.exists() else words[0]


@cache
def imports(package: Path) -> tuple[Import, ...]:
    """Return every import below a package."""
    found = []
    for path in sorted(package.rglob("*.py")):
        room = _room(path.relative_to(package).with_suffix("").parts)
        for node, eager in _walk(ast.parse(path.read_text()), eager=True):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            found += [Import(room, module, eager, place) for module in _modules(node)]
    return tuple(found)


def inner_imports() -> Iterator[tuple[Import, str]]:
    """Yield the imports from one room of the core to another, with the room they lead to."""
    rooms = {path.name.removesuffix(".py") for path in CORE.iterdir()}
    for found in imports(CORE):
        words = found.module.split(".")
        if words[0] != "batchcore":
            continue
        target = _room(words[1:]) if len(words) > 1 and words[1] in rooms else "__init__"
        if target != found.room:
            yield found, target


def layer(room: str) -> int:
    """Return how far below the roof a room is; one without a place is another test's business."""
    return next((depth for depth, rooms in enumerate(LAYERS) if room in rooms), len(LAYERS))


def test_every_room_has_its_place() -> None:
    placed = {room for rooms in LAYERS for room in rooms} | APART
    there = {_room(path.relative_to(CORE).with_suffix("").parts) for path in CORE.rglob("*.py")}
    assert there <= placed


def test_imports_go_one_way() -> None:
    wrong = [
        f"{found.place}: {found.room} imports {target}"
        for found, target in inner_imports()
        if found.room not in {"__init__", "testing"}
        and (found.room, target) not in UPWARD
        and (target in APART or layer(target) <= layer(found.room))
        and not (target == "__init__" and found.room in {"__main__", "cli"})
    ]
    assert wrong == []


def test_an_upward_import_waits_until_it_is_needed() -> None:
    used = {(found.room, target): found for found, target in inner_imports()}
    assert UPWARD.keys() <= used.keys(), "this exception is not needed any more"
    eager = [found.place for found, target in inner_imports() if (found.room, target) in UPWARD]
    assert [p for p in eager if any(f.place == p and f.eager for f in imports(CORE))] == []


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    assert [f for f, _ in inner_imports() if f.room == "__init__" and f.eager] == []


def test_nobody_imports_the_conformance_kit_or_a_backend() -> None:
    apart = {"local", "testing"}
    wrong = [
        found.place
        for found, target in inner_imports()
        if target in apart and found.room != "testing"
    ]
    assert wrong == []


def test_the_core_knows_no_cloud_and_no_backend() -> None:
    forbidden = {"adlfs", "azure", "docker", *(path.name for path in PLUGINS)}
    wrong = [f.place for f in imports(CORE) if f.module.split(".")[0] in forbidden]
    assert wrong == []


def test_each_library_stays_in_its_rooms() -> None:
    wrong = []
    for found in imports(CORE):
        library = found.module.split(".")[0]
        if library == "batchcore" or library in sys.stdlib_module_names:
            continue
        rooms = LIBRARIES.get(library, set())
        if rooms is not None and found.room.split(".")[0] not in rooms:
            wrong.append(f"{found.place}: {found.room} imports {library}")
    assert wrong == []


def test_rich_is_imported_late() -> None:
    # It is needed on a terminal alone.
    assert [f.place for f in imports(CORE) if f.module.startswith("rich") and f.eager] == []


@pytest.mark.parametrize("package", PLUGINS, ids=lambda path: path.name)
def test_a_backend_knows_the_core_and_no_other_backend(package: Path) -> None:
    others = {path.name for path in PLUGINS} - {package.name}
    above = {"batchcore.cli", "batchcore.driver", "batchcore.run", "batchcore.life.start"}
    wrong = [
        f.place
        for f in imports(package)
        if f.module.split(".")[0] in others or ".".join(f.module.split(".")[:2]) in above
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_module_imports_no_sdk(package: Path) -> None:
    own = {"batchcore", package.name}
    room = [f for f in imports(package) if f.room == "plugin" and f.eager]
    wrong = [f.place for f in room if f.module.split(".")[0] not in own | sys.stdlib_module_names]
    assert wrong == []
