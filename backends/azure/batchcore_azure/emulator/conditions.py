"""Conditional requests: `If-Match` and its kin."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from batchcore_azure.emulator.bodies import http_time
from batchcore_azure.emulator.records import Body, Refusal


def check(method: str, headers: Mapping[str, str], body: Body) -> None:
    """Raise `Refusal` 412 (or 304 for a read) where a condition of the request does not hold."""
    tag, changed = body["eTag"], http_time(body["lastModified"])
    moment = _http_moment(changed)
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    since, unless = headers.get("if-modified-since"), headers.get("if-unmodified-since")
    if match is not None and not _names(match, tag):
        raise _not_met(412)
    if unless is not None and moment > _http_moment(unless):
        raise _not_met(412)
    reads = method in {"GET", "HEAD"}
    if none_match is not None and _names(none_match, tag):
        raise _not_met(304 if reads else 412)
    if since is not None and moment <= _http_moment(since):
        raise _not_met(304 if reads else 412)


def _http_moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT")  # noqa: DTZ007 - both are UTC
    except ValueError:
        raise Refusal(
            400, "InvalidHeaderValue", "The value for one of the HTTP headers is invalid."
        ) from None


def _names(given: str, tag: str) -> bool:
    return any(one.strip().strip('"') in {"*", tag} for one in given.split(","))


def _not_met(status: int) -> Refusal:
    return Refusal(
        status,
        "ConditionNotMet",
        "The condition specified using HTTP conditional header(s) is not met.",
    )
