"""What a job asks for that the backend or this environment lacks; refused before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence

from batchcore.backend import BackendSpec
from batchcore.errors import Problem
from batchcore.plan import Plan, PlannedTask

_ASKED_BY: dict[str, tuple[str, Callable[[PlannedTask], bool]]] = {
    "dependencies": ("depends_on", lambda task: bool(task.depends_on)),
    "time_limit": ("timeout", lambda task: task.timeout is not None),
    "retries": ("retries", lambda task: task.retries > 0),
    "gpus": ("requirements.gpus", lambda task: bool(task.requirements.gpus)),
    "mounts": ("mounts", lambda task: bool(task.mounts)),
    "secrets": ("secrets", lambda task: bool(task.secrets)),
    "root_user": ("user", lambda task: task.user == "root"),
}

ASKABLE = tuple(_ASKED_BY)
"""The features that a task asks for in so many words; the others are how a backend is."""


def unsupported_requests(plan: Plan, spec: BackendSpec) -> Iterable[Problem]:
    """Yield a problem for each thing that the plan's tasks ask for and the backend lacks."""
    for feature, (key, asks) in _ASKED_BY.items():
        capability = spec.capability(feature)
        if capability.level != "unsupported":
            continue
        asking = [index for index, task in enumerate(plan.tasks) if asks(task)]
        if asking:
            yield Problem(
                code="BC2501",
                reason=f"{spec.name} cannot do what {key} asks for: {capability.reason}",
                hint=f"leave {key} out, or choose another backend: batchcore backends list",
                key=_where(asking, key),
            )


def unset_secrets(
    plan: Plan, environ: Mapping[str, str], past: Container[str]
) -> Iterable[Problem]:
    """Yield a problem for each secret that a task needs and the environment does not have.

    `past` are the tasks that need none any more. An empty variable counts as not set: it is what
    a shell makes of a missing one.
    """
    asking: dict[str, list[int]] = {}
    for index, task in enumerate(plan.tasks):
        for name in task.secrets if task.id not in past else ():
            if not environ.get(name):
                asking.setdefault(name, []).append(index)
    for name, indexes in asking.items():
        yield Problem(
            code="BC2206",
            reason=f"the secret {name} is not set in this environment, or it is empty",
            hint=f"type: export {name}=…",
            key=_where(indexes, "secrets"),
        )


def _where(tasks: Sequence[int], key: str) -> str:
    more = f" (and {len(tasks) - 1} more tasks)" if len(tasks) > 1 else ""
    return f"tasks[{tasks[0]}].{key}{more}"
