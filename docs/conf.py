"""How Sphinx makes a site of these pages; `make docs` puts it into build/docs."""

from __future__ import annotations

import logging
import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.lexer import RegexLexer, bygroups
from pygments.lexers.special import TextLexer
from pygments.token import Comment, Generic, Text

from batchcore.model import Shared

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "batchcore"
release = version_of("batchcore")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
smartquotes = False  # they make a dash of the two hyphens of an option

# A name in a docstring is a link where it has a page. Types of other projects have none here.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", r"(?!batchcore\.).*")]

myst_heading_anchors = 3

autodoc_member_order = "bysource"
maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"batchcore {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

# Of a console block the commands are copied, without the prompt and without what they print.
copybutton_exclude = ".linenos, .gp, .go"

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"  # what it says of the installation is on the first page
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s:#]+)(#[^)\s]*)?\)")


class Console(RegexLexer):
    """A terminal, in which only ``$`` is a prompt: in a file that is shown, ``#`` is none."""

    tokens = {  # noqa: RUF012 - as Pygments wants it
        "root": [
            (r"^(\$ )(.*?)(  # .*)?(\n)", bygroups(Generic.Prompt, Text, Comment, Text)),
            (r".*\n", Generic.Output),
        ]
    }


def name_what_is_outside(_app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn links to files of the checkout that are no pages of this site into their names."""
    page = (DOCS / docname).with_suffix(".md")

    def name(link: re.Match[str]) -> str:
        text, path, anchor = link.groups("")
        target = (page.parent / path).resolve()
        if target.is_relative_to(DOCS):
            return link[0]
        if target == README:
            return f"[{text}](/index.md{anchor})"
        return f"{text} (`{target.relative_to(DOCS.parent)}` in the checkout)"

    source[0] = LINK.sub(name, source[0])


def shorten_the_signature(
    _app: Sphinx, what: str, _name: str, value: type, _options: object, given: str, returned: str
) -> tuple[str, str] | None:
    """Leave out of the signature of a value what a reader has elsewhere, or not at all."""
    if what != "class" or given is None:
        return None
    given = re.sub(r"Annotated\[(.+?), msgspec\.Meta\(.+?\)\]", r"\1", given)
    if Shared in value.__bases__:
        given = re.sub(r", \*, .*", ", **shared)", given)
    return given.replace("<factory>", "{}"), returned


def show_the_example(_app: Sphinx, _context: object, lines: list[str]) -> None:
    """Show the command behind "Example:" at the end of a verb's help as a block."""
    lines[:] = re.sub(
        r"^(\S.*:)  (.+)$",
        r"\1\n\n.. code-block:: sh\n\n   \2",
        "\n".join(lines),
        flags=re.MULTILINE,
    ).splitlines()


def setup(app: Sphinx) -> None:
    """Add what the extensions above do not do."""
    app.add_lexer("bicep", TextLexer)
    app.add_lexer("console", Console)
    app.add_lexer("shell-session", Console)
    # A pattern of a toctree may wait for its first page; Sphinx gives this warning no full name.
    toctrees = logging.getLogger("sphinx.sphinx.directives.other")
    toctrees.addFilter(lambda record: getattr(record, "subtype", "") != "empty_glob")
    app.connect("source-read", name_what_is_outside)
    app.connect("autodoc-process-signature", shorten_the_signature)
    app.connect("sphinx-click-process-epilog", show_the_example)
