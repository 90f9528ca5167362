"""What Azure's SDKs raise, as this project's errors: one table, applied by a context manager."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from inspect import iscoroutinefunction
from typing import Any, NamedTuple

import requests
import urllib3
from azure.core.exceptions import (  # noqa: TID253 - only loaded once the backend is used
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from batchcore.errors import BackendError, BatchcoreError, Conflict, EnvironmentNotReady
from batchcore_azure.redaction import redact

_NO_ANSWER = (ServiceRequestError, ServiceResponseError)
FOREIGN = (AzureError, requests.RequestException, urllib3.exceptions.HTTPError)

MOST_SKEW = 5 * 60.0
_BUSY = frozenset({408, 425, 429})
_SERVER_ERROR = 500
_UNAUTHORIZED = frozenset({401, 403})

AGAIN = "the same command goes on where this one stopped"
_KEY = "export BATCH_ACCOUNT_KEY or STORAGE_ACCOUNT_KEY again, or unset both and type `az login`"
ROLES = (
    "give yourself the roles `Azure Batch Data Contributor` and `Storage Blob Data Contributor`: "
    "`az role assignment create --assignee YOU --role ROLE --scope ID`; it takes some minutes"
)
_DISABLED = "look at the account: `az batch account show --name ACCOUNT --resource-group GROUP`"
_JOBS = "end or delete jobs: `az batch job list --filter \"state eq 'active'\" --query '[].id'`"
_POOLS = "delete pools: `az batch pool list --query '[].id'`, or ask Azure for a larger quota"
_CORES = (
    "ask Azure for a larger quota, or take a smaller vm_size or fewer nodes: "
    "`az batch account show --query dedicatedCoreQuota`"
)
_NETWORK = "see whether this machine reaches Azure, and whether the endpoint is spelt right"
_LOGIN = "type `az login`, or export BATCH_ACCOUNT_KEY and STORAGE_ACCOUNT_KEY"
_REPORT = "look at what the service says; a newer batchcore may send what it wants"


class Meaning(NamedTuple):
    """What an error is here: its class, whether the same call may succeed later, what to do."""

    kind: type[BatchcoreError]
    transient: bool
    hint: str


_LATER = Meaning(BackendError, transient=True, hint=AGAIN)
_GONE = Meaning(BackendError, transient=False, hint="see what is there: `batchcore status`")
_THERE = Meaning(Conflict, transient=False, hint="start a new run: add --fresh")
_REFUSED = Meaning(EnvironmentNotReady, transient=False, hint=ROLES)
_WRONG_KEY = Meaning(EnvironmentNotReady, transient=False, hint=_KEY)
_OFF = Meaning(EnvironmentNotReady, transient=False, hint=_DISABLED)

# "Batch Status and Error Codes" and "Blob service error codes", Microsoft Learn.
CODES: dict[str, Meaning] = {
    "AuthenticationFailed": _WRONG_KEY,
    "InvalidAuthenticationInfo": _WRONG_KEY,
    "NoAuthenticationInformation": _WRONG_KEY,
    "InsufficientAccountPermissions": _REFUSED,
    "AuthorizationFailure": _REFUSED,
    "AuthorizationPermissionMismatch": _REFUSED,
    "AuthorizationSourceIPMismatch": _REFUSED,
    "AccountIsDisabled": _OFF,
    "KeyBasedAuthenticationNotPermitted": Meaning(
        EnvironmentNotReady,
        transient=False,
        hint="unset STORAGE_ACCOUNT_KEY and STORAGE_ACCOUNT_CONNECTION_STRING; type `az login`",
    ),
    "ActiveJobAndScheduleQuotaReached": Meaning(BackendError, transient=False, hint=_JOBS),
    "PoolQuotaReached": Meaning(BackendError, transient=False, hint=_POOLS),
    "AccountCoreQuotaReached": Meaning(BackendError, transient=False, hint=_CORES),
    "JobExists": _THERE,
    "JobWithSameIdExists": _THERE,
    "PoolExists": _THERE,
    "TaskExists": _THERE,
    "JobNotFound": _GONE,
    "PoolNotFound": Meaning(
        BackendError,
        transient=False,
        hint="`az batch pool list --query '[].id'` shows the pools; leave pool out for a new one",
    ),
    "TaskNotFound": _GONE,
    "ContainerNotFound": Meaning(
        BackendError,
        transient=False,
        hint="the same command makes it again; what tasks had written there is lost",
    ),
    "BlobNotFound": _GONE,
    "PoolBeingCreated": _LATER,
    "PoolBeingDeleted": _LATER,
    "PoolBeingResized": _LATER,
    "JobBeingTerminated": _LATER,
    "JobBeingDeleted": _LATER,
    "ContainerBeingDeleted": _LATER,
    "ServerBusy": _LATER,
    "TooManyRequests": _LATER,
    "TooManyEnableAutoScaleRequests": _LATER,
    "OperationTimedOut": _LATER,
    "InternalError": _LATER,
}


@contextmanager
def azure_errors(doing: str) -> Iterator[None]:
    """Raise this project's error for whatever Azure's SDKs raise inside; `doing` says at what.

    `EnvironmentNotReady`: the credential is refused, or there is none. `Conflict`: something else
    has the id. `BackendError`, transient where the service did not answer, was busy or is still
    changing what was asked for. No message and no chained exception holds a credential.
    """
    try:
        yield
    except FOREIGN as exc:
        raise backend_error(exc, doing) from (exc if _is_clean(exc) else None)


def backend_error(exc: Exception, doing: str) -> BatchcoreError:
    """Return what an exception of Azure's SDKs means here."""
    meaning = _meaning(exc)
    skew = clock_skew(exc) if status_of(exc) in _UNAUTHORIZED else 0.0
    hint = meaning.hint
    text = f"Azure failed while {doing}: {explanation(exc)}"
    if abs(skew) > MOST_SKEW:
        side = "behind" if skew > 0 else "ahead of"
        text += f"; this machine's clock is {abs(skew) / 60:.0f} min {side} Azure's"
        hint = "set the clock: `timedatectl set-ntp true`"
    if meaning.kind is BackendError:
        return BackendError(
            text, hint=hint, transient=meaning.transient, retry_after=_retry_after(exc)
        )
    return meaning.kind(text, hint=hint)


def code(exc: BaseException) -> str | None:
    """Return the service's own code, such as ``JobExists``; None where the answer has none."""
    for source in (getattr(exc, "error", None), getattr(exc, "model", None)):
        if found := getattr(source, "code", None):
            return str(found)
    if found := getattr(exc, "error_code", None):  # the blob SDK's; may be an enum
        return str(getattr(found, "value", found))
    headers: Any = getattr(getattr(exc, "response", None), "headers", None) or {}
    return headers.get("x-ms-error-code") or _body(exc).get("code")


def status_of(exc: BaseException) -> int | None:
    """Return the HTTP status of the answer, None where there was none."""
    status = getattr(exc, "status_code", None)
    return status if isinstance(status, int) else None


def explanation(exc: BaseException) -> str:
    """Return the service's own words on one line, with its code, without credentials."""
    error, model = getattr(exc, "error", None), getattr(exc, "model", None)
    text = (
        getattr(getattr(model, "message", None), "value", None)
        or getattr(error, "message", None)
        or _text(_body(exc).get("message"))
        or getattr(exc, "message", None)
        or str(exc)
    )
    details = [f"{item.key}: {item.value}" for item in getattr(model, "error_values", None) or ()]
    # What follows the first line are the ids and times of the request.
    first = re.split(r"\r?\n|RequestId:", str(text).strip(), maxsplit=1)[0].strip()
    words = "; ".join([first or type(exc).__name__, *details])
    found = code(exc) or status_of(exc)
    return redact(" ".join(f"{words} ({found})".split() if found else words.split()))


def clock_skew(exc: BaseException) -> float:
    """Return by how many seconds Azure's clock, as its answer shows it, is ahead of this one's."""
    headers: Any = getattr(getattr(exc, "response", None), "headers", None) or {}
    try:
        there = parsedate_to_datetime(headers.get("Date") or "")
        return (there - dt.datetime.now(dt.UTC)).total_seconds()
    except (TypeError, ValueError):  # no date, or one without a zone
        return 0.0


def _meaning(exc: Exception) -> Meaning:
    known = CODES.get(code(exc) or "")
    if known is not None:
        return known
    status = status_of(exc)
    if isinstance(exc, HttpResponseError) and status is not None:
        return _meaning_of_status(status)
    if isinstance(exc, ClientAuthenticationError):  # azure-identity found no way to sign in
        return Meaning(EnvironmentNotReady, transient=False, hint=_LOGIN)
    network = not isinstance(exc, AzureError) or isinstance(exc, _NO_ANSWER)
    return Meaning(BackendError, transient=network, hint=_NETWORK if network else _REPORT)


def _meaning_of_status(status: int) -> Meaning:
    if status in _UNAUTHORIZED:
        return _REFUSED
    if status >= _SERVER_ERROR or status in _BUSY:
        return _LATER
    return Meaning(BackendError, transient=False, hint=_REPORT)


def _retry_after(exc: Exception) -> float | None:
    headers: Any = getattr(getattr(exc, "response", None), "headers", None) or {}
    try:
        return max(0.0, float(headers.get("Retry-After") or ""))
    except ValueError:
        return None


def _body(exc: BaseException) -> dict[str, Any]:
    """Return the answer's body: of a streamed answer the SDK itself looks at none."""
    response = getattr(exc, "response", None)
    read = getattr(response, "read", None)
    if read is None or iscoroutinefunction(read):
        read = getattr(response, "body", None)
    try:
        body = json.loads(read()) if read else {}
    except Exception:  # noqa: BLE001 - whatever a broken answer raises, there is no body then
        return {}
    return body if isinstance(body, dict) else {}


def _text(message: Any) -> str:
    return str(message.get("value") or "") if isinstance(message, dict) else str(message or "")


def _is_clean(exc: BaseException | None) -> bool:
    """Return whether an exception and what led to it can be shown as they are."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        if redact(text := str(exc)) != text:
            return False
        seen.add(id(exc))
        exc = exc.__cause__ or exc.__context__
    return True
