"""Where a client's job runs, and the account it has there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from batchcore.compat.config import Config
from batchcore.plugins import Plugins
from batchcore.settings import resolve

DEFAULT = "azure"


def choose_backend(plugins: Plugins, words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the backend that ``--backend NAME`` among the script's words names.

    Without it ``BATCHCORE_BACKEND``, a configuration file, and `azure`, where super_batch ran
    everything. Other words of the script are its own.
    """
    # Without the variables of an account: whether they are right is the backend's business.
    ours = {name: text for name, text in environ.items() if name.startswith("BATCHCORE_")}
    settings = resolve(plugins, flags={"backend": _flag(words)}, environ=ours)
    return DEFAULT if settings.origins["backend"] == "default" else settings.core.backend


def _flag(words: Sequence[str]) -> str | None:
    for word, following in zip(words, (*words, "")[1:], strict=True):
        name, separator, value = word.partition("=")
        if name == "--backend":
            return (value if separator else following) or None
    return None


@contextmanager
def account_in_environment(config: Config, plugins: Plugins, backend: str) -> Iterator[None]:
    """Put the client's account where the backend reads it, as long as a block.

    That is the environment: a credential must be in no setting, as settings are recorded. Only
    what the backend declares is put there, so a local one sees no account at all.
    """
    wanted = account_settings(plugins, backend)
    given = {name: value for name in wanted if (value := _value(config, name))}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def account_settings(plugins: Plugins, backend: str) -> list[str]:
    """Return the names of super_batch's settings that a backend reads from the environment."""
    declared: Any = plugins.settings_type(backend)
    aliases = getattr(declared, "aliases", {})
    credentials = (name.upper() for name in getattr(declared, "credentials", ()))
    return [name for name in (*aliases, *credentials) if name in Config.__struct_fields__]


def _value(config: Config, name: str) -> str | None:
    value = config.BATCH_ACCOUNT_URL if name == "BATCH_ACCOUNT_ENDPOINT" else getattr(config, name)
    return None if value is None else str(value)
