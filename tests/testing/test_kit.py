"""The conformance kit as a whole: no test of it is hidden, and no feature forgotten."""

from __future__ import annotations

import pkgutil
from collections import Counter
from importlib import import_module

from batchcore.features import ASKABLE
from batchcore.testing import conformance
from batchcore.testing.conformance import BackendConformance
from batchcore.testing.conformance.group import Group
from batchcore.testing.conformance.refusals import _ASKING


def groups() -> list[type]:
    names = [module.name for module in pkgutil.iter_modules(conformance.__path__)]
    modules = [import_module(f"{conformance.__name__}.{name}") for name in names]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Group) and value is not Group
    ]


def test_every_group_is_part_of_it():
    assert set(BackendConformance.__bases__) == set(groups())


def test_no_test_of_a_group_hides_one_of_another():
    names = Counter(name for group in groups() for name in vars(group) if name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []


def test_every_feature_that_a_task_can_ask_for_is_asked_for():
    assert set(_ASKING) == set(ASKABLE)
