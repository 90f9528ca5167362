"""Choosing the virtual machines' image among those that Batch supports. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.batch.models import (  # noqa: TID253 - only loaded once the backend is used
    BatchSupportedImage,
    BatchVmImageReference,
)
from msgspec import Struct

from batchcore.errors import EnvironmentNotReady
from batchcore_azure.outcome import lowered

LEAST_LIFE = timedelta(days=90)
_UBUNTU = re.compile(r"ubuntu (\d+)\.(\d+)")
_SHOWN = 8


class VmImage(Struct, frozen=True, kw_only=True):
    """An image of virtual machines, with the agent of Batch that fits it.

    `end_of_life` is when Batch stops to support it, None where no date is known.
    """

    publisher: str
    offer: str
    sku: str
    agent: str
    end_of_life: datetime | None = None

    @property
    def name(self) -> str:
        """The image as the setting `image` names it."""
        return name_of(self)

    def ends_soon(self, now: datetime) -> bool:
        """Return whether its support ends within 90 days."""
        return self.end_of_life is not None and self.end_of_life < now + LEAST_LIFE

    def body(self) -> dict[str, Any]:
        """Return what a pool's configuration says of its image."""
        return {
            "imageReference": {
                "publisher": self.publisher,
                "offer": self.offer,
                "sku": self.sku,
                "version": "latest",
            },
            "nodeAgentSKUId": self.agent,
        }


def name_of(image: VmImage | BatchVmImageReference) -> str:
    """Return an image of virtual machines as the setting `image` names it."""
    return f"{image.publisher}/{image.offer}/{image.sku}"


def choose(
    images: Iterable[BatchSupportedImage], wanted: str | None, now: datetime | None = None
) -> VmImage:
    """Return the image that is wanted (``"publisher/offer/sku"``), else the newest Ubuntu.

    Chosen unasked is only one that runs containers, is verified, and is supported for 90 days
    more. Raises `EnvironmentNotReady` (permanent) where there is none.
    """
    listed = list(images)
    if wanted is not None:
        return _named(listed, wanted)
    now = now or datetime.now(UTC)
    fit = [_read(image) for image in listed if _runs_containers(image) and _is_verified(image)]
    fit = [image for image in fit if not image.ends_soon(now)]
    if not fit:
        raise EnvironmentNotReady(
            "Batch lists no virtual machine image that runs containers and is supported for "
            "90 days more",
            hint="name one: image = 'publisher/offer/sku', from `az batch pool supported-images "
            "list`",
        )
    return max(fit, key=_preference)


def _named(listed: list[BatchSupportedImage], wanted: str) -> VmImage:
    found = [_read(image) for image in listed]
    matching = [image for image in found if image.name.lower() == wanted.lower()]
    if matching:
        return max(matching, key=_preference)
    able = sorted({_read(image).name for image in listed if _runs_containers(image)})
    raise EnvironmentNotReady(
        f"Batch does not support the virtual machine image {wanted!r}",
        hint="write one of " + ", ".join(able[:_SHOWN]) + (", …" if len(able) > _SHOWN else ""),
    )


def _preference(image: VmImage) -> tuple[int, int, int, bool, str]:
    match = _UBUNTU.search(image.agent.lower())
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    plain = "rdma" not in image.name.lower()
    return (*version, plain, image.publisher.lower() == "microsoft-dsvm", image.name)


def _read(image: BatchSupportedImage) -> VmImage:
    reference = image.image_reference
    return VmImage(
        publisher=reference.publisher or "",
        offer=reference.offer or "",
        sku=reference.sku or "",
        agent=image.node_agent_sku_id,
        end_of_life=image.batch_support_end_of_life,
    )


def _runs_containers(image: BatchSupportedImage) -> bool:
    return "dockercompatible" in {str(word).lower() for word in image.capabilities or ()}


def _is_verified(image: BatchSupportedImage) -> bool:
    return lowered(image.verification_type) == "verified"
