"""Two backends with settings of every kind, and a way to resolve without touching the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest

from batchcore.errors import NotFound, suggest
from batchcore.settings import Settings, resolve


class Pool(msgspec.Struct, frozen=True):
    nodes: Annotated[int, msgspec.Meta(ge=0)] = 1
    size: str = "small"


class Docker(msgspec.Struct, frozen=True):
    slots: int | None = None
    network: Literal["bridge", "none"] = "bridge"
    pull: bool = True
    grace: float = 10.0
    dns: Sequence[str] = ()
    env: dict[str, str] = {}
    note: str = ""

    def __post_init__(self) -> None:
        if self.network == "none" and self.dns:
            raise ValueError("dns servers need a network")


class Azure(msgspec.Struct, frozen=True):
    batch_url: str = ""
    account_key: str | None = None
    pool: Pool = Pool()
    spare: Pool | str | None = None
    anything: Any = None

    aliases: ClassVar[Mapping[str, str]] = {"BATCH_URL": "batch_url"}
    credentials: ClassVar[Sequence[str]] = ("registry_password",)


class Nothing(msgspec.Struct, frozen=True):
    pass


TYPES: Mapping[str, type[msgspec.Struct]] = {
    "local-process": Nothing,
    "local": Nothing,
    "local-docker": Docker,
    "azure": Azure,
}


class FakeBackends:
    def known(self) -> Sequence[str]:
        return list(TYPES)

    def settings_type(self, name: str) -> type[msgspec.Struct]:
        if name not in TYPES:
            raise NotFound(
                f"there is no backend {name!r}", hint=suggest(name, TYPES), code="BC5002"
            )
        return TYPES[name]


class Machine:
    """A project directory and a user's configuration directory; both start empty."""

    def __init__(self, root: Path) -> None:
        self.cwd = root / "project"
        self.config_dir = root / "home"
        for directory in (self.cwd, self.config_dir):
            directory.mkdir()

    def project(self, text: str, name: str = "batchcore.toml") -> Path:
        path = self.cwd / name
        path.write_text(text, encoding="utf-8")
        return path

    def user(self, text: str) -> Path:
        path = self.config_dir / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def resolve(self, **given: Any) -> Settings:
        defaults = {"environ": {}, "cwd": self.cwd, "config_dir": self.config_dir}
        return resolve(FakeBackends(), **{**defaults, **given})

    def docker(self, **given: Any) -> Settings:
        return self.resolve(**{"flags": {"backend": "local-docker"}, **given})


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def docker(machine: Machine) -> Callable[..., Docker]:
    """Return a function that resolves for local-docker and returns its settings alone."""

    def settings(**given: Any) -> Docker:
        value = machine.docker(**given).backend
        assert isinstance(value, Docker)
        return value

    return settings
