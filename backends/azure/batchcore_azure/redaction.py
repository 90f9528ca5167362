"""No credential in a text: not in an error, and not in what the SDKs log."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable

from batchcore.credentials import MASK

LOGGERS = ("azure", "urllib3", "adlfs", "aiohttp", "msal", "requests", "fsspec", "asyncio")
# Those below them that log requests: a logger's filter does not see what its children log.
_CHILDREN = (
    "azure.core.pipeline.policies._universal",
    "azure.core.pipeline.policies.http_logging_policy",
    "azure.identity",
    "adlfs.spec",
    "aiohttp.client",
    "fsspec.asyn",
    "urllib3.connectionpool",
    "urllib3.util.retry",
)

_PATTERNS = (
    # the signature of a SAS, also where a URL stands in another URL
    r"((?:\b|%3F|%26)sig(?:=|%3D))[^\s&;,'\"<>)\]}]+",
    # the parts of a connection string
    r"\b((?:AccountKey|SharedAccessSignature|SharedAccessKey)\s*=\s*)[^\s;'\"]+",
    # what the Authorization header holds, by its two schemes, and with any other
    r"\b(SharedKey(?:Lite)?\s+[^\s:]+:)[A-Za-z0-9+/=]+",
    r"\b(Bearer\s+)[A-Za-z0-9._~+/=-]{6,}",
    r"(\bAuthorization\b['\"]?\s*[:=]\s*b?['\"]?)(?!\s*(?:SharedKey|Bearer))[^'\"\r\n]+",
    r"(\b(?:client_secret|(?:refresh|access)_token|passw(?:or)?d)\b['\"]?\s*[:=]\s*['\"]?)[^\s&;,'\"]+",
    # a password in a URL
    r"(://[^/?#@\s:]*:)[^/?#@\s]+(?=@)",
)
_CREDENTIALS = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _PATTERNS)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return a text without credentials: those that look so, and the `known` ones anywhere."""
    for pattern in _CREDENTIALS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    for value in known:
        text = text.replace(value, MASK) if value else text
    return text


class RedactingFilter(logging.Filter):
    """Takes the credentials out of every record; `known` gives those that are in use."""

    def __init__(self, known: Callable[[], Iterable[str]] = tuple) -> None:
        """Keep where the known credentials come from: a key may be exchanged."""
        super().__init__()
        self._known = known

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the message and the exception of a record, and let it pass."""
        known = tuple(self._known())
        record.msg, record.args = redact(_message(record), known), ()
        if record.exc_info:
            record.exc_text = record.exc_text or logging.Formatter().formatException(
                record.exc_info
            )
        if record.exc_text:
            record.exc_text = redact(record.exc_text, known)
        return True


class Redaction:
    """A filter on the loggers of the SDKs, from `start` to `stop`.

    It is put on every logger of theirs that there is, and on the handlers that there are.
    """

    def __init__(self, known: Callable[[], Iterable[str]] = tuple) -> None:
        """Prepare the filter; nothing is changed yet."""
        self._filter = RedactingFilter(known)
        self._held: list[logging.Filterer] = []

    def start(self) -> None:
        """Put the filter on. Idempotent."""
        self.stop()
        self._held = [*_loggers(), *_handlers()]
        for held in self._held:
            held.addFilter(self._filter)

    def stop(self) -> None:
        """Take the filter off. Idempotent."""
        for held in self._held:
            held.removeFilter(self._filter)
        self._held = []


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit: logging itself would say so
        return f"{record.msg} {record.args}"


def _loggers() -> list[logging.Logger]:
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in LOGGERS]
    return [logging.getLogger(name) for name in {*LOGGERS, *_CHILDREN, *names}]


def _handlers() -> list[logging.Handler]:
    loggers = (logging.root, *_loggers())
    return list(dict.fromkeys(handler for logger in loggers for handler in logger.handlers))
