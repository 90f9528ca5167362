"""A backend of a plugin is called through a guard that names it."""

from __future__ import annotations

from batchcore.backend import Backend
from batchcore.delegate import Delegate
from batchcore.plugins.guard import GuardedBackend


def test_every_method_of_the_contract_is_guarded() -> None:
    methods = {name for name, value in vars(Backend).items() if callable(value)}
    public = {name for name in methods if not name.startswith("_")}
    assert public <= {*vars(Delegate), *vars(GuardedBackend)}
