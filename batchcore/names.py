"""The names that a job may use, and the texts that go with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from batchcore.credentials import is_secret_name
from batchcore.errors import JobError
from batchcore.shape import is_text

TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = ("BATCHCORE_", "AZ_BATCH_")


def check_task_id(text: str) -> None:
    """Raise `JobError`, with an id that could be meant, unless `text` is a task id."""
    if not TASK_ID.fullmatch(text):
        meant = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:64]
        raise JobError.of(
            "BC2200",
            f"{text!r} is not a task id: use 1 to 64 of A-Z a-z 0-9 _ -",
            hint=f'did you mean "{meant}"?' if meant else "",
            key="id",
        )


def check_job_name(text: str) -> None:
    """Raise `JobError`, with a name that could be meant, unless `text` is a job name."""
    if not _JOB_NAME.fullmatch(text):
        meant = re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-._")[:64]
        raise JobError.of(
            "BC2200",
            f"{text!r} is not a job name: use 1 to 64 of A-Z a-z 0-9 _ . -",
            hint=f'did you mean "{meant}"?' if meant else "",
            key="name",
        )


def check_env(env: Any) -> None:
    """Check the variables before their types are, for a hint that shows the value as a text."""
    for name, value in env.items() if isinstance(env, Mapping) else ():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise _bad_variable(f"{name!r} is not a name for a variable", name)
        if name.startswith(_RESERVED):
            raise _bad_variable(f"{name!r} cannot be set by a job", name)
        if not is_text(value):
            raise _bad_value(name, value)


def _bad_value(name: str, value: object) -> JobError:
    number = isinstance(value, int | float) and not is_secret_name(name)
    return JobError.of(
        "BC2001",
        f"{name} = {value!r} is not a text" if number else f"the value of {name} is not a text",
        hint=f'write {name} = "{value}"' if number else "write a text without a NUL character",
        key=f"env.{name}",
    )


def _bad_variable(reason: str, name: object) -> JobError:
    hint = "use letters, digits and _; BATCHCORE_ and AZ_BATCH_ are reserved"
    return JobError.of("BC2200", reason, hint=hint, key=f"env.{name}")


def check_image(image: str | None) -> None:
    """Refuse what no registry could hold, and an empty name, which is a slip."""
    if image is not None and (not image.isprintable() or not image or " " in image):
        raise JobError.of(
            "BC2200",
            f"{image!r} is not the name of an image",
            hint='write image = "python:3.12", or leave it out',
            key="image",
        )


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse what cannot be written to a record."""
    for name, value in labels.items():
        if not is_text(name) or not is_text(value):
            reason = f"the label {name!r} = {value!r} is not Unicode text"
            raise JobError.of("BC2001", reason, key=f"labels.{name}")


def check_secrets(secrets: Iterable[str], env: Mapping[str, str]) -> None:
    """Refuse what is not a name, without showing it: it may be the secret itself."""
    for secret in secrets:
        if not _VARIABLE.fullmatch(secret):
            raise JobError.of(
                "BC2200",
                "a secret is named by a variable of the controller, and this is not a name",
                hint='write secrets = ["API_TOKEN"] and export API_TOKEN',
                key="secrets",
            )
        if secret in env:
            raise JobError.of(
                "BC2203", f"{secret} is both a secret and in env", hint="keep one", key="secrets"
            )
