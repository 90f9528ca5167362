"""The report of a run as one HTML page: pure functions, from its history to a text.

`markup` makes elements in which every text is escaped, `words` writes numbers and times for
people, `spans` and `buckets` compute what a chart shows. `summary`, `failures`, `timeline` (with
`chart`, and `steps` for a large run), `distributions`, `tables` and `about` are the parts of the
page, which `page` puts together with ``style.css`` and ``script.js``. The page asks for nothing
else, and is whole without its script.
"""

from __future__ import annotations

from batchcore.report.html.page import GENERATOR, page_text

__all__ = ["GENERATOR", "page_text"]
