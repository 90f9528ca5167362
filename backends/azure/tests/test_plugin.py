"""`azure` is found like any backend, without its SDKs."""

from __future__ import annotations

import subprocess
import sys

from batchcore.backend import FEATURES
from batchcore.plugins import Plugins


def test_every_feature_is_declared_and_what_is_missing_has_a_reason():
    spec = Plugins().spec("azure")
    assert set(spec.capabilities) == set(FEATURES)
    assert all(c.reason for c in spec.capabilities.values() if c.level == "unsupported")


def test_looking_at_the_backend_imports_no_sdk():
    code = (
        "import sys; from batchcore.plugins import Plugins; p = Plugins(); p.spec('azure'); "
        "p.settings_type('azure'); "
        "print([m for m in sys.modules if m.split('.')[0] in ('azure', 'adlfs', 'obstore')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
