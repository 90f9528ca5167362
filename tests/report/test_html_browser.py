"""The report as a browser shows it: headless Chromium, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcore.history import read_history
from batchcore.report.files import write_report
from batchcore.run import Run

# Built by chance or by hand: few tasks, as many as the page is made for, and a run on its way.
KINDS = {"small": (40, 4, 1.0), "large": (10_000, 64, 1.0), "running": (200, 8, 0.5)}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLOURS = """
[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
 ...[...document.querySelectorAll("svg .running, svg .bad")].slice(0, 2)
    .map(shape => getComputedStyle(shape).fill)]
"""
# The lowest contrast of a text with what is behind it, by the formula of WCAG 2.
CONTRAST = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = parts(colour).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (parts(colour)[3] !== 0) return colour;
    }
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const told = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || parent.closest("script, style, title")) continue;
    const style = getComputedStyle(parent);
    const ink = parent.closest("svg") ? style.fill : style.color;
    const both = [light(ink), light(behind(parent))].sort((a, b) => b - a);
    told.push((both[0] + 0.05) / (both[1] + 0.05));
  }
  return Math.min(...told);
})()
"""
UNNAMED = """
[...document.querySelectorAll("svg")].filter(drawing =>
  !drawing.closest("[aria-hidden=true]") && !drawing.getAttribute("aria-label")).length
"""
SHOWN = "[...document.querySelectorAll('#tasks tbody tr')].filter(row => !row.hidden).length"

Pages = Callable[[str], Path]


@pytest.fixture(scope="session")
def pages(simulated: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """Return the page of a kind of run."""

    def page(kind: str) -> Path:
        run = simulated(*KINDS[kind])
        target = tmp_path_factory.getbasetemp() / f"report-{kind}" / "report.html"
        if not target.exists():
            history = read_history(run, name="simulated", now=run.heading.created_at + 400)
            write_report(history, target)
        return target

    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 380])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_fits_and_is_quiet_and_asks_for_nothing(
    browser: Any, pages: Pages, kind: str, width: int, scheme: str
) -> None:
    browser.open(pages(kind), width=width, scheme=scheme)
    assert browser.value("window.innerWidth") == width
    assert browser.value(OVERFLOW) == 0
    assert browser.said() == []
    assert browser.asked_for() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(
    browser: Any, pages: Pages, scheme: str
) -> None:
    browser.open(pages("small"), scheme=scheme)
    assert browser.value(CONTRAST) >= 4.5


def test_light_and_dark_differ_in_every_colour(browser: Any, pages: Pages) -> None:
    browser.open(pages("small"), scheme="light")
    light = browser.value(COLOURS)
    browser.open(pages("small"), scheme="dark")
    dark = browser.value(COLOURS)
    assert len(light) == len(dark) == 4
    assert all(one != other for one, other in zip(light, dark, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_drawing_is_told_in_words(browser: Any, pages: Pages, kind: str) -> None:
    browser.open(pages(kind))
    assert browser.value("document.querySelectorAll('svg').length") > 5
    assert browser.value(UNNAMED) == 0


def test_tables_are_sorted_and_filtered_with_the_keyboard(browser: Any, pages: Pages) -> None:
    browser.open(pages("small"))
    heads = "document.querySelectorAll('#tasks thead th')"
    browser.value(f"{heads}[0].firstChild.focus()")
    key = {"key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13}
    browser.call("Input.dispatchKeyEvent", type="keyDown", **key)
    assert browser.value(f"{heads}[0].getAttribute('aria-sort')") == "ascending"
    first = "document.querySelector('#tasks tbody tr').cells[0].textContent"
    assert browser.value(first) == "seed-0"
    browser.call("Input.dispatchKeyEvent", type="keyUp", **key)
    browser.value("document.querySelectorAll('.filter input').forEach(one => one.focus())")
    browser.call("Input.insertText", text="seed-39")
    assert browser.value(SHOWN) == 1


def test_the_page_is_whole_without_its_script(browser: Any, pages: Pages) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(pages("small"))
        assert browser.value("document.querySelectorAll('.filter').length") == 0
        assert browser.value(SHOWN) == 40
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints_on_paper_without_what_only_works_on_a_screen(browser: Any, pages: Pages) -> None:
    browser.open(pages("small"), width=700)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.value(OVERFLOW) == 0
        filters = "getComputedStyle(document.querySelector('.filter')).display"
        assert browser.value(filters) == "none"
        assert browser.call("Page.printToPDF")["data"]
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_a_script_in_a_log_does_not_run(browser: Any, pages: Pages, tmp_path: Path) -> None:
    page = pages("small").read_text()
    # As if an escape had been forgotten: what the page's own policy is there for.
    bad = "<script>document.title = 'broken'</script><img src='https://127.0.0.1:9/x.png'>"
    target = tmp_path / "bad.html"
    target.write_text(page.replace("<h2>Summary</h2>", bad))
    browser.open(target)
    assert "broken" not in browser.value("document.title")
    assert [event["params"]["entry"]["source"] for event in browser.said()] == ["security"] * 2
