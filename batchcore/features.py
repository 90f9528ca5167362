"""What a job asks for that not every backend has; refused before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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


def unsupported_requests(plan: Plan, spec: BackendSpec) -> Iterable[Problem]:
    """Yield a problem for each thing that the plan's tasks ask for and the backend lacks."""
    for feature, (key, asks) in _ASKED_BY.items():
        capability = spec.capability(feature)
        if capability.level != "unsupported":
            continue
        asking = [index for index, task in enumerate(plan.tasks) if asks(task)]
        if asking:
            more = f" (and {len(asking) - 1} more tasks)" if len(asking) > 1 else ""
            yield Problem(
                code="BC2501",
                reason=f"{spec.name} cannot do what {key} asks for: {capability.reason}",
                hint=f"leave {key} out, or choose another backend: batchcore backends list",
                key=f"tasks[{asking[0]}].{key}{more}",
            )
