"""The values of the settings: what is resolved, and where each part came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

Kind = Literal["flag", "set", "environment", "job", "file"]
Form = Literal["data", "plain", "toml"]
OnInterrupt = Literal["detach", "cancel"]
Path = tuple[str, ...]

PREFIX = "BATCHCORE_"


class CoreSettings(Struct, frozen=True, kw_only=True):
    """The settings that are not a backend's.

    `backend` is where tasks run. `runs` is the directory of the run directories; a relative one
    starts at the current directory, in a project's file at that file's. `max_parallel` limits how
    many tasks run at once, None leaves that to the backend. `fail_fast` stops submitting after
    the first failure. `on_interrupt` is what Ctrl-C, TERM and a closed terminal do with the tasks
    of a `run`: they go on, or they are canceled.
    """

    backend: Annotated[str, Meta(min_length=1)] = "local-process"
    runs: Annotated[str, Meta(min_length=1, pattern=r"^[^\0]+$")] = ".batchcore"
    max_parallel: Annotated[int, Meta(ge=1)] | None = None
    fail_fast: bool = False
    on_interrupt: OnInterrupt = "detach"


class Backends(Protocol):
    """What the settings ask of the plugins; `batchcore.plugins.Plugins` is one."""

    def known(self) -> Sequence[str]:
        """Return the names whose sections may stand in a file."""

    def settings_type(self, name: str) -> type[Struct]:
        """Return the type of a backend's settings, or raise `NotFound`."""


class Origin(Struct, frozen=True):
    """Where a value came from; `label` is the file, the job's file, or a variable's own name."""

    kind: Kind
    label: str = ""

    def text(self, scope: str, path: Path) -> str:
        """Return the origin as ``config show`` names it."""
        if self.kind == "environment":
            return f"environment {self.spelling(scope, path)}"
        if self.kind == "flag":
            return self.spelling(scope, path)
        return "--set" if self.kind == "set" else self.label

    def place(self, scope: str, path: Path) -> str:
        """Return the origin and the key as errors name them."""
        text = self.text(scope, path)
        if self.kind in ("environment", "flag"):
            return text
        return f"{text} {self.spelling(scope, path)}"

    def spelling(self, scope: str, path: Path) -> str:
        """Return how this kind of origin spells a key; `scope` is a backend's name or empty."""
        if self.kind == "environment":
            return self.label or variable(scope, path)
        if self.kind == "flag":
            return f"--{'-'.join(path).replace('_', '-')}"
        section = ("backend", scope) if scope and self.kind != "set" else ()
        return ".".join((*section, *path))


class Given(Struct, frozen=True):
    """A value as a source gives it, a table whole.

    `form` says how to read it: ``data`` as it is, ``plain`` as text for the wanted type, ``toml``
    as a TOML value where it is one.
    """

    path: Path
    value: Any
    origin: Origin
    form: Form = "data"


class Leaf(Struct, frozen=True):
    """A value that is no table, checked against its type."""

    value: Any
    origin: Origin


class SettingRow(Struct, frozen=True):
    """One line of ``config show``; `value` is plain data with secrets masked."""

    key: str
    value: Any
    origin: str


class Settings(Struct, frozen=True, kw_only=True):
    """The resolved settings.

    `backend` is a value of the chosen backend's settings type. `origins` maps every key, such as
    ``max_parallel`` or ``local-docker.slots``, to the text of its origin: ``environment
    BATCHCORE_MAX_PARALLEL``, ``batchcore.toml``, ``default``. `rows` are the same keys with their
    values, secrets already masked; the representation shows these alone.
    """

    core: CoreSettings
    backend: Any
    origins: Mapping[str, str]
    rows: Sequence[SettingRow]

    def redacted(self) -> Sequence[SettingRow]:
        """Return key, value and origin of every setting; what looks secret is ``***``."""
        return self.rows

    def __repr__(self) -> str:
        """Show the settings without what looks secret."""
        return f"Settings({', '.join(f'{row.key}={row.value!r}' for row in self.rows)})"


def variable(scope: str, path: Path) -> str:
    """Return the environment variable of a key, such as ``BATCHCORE_LOCAL_DOCKER_SLOTS``."""
    words = (scope, "__".join(path)) if scope else ("__".join(path),)
    return PREFIX + "_".join(words).replace("-", "_").upper()
