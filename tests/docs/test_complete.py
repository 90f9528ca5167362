"""The pages that list something list all of it."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from batchcore.backend import Backend
from batchcore.errors import CODES
from batchcore.plugins import FIRST_PARTY, Plugins
from batchcore.settings import CoreSettings
from batchcore.testing import Subject

ROOT = Path(__file__).resolve().parents[2]
CORE = Path(find_spec("batchcore").origin).parent
AZURE = Path(find_spec("batchcore_azure").origin).parent


def headings(page: str, level: int) -> list[str]:
    """Return the headings of one level."""
    text = (ROOT / page).read_text()
    return re.findall(rf"^{'#' * level} (.+)$", text, re.MULTILINE)


def test_every_error_code_has_an_entry() -> None:
    assert headings("docs/errors.md", 2) == list(CODES)


def test_every_error_entry_says_something() -> None:
    _, *entries = re.split(r"^## .+$", (ROOT / "docs/errors.md").read_text(), flags=re.MULTILINE)
    assert all(len(entry.split()) > 5 for entry in entries)


def rooms(house: Path) -> set[str]:
    """Return the modules and packages of a package."""
    names = {
        path.name.removesuffix(".py")
        for path in house.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    return names - {"__init__", "__main__"}


def described(text: str) -> set[str]:
    """Return the rooms that have a line in a part of the page about the house."""
    lines = re.findall(r"^- ((?:`\w+`(?:,\s+)?)+):", text, re.MULTILINE)
    return {room for line in lines for room in re.findall(r"\w+", line)}


def test_every_room_of_the_house_is_described() -> None:
    core, _, backends = (ROOT / "docs/house.md").read_text().partition("\n## The backends\n")
    assert described(core) == rooms(CORE)
    azure, _, emulator = backends.partition("`emulator` is a house of its own")
    assert described(azure) == rooms(AZURE) - {"emulator"}
    assert described(emulator) == rooms(AZURE / "emulator")


@pytest.mark.parametrize("backend", FIRST_PARTY)
def test_every_option_of_a_backend_is_described(backend: str) -> None:
    text = (ROOT / "docs/backends.md").read_text()
    section = text.split(f"\n## `{backend}`\n")[1].split("\n## ")[0]
    options = Plugins().settings_type(backend).__struct_fields__
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(options)


def described_in(page: str, heading: str) -> set[str]:
    """Return the words at the start of the rows of the tables in a section of a page."""
    section = (ROOT / page).read_text().split(f"\n{heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([\w.$]+)[(`]", section, re.MULTILINE))


def test_the_page_for_authors_has_every_method() -> None:
    methods = Backend.__abstractmethods__
    assert described_in("docs/writing-a-backend.md", "## The nine methods") == methods
    assert len(methods) == 9


def test_the_page_for_authors_has_every_field_of_the_kits_subject() -> None:
    fields = set(Subject.__struct_fields__)
    assert described_in("docs/writing-a-backend.md", "## Testing") == fields


def test_every_key_of_a_job_file_is_described() -> None:
    schema = json.loads((ROOT / "docs/job.schema.json").read_text())
    job = set(schema["properties"])
    kinds = {name: set(kind["properties"]) for name, kind in schema["$defs"].items()}
    wanted = {
        "Job": job - kinds["Task"],
        "Task": kinds["Task"] - job,
        "Job and task": kinds["Task"] & job,
        "Template of tasks": kinds["TaskTemplate"] - kinds["Task"],
        **{name: kinds[name] for name in ("Resource", "Output", "Mount")},
        **{name: kinds[name] for name in ("Requirements", "Dependency")},
    }
    page = "docs/reference/job-keys.md"
    assert {name: described_in(page, f"## {name}") for name in wanted} == wanted


def test_every_setting_is_described() -> None:
    settings = set(CoreSettings.__struct_fields__)
    assert described_in("docs/reference/settings.md", "## The settings") == settings


def test_decisions_are_dated() -> None:
    assert all(re.match(r"\d{4}-\d\d-\d\d: \S", text) for text in headings("docs/decisions.md", 2))
