"""The image of an earlier run, named so that it is that one and no later one of its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from batchcore.backend import Backend, BackendSpec, Check
from batchcore.errors import BackendError, EnvironmentNotReady
from batchcore.plan import Plan

_DIGEST = "sha256:"


def check_pinned(
    backend: Backend, spec: BackendSpec, plan: Plan, fingerprint: Mapping[str, str]
) -> tuple[Plan, Check]:
    """Return the plan of one task with the image that had this fingerprint, and what was found.

    A backend without containers gets the plan as it is, and so does a run that knows no digest of
    its image. Raises `EnvironmentNotReady` where no daemon answers or the image is not to be had.
    """
    image = plan.tasks[0].image
    digest = fingerprint.get(image or "", "")
    if spec.capability("containers").level == "unsupported" or not digest.startswith(_DIGEST):
        return plan, backend.check(plan)
    require_engine(backend, plan)
    for name in dict.fromkeys(_names(image or "", digest)):
        pinned = replace(plan, tasks=(replace(plan.tasks[0], image=name),))
        try:
            check = backend.check(pinned)
        except (BackendError, EnvironmentNotReady):  # the image is not here, nor at its registry
            continue
        if check.fingerprint.get(name) == digest:
            return pinned, check
    raise EnvironmentNotReady(
        f"the image of the run, {image} with the digest {digest}, is not to be had",
        hint="fetch or build it as it was; --backend local-process needs none",
    )


def require_engine(backend: Backend, plan: Plan) -> None:
    """Raise `EnvironmentNotReady` where a backend could run nothing, whatever the image."""
    backend.check(replace(plan, tasks=()))


def _names(image: str, digest: str) -> Iterator[str]:
    """Yield what may name the image: its own name, its digest in its repository, its id."""
    yield image
    yield f"{_repository(image)}@{digest}"
    yield digest


def _repository(image: str) -> str:
    """Return the name without tag and digest; a colon before a slash is that of a port."""
    name = image.partition("@")[0]
    host, slash, last = name.rpartition("/")
    return f"{host}{slash}{last.partition(':')[0]}"
