"""The site that `make docs` builds: without a warning, whole, and with no dead link."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import click
import pytest

import batchcore
from batchcore.backend import Backend
from batchcore.cli.root import root
from batchcore.errors import CODES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# The build takes ten seconds of a processor; a machine that is busy gives it less than one.
pytestmark = pytest.mark.timeout(400)


class Page(NamedTuple):
    """What a built page offers to links, where its own lead, and what it loads."""

    anchors: frozenset[str]
    links: tuple[str, ...]
    loaded: tuple[str, ...]


class Reader(HTMLParser):
    """Reads the ids, the links and the parts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") == "stylesheet":
            self.loaded.append(given["href"])
        self.loaded += [given["src"]] if "src" in given else []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"]
    done = subprocess.run(
        [*command, "-d", place / "doctrees", DOCS, place / "html"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return place / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page of the site, read."""
    found = {}
    for path in site.rglob("*.html"):
        reader = Reader(path.read_text())
        found[path] = Page(frozenset(reader.anchors), tuple(reader.links), tuple(reader.loaded))
    return found


def test_every_page_is_on_the_site(site: Path) -> None:
    sources = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert sources <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_every_link_within_the_site_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme:
                continue
            there = (path.parent / unquote(url.path)).resolve() if url.path else path
            known = pages[there].anchors if there in pages else {""}
            if not there.is_file() or unquote(url.fragment) not in known:
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_links_to_other_sites_are_well_formed(pages: dict[Path, Page]) -> None:
    links = {link for page in pages.values() for link in page.links if urlsplit(link).scheme}
    assert [link for link in links if not re.fullmatch(r"https://[\w.-]+\.\w+(/\S*)?", link)] == []


def test_a_page_loads_files_of_the_site_alone(pages: dict[Path, Page]) -> None:
    loaded = {
        path.parent / urlsplit(part).path for path, page in pages.items() for part in page.loaded
    }
    assert [part for page in pages.values() for part in page.loaded if urlsplit(part).netloc] == []
    assert [file for file in loaded if not file.is_file()] == []


def test_every_public_name_is_in_the_reference(site: Path, pages: dict[Path, Page]) -> None:
    anchors = pages[site / "reference/python.html"].anchors
    names = set(batchcore.__all__) - {"__version__"}
    homes = ("batchcore", "batchcore.errors")
    assert [n for n in names if not {f"{home}.{n}" for home in homes} & anchors] == []


def test_every_method_of_a_backend_is_in_the_reference(site: Path, pages: dict[Path, Page]) -> None:
    wanted = {f"batchcore.backend.Backend.{name}" for name in Backend.__abstractmethods__}
    assert wanted <= pages[site / "reference/backend-contract.html"].anchors


def options(command: click.Command, path: str) -> Iterator[str]:
    """Yield the anchors of a command, of its options, and of the commands below it."""
    yield path
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            yield from (f"cmdoption-{path}-{text.lstrip('-')}" for text in param.opts)
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from options(below, f"{path}-{name}")


def test_every_verb_and_option_is_in_the_reference(site: Path, pages: dict[Path, Page]) -> None:
    wanted = set(options(root, "batchcore"))
    assert wanted - pages[site / "reference/command-line.html"].anchors == set()


def test_every_error_code_has_a_place_of_its_own(site: Path, pages: dict[Path, Page]) -> None:
    assert {code.lower() for code in CODES} <= pages[site / "errors.html"].anchors
