"""The virtual machine images that the emulated service supports.

Names are those that the service lists in 2026. The date of the last one is made up, so that there
is always an image near its end of life.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from batchcore_azure.emulator.ground import stamp
from batchcore_azure.emulator.records import Body, refuse_property

_DOCKER = ["DockerCompatible", "NvidiaTeslaDriverInstalled", "SupportsRDMAOnly"]


def supported(now: datetime) -> list[Body]:
    """Return all images, as `supportedimages` lists them."""
    return [
        _image("microsoft-dsvm", "ubuntu-hpc", "2404", "batch.node.ubuntu 24.04", _DOCKER),
        _image(
            "microsoft-dsvm",
            "ubuntu-hpc",
            "2204",
            "batch.node.ubuntu 22.04",
            _DOCKER,
            end="2027-06-30T00:00:00Z",
        ),
        _image("canonical", "ubuntu-24_04-lts", "server", "batch.node.ubuntu 24.04"),
        _image(
            "canonical",
            "0001-com-ubuntu-server-jammy",
            "22_04-lts",
            "batch.node.ubuntu 22.04",
            end="2027-06-30T00:00:00Z",
        ),
        _image("almalinux", "almalinux-x86_64", "9-gen2", "batch.node.el 9"),
        _image(
            "almalinux", "almalinux-hpc", "9_3-hpc-gen2", "batch.node.el 9", _DOCKER, verified=False
        ),
        _image(
            "microsoftwindowsserver",
            "windowsserver",
            "2022-datacenter-core-g2",
            "batch.node.windows amd64",
            system="windows",
        ),
        _image(
            "almalinux",
            "almalinux-hpc",
            "8_10-hpc-gen2",
            "batch.node.el 8",
            _DOCKER,
            end=stamp(now + timedelta(days=45)),
        ),
    ]


def _image(
    publisher: str,
    offer: str,
    sku: str,
    agent: str,
    capabilities: list[str] | None = None,
    *,
    end: str | None = None,
    system: str = "linux",
    verified: bool = True,
) -> Body:
    image: Body = {
        "nodeAgentSKUId": agent,
        "imageReference": {
            "publisher": publisher,
            "offer": offer,
            "sku": sku,
            "version": "latest",
        },
        "osType": system,
        "verificationType": "verified" if verified else "unverified",
    }
    if capabilities:
        image["capabilities"] = capabilities
    if end:
        image["batchSupportEndOfLife"] = end
    return image


def check(machine: Body, now: datetime) -> None:
    """Raise `Refusal` for an image that is not listed with its agent; one's own always is."""
    reference = machine["imageReference"]
    if reference.get("virtualMachineImageId"):
        return
    if _identity(machine) not in {_identity(image) for image in supported(now)}:
        refuse_property("imageReference", reference, "no supported image with this agent")


def _identity(image: Body) -> tuple[str, ...]:
    """Return what tells an image from another; the case of letters does not count."""
    reference = image["imageReference"]
    names = (reference.get(key) for key in ("publisher", "offer", "sku"))
    return (image["nodeAgentSKUId"].lower(), *(str(name).lower() for name in names))
