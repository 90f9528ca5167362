"""The settings of super_batch: by argument or, where one is not given, by environment variable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from batchcore.errors import SettingsError, suggest

CREDENTIALS = frozenset(
    {
        "BATCH_ACCOUNT_KEY",
        "REGISTRY_PASSWORD",
        "STORAGE_ACCOUNT_CONNECTION_STRING",
        "STORAGE_ACCOUNT_KEY",
    }
)
_HOME = ".batchcore"

Count = Annotated[int, Meta(ge=0)]
Hours = Annotated[float, Meta(ge=0)]
JobId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a super_batch client, under the names it gave them.

    `JOB_ID` and `BATCH_DIRECTORY` are always needed: together they name a job. All others are
    asked for by the backends that need them. Its representation shows no credential.
    """

    JOB_ID: JobId
    BATCH_DIRECTORY: str
    DOCKER_IMAGE: str | None = None
    COMMAND_LINE: str | None = None
    POOL_ID: str | None = None
    POOL_VM_SIZE: str | None = None
    POOL_NODE_COUNT: Count = 0
    POOL_LOW_PRIORITY_NODE_COUNT: Count = 0
    BLOB_CONTAINER_NAME: str | None = None
    SUBNET_ID: str | None = None
    STORAGE_ACCESS_DURATION_HRS: Hours = 24
    DELETE_POOL_WHEN_DONE: bool = False
    DELETE_JOB_WHEN_DONE: bool = False
    DELETE_CONTAINER_WHEN_DONE: bool = False
    BATCH_ACCOUNT_NAME: str | None = None
    BATCH_ACCOUNT_KEY: str | None = None
    BATCH_ACCOUNT_ENDPOINT: str | None = None
    STORAGE_ACCOUNT_NAME: str | None = None
    STORAGE_ACCOUNT_KEY: str | None = None
    STORAGE_ACCOUNT_CONNECTION_STRING: str | None = None
    REGISTRY_SERVER: str | None = None
    REGISTRY_USERNAME: str | None = None
    REGISTRY_PASSWORD: str | None = None

    @property
    def BATCH_ACCOUNT_URL(self) -> str | None:  # noqa: N802 - super_batch's name for it
        """The endpoint as a URL, which the ``az`` command shows as a bare host name."""
        endpoint = self.BATCH_ACCOUNT_ENDPOINT
        if endpoint is None or "://" in endpoint:
            return endpoint
        return f"https://{endpoint}"

    @property
    def clean(self) -> dict[str, Any]:
        """The settings that are given, without the credentials."""
        given = msgspec.structs.asdict(self)
        return {k: v for k, v in given.items() if v is not None and k not in CREDENTIALS}

    @property
    def directory(self) -> Path:
        """`BATCH_DIRECTORY`, absolute."""
        return Path(self.BATCH_DIRECTORY).expanduser().absolute()

    @property
    def run_directory(self) -> Path:
        """The run directory of the job, below `BATCH_DIRECTORY`."""
        return self.directory / _HOME / self.JOB_ID

    def __repr__(self) -> str:
        """Name the job and nothing else."""
        return f"<BatchConfig {self.JOB_ID} in {self.BATCH_DIRECTORY}>"


def BatchConfig(**settings: Any) -> Config:  # noqa: N802 - super_batch's name for it
    """Return the settings, those that are not given taken from variables of the same names.

    None and an empty text count as not given; quotes around a variable's value are stripped.
    Raises `SettingsError` (permanent) for an unknown, a missing or an impossible one; no value
    is repeated.
    """
    names = Config.__struct_fields__
    for name in settings:
        if name not in names:
            raise SettingsError(
                f"super_batch has no setting {name!r}", hint=suggest(name, names), where=name
            )
    given = {**_from_environment(os.environ), **_plain(settings)}
    try:
        return msgspec.convert(given, Config, strict=False)
    except msgspec.ValidationError as exc:
        raise SettingsError(
            f"a setting of the batch client is wrong: {exc}",
            hint="give it as an argument of Client, or export a variable of its name",
        ) from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    texts = {name: environ.get(name, "").strip() for name in Config.__struct_fields__}
    return {name: text.strip("'\"") for name, text in texts.items() if text.strip("'\"")}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    plain = {k: str(v) if isinstance(v, os.PathLike) else v for k, v in settings.items()}
    return {name: value for name, value in plain.items() if value not in (None, "")}
