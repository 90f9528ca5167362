"""What can be said of a plan before anything is made: from here, then by asking Azure."""

from __future__ import annotations

from batchcore.backend import Check
from batchcore.plan import Plan
from batchcore_azure import offline, online
from batchcore_azure.auth import Account
from batchcore_azure.settings import AzureSettings


def check_plan(plan: Plan, settings: AzureSettings, account: Account) -> Check:
    """Find what Batch cannot do and what the account lacks; fingerprint the images.

    Azure is asked where nothing is wrong without it. Raises `EnvironmentNotReady` where the
    credential or its roles do not suffice, `BackendError` (transient) where Azure did not answer.
    """
    problems = list(
        offline.problems(plan, settings, account.credentials, delegated=not account.can_sign)
    )
    notes = list(offline.notes(plan, settings))
    if not problems:
        answers = online.ask(plan, settings, account)
        problems += answers.problems
        notes += [note.text for note in answers.notes]
    return Check(problems=problems, notes=notes, fingerprint=offline.fingerprint(plan))
