"""The choice of a virtual machine image. The listed ones are made by the SDK from wire bodies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from azure.batch.models import BatchSupportedImage

from batchcore.errors import EnvironmentNotReady
from batchcore_azure.images import choose

NOW = datetime(2026, 11, 23, tzinfo=UTC)
UBUNTU = ("microsoft-dsvm", "ubuntu-hpc")


def image(
    sku: str,
    agent: str,
    maker: tuple[str, str] = UBUNTU,
    *,
    days: int | None = None,
    verified: str = "verified",
    able: tuple[str, ...] = ("DockerCompatible",),
) -> BatchSupportedImage:
    body = {
        "nodeAgentSKUId": agent,
        "imageReference": {"publisher": maker[0], "offer": maker[1], "sku": sku},
        "osType": "linux",
        "capabilities": list(able),
        "verificationType": verified,
    }
    if days is not None:
        body["batchSupportEndOfLife"] = (NOW + timedelta(days=days)).isoformat()
    return BatchSupportedImage(body)


OLD = image("2204", "batch.node.ubuntu 22.04")
NEW = image("2404", "batch.node.ubuntu 24.04")


def test_the_newest_ubuntu_is_chosen():
    chosen = choose([OLD, NEW, image("9", "batch.node.el 9", ("alma", "hpc"))], None, NOW)
    assert chosen.name == "microsoft-dsvm/ubuntu-hpc/2404"
    assert chosen.body() == {
        "imageReference": {
            "publisher": "microsoft-dsvm",
            "offer": "ubuntu-hpc",
            "sku": "2404",
            "version": "latest",
        },
        "nodeAgentSKUId": "batch.node.ubuntu 24.04",
    }


def test_versions_are_compared_as_numbers():
    later = image("9", "batch.node.ubuntu 9.10")
    assert choose([later, OLD], None, NOW).sku == "2204"


@pytest.mark.parametrize(
    "unfit",
    [
        image("2604", "batch.node.ubuntu 26.04", able=()),
        image("2604", "batch.node.ubuntu 26.04", verified="unverified"),
        image("2604", "batch.node.ubuntu 26.04", days=89),
    ],
    ids=["no containers", "not verified", "ends soon"],
)
def test_what_is_newer_and_does_not_fit_is_passed_over(unfit):
    assert choose([OLD, unfit, NEW], None, NOW).sku == "2404"


def test_an_end_of_life_far_away_is_no_hindrance():
    assert choose([image("2604", "batch.node.ubuntu 26.04", days=91)], None, NOW).sku == "2604"


def test_another_system_is_chosen_where_there_is_no_ubuntu():
    only = image("9", "batch.node.el 9", ("alma", "hpc"))
    assert choose([only], None, NOW).agent == "batch.node.el 9"


def test_an_image_that_is_wanted_is_taken_as_it_is():
    unfit = image("2004", "batch.node.ubuntu 20.04", days=1, verified="unverified")
    chosen = choose([NEW, unfit], "Microsoft-DSVM/ubuntu-hpc/2004", NOW)
    assert chosen.agent == "batch.node.ubuntu 20.04"
    assert chosen.ends_soon(NOW)


def test_an_image_that_is_wanted_and_unknown_is_answered_with_known_ones():
    with pytest.raises(EnvironmentNotReady, match="'a/b/c'") as caught:
        choose([NEW, OLD, image("x", "y", able=())], "a/b/c", NOW)
    assert "microsoft-dsvm/ubuntu-hpc/2204, microsoft-dsvm/ubuntu-hpc/2404" in caught.value.hint
    assert "/x" not in caught.value.hint


def test_no_fitting_image_is_said():
    with pytest.raises(EnvironmentNotReady, match="no virtual machine image"):
        choose([], None, NOW)
