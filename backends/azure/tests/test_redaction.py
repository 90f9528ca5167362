"""No credential is left in a text, whatever wrote it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcore.credentials import MASK
from batchcore_azure.redaction import LOGGERS, Redaction, redact

TEXTS = [
    "GET https://s.blob.core.windows.net/c/b?se=2026&sp=r&sig=CANARY%2Babc%3D&sv=1 403",
    "https://proxy/?url=https%3A%2F%2Fs%2Fc%3Fsig%3DCANARY%26x",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=CANARY==;EndpointSuffix=x",
    "BlobEndpoint=https://x;SharedAccessSignature=sv=1&sig=CANARY&se=2",
    "{'Authorization': 'SharedKey acct:CANARY+/=', 'x': '1'}",
    "Authorization: Bearer CANARY.abc-def_ghi",
    "Authorization: CANARY",
    "'Authorization': 'Basic CANARY'",
    "authorization=CANARY",
    '{"access_token": "CANARY", "expires_in": 1}',
    "client_secret=CANARY&grant_type=x",
    "http://user:CANARY@proxy:3128/",
    '{"username": "u", "password": "CANARY"}',
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_credential_is_taken_out_and_the_rest_stays(text: str):
    found = redact(text)
    assert "CANARY" not in found
    assert MASK in found


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_without_credentials_is_left_alone(text: str):
    assert redact(redact(text)) == redact(text)
    assert redact("design=1 sigma=2 bearer of news; AccountName=a") == (
        "design=1 sigma=2 bearer of news; AccountName=a"
    )


def test_the_other_parts_of_a_url_can_still_be_read():
    assert redact("https://s/c/b?se=1&sig=CANARY&sv=2") == f"https://s/c/b?se=1&sig={MASK}&sv=2"


@given(st.text(), st.text(min_size=4), st.text())
def test_a_known_credential_is_taken_out_wherever_it_stands(before: str, key: str, after: str):
    key = f"CANARY{key}"
    assert key not in redact(f"{before}{key}{after}", [key])


@pytest.fixture
def shown() -> Iterator[io.StringIO]:
    """Return what a handler on the root logger writes at DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.mark.parametrize("name", [*LOGGERS, "urllib3.connectionpool", "azure.core.later"])
def test_loggers_of_the_sdks_show_no_credential(shown: io.StringIO, name: str):
    redaction = Redaction(lambda: ["known-CANARY"])
    redaction.start()
    try:
        logger = logging.getLogger(name)
        logger.debug('"PUT %s HTTP/1.1" %s known-CANARY', "/c/b?sig=CANARY", 201)
        logger.error("it broke", exc_info=ValueError(TEXTS[0]))
    finally:
        redaction.stop()
    assert '"PUT /c/b?sig=*** HTTP/1.1" 201' in shown.getvalue()
    assert "ValueError" in shown.getvalue()
    assert "CANARY" not in shown.getvalue()


def test_a_handler_that_comes_later_shows_none_either():
    redaction = Redaction()
    redaction.start()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("urllib3.connectionpool")
    logger.addHandler(handler)
    try:
        logger.warning("retrying /c/b?sig=%s", "CANARY")
    finally:
        logger.removeHandler(handler)
        redaction.stop()
    assert stream.getvalue() == "retrying /c/b?sig=***\n"


def test_the_arguments_of_a_record_that_do_not_fit_break_nothing(shown: io.StringIO):
    redaction = Redaction()
    redaction.start()
    try:
        logging.getLogger("azure").warning("%d", "sig=CANARY")
    finally:
        redaction.stop()
    assert "CANARY" not in shown.getvalue()


def test_after_the_end_loggers_are_as_they_were():
    loggers = [logging.getLogger(), *map(logging.getLogger, LOGGERS)]
    before = [list(logger.filters) for logger in loggers]
    redaction = Redaction()
    redaction.start()
    redaction.start()
    redaction.stop()
    redaction.stop()
    assert [list(logger.filters) for logger in loggers] == before
