"""Logs of a task: whole from storage after its end, and nothing where there is nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from batchcore.backend import LogChunk
from batchcore_azure import names
from batchcore_azure.auth import Account
from batchcore_azure.emulator.service import Service
from batchcore_azure.emulator.settings import EmulatorSettings
from batchcore_azure.logs import MOST, read_log
from batchcore_azure.settings import AzureSettings

Read = Callable[[int], LogChunk]


@pytest.fixture
def read(place: Any) -> Iterator[Read]:
    """Read the log of task ``t``, whose run has no job at Batch any more."""
    service = Service(EmulatorSettings())
    service.start()
    settings = AzureSettings(
        endpoint=service.url,
        account_name=service.settings.account,
        storage_account=place.azurite.account,
        storage_endpoint=place.endpoint,
    )
    account = Account(settings, place.environ | {"BATCH_ACCOUNT_KEY": service.settings.key})
    yield lambda offset: read_log(
        account, place.storage, place.run, place.attempt(), "stdout", offset
    )
    account.close()
    service.stop()


def keep(place: Any, content: bytes) -> None:
    blob = names.log_blob(place.run.run_id, "t", 1, "stdout")
    place.blobs.get_blob_client(place.container, blob).upload_blob(content)


def test_an_ended_log_is_read_from_an_offset(place: Any, read: Read) -> None:
    keep(place, b"0123456789")
    assert read(0) == LogChunk(b"0123456789", complete=True)
    assert read(4) == LogChunk(b"456789", complete=True)


@pytest.mark.parametrize("content", [b"", b"0123456789"])
def test_behind_its_end_there_is_nothing(place: Any, read: Read, content: bytes) -> None:
    keep(place, content)
    assert read(len(content)) == LogChunk(b"", complete=True)


def test_a_long_log_comes_in_parts_of_a_mebibyte(place: Any, read: Read) -> None:
    content = bytes(range(256)) * 6000
    keep(place, content)
    first, second = read(0), read(MOST)
    assert (len(first.data), first.complete, second.complete) == (MOST, False, True)
    assert first.data + second.data == content


def test_a_task_that_nobody_knows_has_written_nothing_yet(read: Read) -> None:
    assert read(0) == LogChunk(b"", complete=False)
