"""What plugins import only grows: held against the text file beside this one."""

from __future__ import annotations

import enum
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MODULES = (
    "batchcore.backend",
    "batchcore.crash",
    "batchcore.errors",
    "batchcore.hookspecs",
    "batchcore.local",
    "batchcore.plan",
    "batchcore.states",
    "batchcore.testing",
    "batchcore.transfer",
)
WRITTEN = (
    "batchcore.backend.Backend.",
    "batchcore.local.ProcessRunner.",
    "batchcore.local.Runner.",
    "batchcore.testing.Execution.",
)
HOOKS = "batchcore.hookspecs."


def interface() -> dict[str, list[str]]:
    """Return every public name with its shape: parameters, fields, members."""
    found: dict[str, list[str]] = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for public in module.__all__:
            found.update(_shapes(f"{name}.{public}", getattr(module, public)))
    return dict(sorted(found.items()))


def _shapes(name: str, value: Any) -> Iterator[tuple[str, list[str]]]:
    if isinstance(value, type) and issubclass(value, enum.Enum):
        yield name, []
        yield from ((f"{name}.{member.name}", []) for member in value)
        yield from _methods(name, value)
    elif isinstance(value, type):
        yield name, _parameters(value) if _is_made(value) else []
        yield from _methods(name, value)
    elif inspect.isfunction(value):
        yield name, _parameters(value)
    elif isinstance(value, dict):
        yield name, []
        yield from ((f"{name}.{key}", []) for key in value)
    else:
        yield name, []


def _is_made(kind: type) -> bool:
    """Return whether a plugin calls the class with parameters of its own."""
    is_abstract = inspect.isabstract(kind) or getattr(kind, "_is_protocol", False)
    return not is_abstract and kind.__init__ is not Exception.__init__


def _methods(name: str, kind: type) -> Iterator[tuple[str, list[str]]]:
    for own, member in vars(kind).items():
        if own.startswith("_"):
            continue
        if inspect.isfunction(member):
            mark = ["abstract"] if getattr(member, "__isabstractmethod__", False) else []
            yield f"{name}.{own}", mark + _parameters(member)
        elif isinstance(member, property):
            yield f"{name}.{own}", []


def _parameters(function: Any) -> list[str]:
    words = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        words.append(parameter.name + ("" if parameter.default is parameter.empty else "="))
    return words


def read(text: str) -> dict[str, list[str]]:
    """Return the interface that was written down."""
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {name.removesuffix(":"): words for name, *words in lines}


def written(found: dict[str, list[str]]) -> str:
    """Return an interface as it is written down, one line a name."""
    return "".join(" ".join([f"{name}:", *words]) + "\n" for name, words in found.items())


def harm(name: str, old: list[str] | None, new: list[str] | None) -> str:
    """Return what is wrong with a change for those who know the old shape; "" where nothing is.

    What a plugin calls may get parameters and fields with a default, last or by name alone. What
    a plugin writes is called by batchcore, and stays as it is. A hook may leave arguments out, so
    it may get more of them.
    """
    if new is None:
        return f"{name} is gone"
    if old is None:
        return f"{name} is new, and plugins lack it" if "abstract" in new else ""
    if name.startswith(WRITTEN):
        return "" if old == new else f"{name} is written by plugins: {old} became {new}"
    changed = f"{old} became {new}"
    names = [word.rstrip("=") for word in old]
    kept = [word for word in new if word.rstrip("=") in names]
    more = [word for word in new if word not in kept and word != "*"]
    places = old.index("*") if "*" in old else len(old)
    is_hook = name.startswith(HOOKS)
    if [word.rstrip("=") for word in kept] != names:
        found = f"{name} lost something"
    elif any(was.endswith("=") and was != now for was, now in zip(old, kept, strict=True)):
        found = f"{name} wants what could be left out"
    elif not is_hook and not all(word.endswith("=") for word in more):
        found = f"{name} wants more"
    elif not is_hook and kept[:places] != new[:places]:
        found = f"{name} got something in between"
    else:
        return ""
    return f"{found}: {changed}"


FILE = Path(__file__).with_name("public_interface.txt")
KEPT = read(FILE.read_text())
NOW = interface()


@pytest.mark.parametrize("name", sorted(KEPT.keys() | NOW.keys()))
def test_a_public_name_only_grows(name: str) -> None:
    assert harm(name, KEPT.get(name), NOW.get(name)) == ""


def test_the_file_has_all_that_is_public() -> None:
    assert read(written(NOW)) == KEPT, f"nothing is harmed: bring it into {FILE.name}"


GROWTH = {
    "a field with a default": (["a", "b="], ["a", "b=", "c="]),
    "a field by name": (["*", "a", "b="], ["*", "a", "c=", "b="]),
    "a default": (["a", "b"], ["a", "b="]),
    "by name alone": (["a"], ["a", "*", "b="]),
}
HARM = {
    "gone": (["a"], []),
    "another order": (["a", "b"], ["b", "a"]),
    "required now": (["a", "b="], ["a", "b"]),
    "one more required": (["a"], ["a", "b"]),
    "in between": (["a", "b="], ["a", "c=", "b="]),
    "by name now": (["a", "b"], ["a", "*", "b"]),
}


@pytest.mark.parametrize("kind", GROWTH)
def test_growth_is_allowed(kind: str) -> None:
    assert harm("batchcore.backend.Check", *GROWTH[kind]) == ""


@pytest.mark.parametrize("kind", HARM)
def test_harm_is_found(kind: str) -> None:
    assert harm("batchcore.backend.Check", *HARM[kind]) != ""


def test_what_plugins_write_does_not_even_grow() -> None:
    assert harm("batchcore.backend.Backend.settle", ["run"], ["run", "force="]) != ""
    assert harm("batchcore.backend.Backend.pause", None, ["abstract", "run"]) != ""


def test_a_hook_may_get_arguments_and_lose_none() -> None:
    assert harm("batchcore.hookspecs.batchcore_run_finished", ["run_id"], ["at", "run_id"]) == ""
    assert harm("batchcore.hookspecs.batchcore_run_finished", ["run_id"], ["at"]) != ""


@pytest.mark.parametrize("package", ["batchcore.local", "batchcore.transfer", "batchcore.testing"])
def test_a_public_name_is_imported_when_it_is_used(package: str) -> None:
    code = f"import sys, {package}; print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    loaded = set(printed.decode().split())
    assert not loaded & {"fsspec", "msgspec", "pytest", "subprocess"}


@pytest.mark.parametrize("package", ["batchcore.local", "batchcore.transfer"])
def test_a_name_that_is_not_public_is_an_attribute_error(package: str) -> None:
    module = importlib.import_module(package)
    assert dir(module) == module.__all__
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Nothing'"):
        module.Nothing  # noqa: B018 - what it raises is the point
