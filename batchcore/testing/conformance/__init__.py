"""The conformance kit: one suite that holds every backend to the contract of `batchcore.backend`.

An author subclasses it, and says which backend in one fixture::

    from batchcore.testing import BackendConformance, Subject

    class TestMine(BackendConformance):
        @pytest.fixture
        def subject(self) -> Subject:
            return Subject(backend="mine")

A test that needs a feature is skipped where the backend declares it unsupported, with the reason
it declares; a feature that is declared and not held fails. Each module here is one subject of the
contract.
"""

from __future__ import annotations

import pkgutil

import pytest

# Before the groups are imported: a failed assertion then shows the values in it.
for _group in pkgutil.iter_modules(__path__):
    pytest.register_assert_rewrite(f"{__name__}.{_group.name}")

from batchcore.testing.conformance.attaching import Attaching  # noqa: E402 - see above
from batchcore.testing.conformance.canceling import Canceling  # noqa: E402 - see above
from batchcore.testing.conformance.dependencies import Dependencies  # noqa: E402 - see above
from batchcore.testing.conformance.exits import Exits  # noqa: E402 - see above
from batchcore.testing.conformance.limits import Limits  # noqa: E402 - see above
from batchcore.testing.conformance.logs import Logs  # noqa: E402 - see above
from batchcore.testing.conformance.mounts import Mounts  # noqa: E402 - see above
from batchcore.testing.conformance.outputs import Outputs  # noqa: E402 - see above
from batchcore.testing.conformance.refusals import Refusals  # noqa: E402 - see above
from batchcore.testing.conformance.release import Release  # noqa: E402 - see above
from batchcore.testing.conformance.resources import Resources  # noqa: E402 - see above
from batchcore.testing.conformance.retries import Retries  # noqa: E402 - see above
from batchcore.testing.conformance.scale import Scale  # noqa: E402 - see above
from batchcore.testing.conformance.secrets import Secrets  # noqa: E402 - see above
from batchcore.testing.conformance.states import States  # noqa: E402 - see above
from batchcore.testing.conformance.submission import Submission  # noqa: E402 - see above
from batchcore.testing.conformance.worker import Worker  # noqa: E402 - see above


class BackendConformance(
    Attaching,
    Canceling,
    Dependencies,
    Exits,
    Limits,
    Logs,
    Mounts,
    Outputs,
    Refusals,
    Release,
    Resources,
    Retries,
    Scale,
    Secrets,
    States,
    Submission,
    Worker,
):
    """Every test of the contract; a subclass overrides the fixture `subject`."""
