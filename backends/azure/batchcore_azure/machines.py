"""What the name of a size of virtual machines says about it. Pure.

A name is family, number of processors, features, version: ``Standard_E4-2ds_v5`` ("Azure virtual
machine sizes naming conventions", Microsoft Learn). Batch itself does not tell what a size has.
Before version 3 the number meant something else in most families, so nothing is said of those.
"""

from __future__ import annotations

import re

from msgspec import Struct

_NAME = re.compile(
    r"(?:standard_)?(?P<family>[a-z]+?)(?P<cpus>\d+)(?:-(?P<active>\d+))?(?P<features>[a-z]*)"
    r"(?:_[a-z0-9]+)*?_v(?P<version>\d+)"
)
_GIB = 2**30
_MEMORY_OF_A_CPU = {"d": 4 * _GIB, "dc": 4 * _GIB, "e": 8 * _GIB, "ec": 8 * _GIB, "f": 2 * _GIB}


class Machine(Struct, frozen=True):
    """Processors and bytes of memory; None where the name does not say."""

    cpus: int | None = None
    memory: int | None = None


def machine(vm_size: str) -> Machine:
    """Return what a machine of this size has at most."""
    match = _NAME.fullmatch(vm_size.lower())
    if match is None:
        return Machine()
    family, version = match["family"], int(match["version"])
    if version < 3 and not (family == "f" and version == 2):  # noqa: PLR2004 - versions
        return Machine()
    of_a_cpu = _MEMORY_OF_A_CPU.get(family)
    if of_a_cpu and family == "d" and "l" in match["features"]:
        of_a_cpu //= 2
    cpus = int(match["cpus"])
    return Machine(int(match["active"] or cpus), of_a_cpu and of_a_cpu * cpus)


def has_gpus(vm_size: str) -> bool:
    """Return whether machines of this size have GPUs: those of the N families do."""
    return vm_size.lower().removeprefix("standard_").startswith("n")
