"""Whether the Batch account and the storage account can be used, with a fix for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from azure.batch.models import BatchPool  # noqa: TID253 - only loaded once the backend is used

from batchcore.backend import Finding
from batchcore.clock import Clock, SystemClock
from batchcore.errors import BatchcoreError, EnvironmentNotReady, SettingsError
from batchcore.plan import Plan
from batchcore_azure import offline, online, probe
from batchcore_azure.auth import Account
from batchcore_azure.errors import MOST_SKEW, ROLES
from batchcore_azure.pool import machine_count
from batchcore_azure.settings import AzureSettings

_SOME_SKEW = 30.0
_CLOCK = "set the clock: `timedatectl set-ntp true`"
_BATCH_SCOPE = "az batch account show --name {} --resource-group GROUP --query id -o tsv"
_STORAGE_SCOPE = "az storage account show --name {} --query id -o tsv"


def examine(settings: AzureSettings, clock: Clock | None = None) -> Iterator[Finding]:
    """Ask Batch for the pool and the images of machines; write a blob and delete it.

    Raises `EnvironmentNotReady` where no account is named at all.
    """
    try:
        account = Account(settings)
    except SettingsError as exc:
        if settings.endpoint or settings.storage_account:
            raise
        raise EnvironmentNotReady(exc.reason, hint=exc.hint, where=exc.where) from exc
    nothing = Plan(name="doctor", base=str(Path.cwd()), spec_hash="0" * 64, tasks=())
    try:
        yield Finding("ok", f"azure-batch {version('azure-batch')}, {_caller(account)}")
        signed = {"delegated": not account.can_sign}
        for problem in offline.problems(nothing, settings, account.credentials, **signed):
            yield Finding("problem", problem.reason, problem.hint)
        yield from _asked(lambda: _batch(nothing, settings, account), _batch_fix(account))
        yield from _asked(
            lambda: _storage(settings, account, clock or SystemClock()), _storage_fix(account)
        )
    finally:
        account.close()


def _caller(account: Account) -> str:
    keys = (account.credentials.batch_account_key, account.storage_key)
    ways = ("its key" if key else "Entra ID" for key in keys)
    names = (f"Batch account {account.account_name}", f"storage account {account.storage_account}")
    return ", ".join(f"{name} with {way}" for name, way in zip(names, ways, strict=True))


def _asked(ask: Callable[[], Iterator[Finding]], roles: str) -> Iterator[Finding]:
    """Yield what is found until a service refuses or does not answer; `roles` mends the former."""
    try:
        yield from ask()
    except BatchcoreError as exc:
        yield Finding("problem", exc.reason, roles if exc.hint == ROLES else exc.hint)


def _batch(nothing: Plan, settings: AzureSettings, account: Account) -> Iterator[Finding]:
    answers = online.ask_batch(nothing, settings, account)
    yield Finding("ok", f"Batch answers at {account.endpoint}, and knows you")
    for problem in answers.problems:
        yield Finding("problem", problem.reason, problem.hint)
    for note in answers.notes:
        yield Finding("warning" if note.fix else "ok", note.text, note.fix)
    if answers.pool is not None and not answers.problems:
        yield _machines(answers.pool)


def _machines(pool: BatchPool) -> Finding:
    """Say how many machines the pool has now; one that scales itself may have none."""
    now = (pool.current_dedicated_nodes or 0) + (pool.current_low_priority_nodes or 0)
    if now or pool.enable_auto_scale:
        grows = ", and grows by itself" if pool.enable_auto_scale else ""
        return Finding("ok", f"the pool {pool.id!r} has {now} machines now{grows}")
    return Finding(
        "warning",
        f"the pool {pool.id!r} has none of its {machine_count(pool)} machines; tasks will wait",
        f"see why: az batch pool show --pool-id {pool.id} --query resizeErrors",
    )


def _storage(settings: AzureSettings, account: Account, clock: Clock) -> Iterator[Finding]:
    online.ask_for_signing(account, settings)
    if settings.output_container is None:
        skew = probe.write_and_delete(account, None, clock)
        yield Finding("ok", "a container can be made, written, read and deleted")
        yield _clock(skew)
        return
    for container in (settings.container, settings.output_container):
        if probe.exists(account, container):
            skew = probe.write_and_delete(account, container, clock)
            yield Finding("ok", f"the container {container!r} can be written and read")
            yield _clock(skew)
        else:
            yield Finding("ok", f"there is no container {container!r} yet; it will be made")


def _clock(skew: float) -> Finding:
    side = "behind" if skew > 0 else "ahead of"
    told = f"this machine's clock is {abs(skew) / 60:.1f} min {side} Azure's"
    if abs(skew) > MOST_SKEW:
        return Finding("problem", told, _CLOCK)
    if abs(skew) > _SOME_SKEW:
        return Finding("warning", told, _CLOCK)
    return Finding("ok", f"the clock is within {_SOME_SKEW:.0f} s of Azure's")


def _batch_fix(account: Account) -> str:
    scope = _BATCH_SCOPE.format(account.account_name)
    return _assign("Azure Batch Data Contributor", scope)


def _storage_fix(account: Account) -> str:
    return _assign("Storage Blob Data Contributor", _STORAGE_SCOPE.format(account.storage_account))


def _assign(role: str, scope: str) -> str:
    return (
        f'az role assignment create --assignee YOU --role "{role}" --scope "$({scope})"; '
        "it takes some minutes"
    )
