"""What a size's name says, and where it says nothing."""

from __future__ import annotations

import pytest

from batchcore_azure.machines import Machine, has_gpus, machine

GIB = 2**30


@pytest.mark.parametrize(
    ("size", "cpus", "memory"),
    [
        ("Standard_D2s_v5", 2, 8 * GIB),
        ("STANDARD_D4DS_V5", 4, 16 * GIB),
        ("Standard_D16ls_v5", 16, 32 * GIB),
        ("Standard_E4-2ds_v5", 2, 32 * GIB),
        ("Standard_F8s_v2", 8, 16 * GIB),
        ("Standard_NC4as_T4_v3", 4, None),
        ("Standard_L8as_v3", 8, None),
    ],
)
def test_a_size_says_what_it_has(size: str, cpus: int, memory: int | None):
    assert machine(size) == Machine(cpus, memory)


@pytest.mark.parametrize("size", ["Standard_D4_v2", "Standard_A1", "Basic_A0", "", "odd size"])
def test_nothing_is_said_of_a_size_whose_number_may_mean_something_else(size: str):
    assert machine(size) == Machine()


def test_the_n_families_have_gpus():
    assert has_gpus("Standard_NC4as_T4_v3")
    assert not has_gpus("Standard_D2s_v5")
