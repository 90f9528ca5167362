"""The parts put together to a page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from batchcore.history import History
from batchcore.report.html import words
from batchcore.report.html.about import exactly, resources
from batchcore.report.html.distributions import distributions
from batchcore.report.html.failures import failures, others
from batchcore.report.html.markup import Html, element
from batchcore.report.html.summary import header, summary
from batchcore.report.html.tables import attempts, tasks
from batchcore.report.html.timeline import timeline

GENERATOR = "batchcore report"


def page_text(history: History) -> str:
    """Return the page: HTML in UTF-8 with all that it needs within, read from top to bottom.

    It forbids a browser to load anything and to run any other script than its own.
    """
    style, script = _own("style.css"), _own("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="generator", content=GENERATOR),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{history.job}: {history.state}, {history.run}"),
        element("style", style),
    )
    body = element(
        "body",
        header(history),
        element("main", *_sections(history)),
        element(
            "footer",
            f"Made at {words.moment(history.read_at)} from the record of {history.run}. "
            "Beside this page, trace.csv has a line for each attempt, and report.json has it all.",
        ),
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _sections(history: History) -> list[Html | None]:
    return [
        summary(history),
        failures(history),
        others(history),
        timeline(history),
        distributions(history),
        attempts(history),
        tasks(history),
        resources(history),
        exactly(history),
    ]


def _own(name: str) -> Html:
    """Return a file of this package; it has no text of anybody else."""
    return Html((files(__package__) / name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
