"""What the pages about Azure say is what the backend and its emulator do."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args, get_type_hints

import pytest

import batchcore_azure
from batchcore_azure.emulator.azurite import VARIABLE, Storage, find
from batchcore_azure.emulator.faults import Fault
from batchcore_azure.settings import AzureSettings

if TYPE_CHECKING:
    import docker

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = Path(batchcore_azure.__file__).parent
AZURE = (ROOT / "docs/azure.md").read_text()
TESTING = (ROOT / "docs/testing-azure.md").read_text()
IMAGE = ("squares", "v1")


def table(page: str, first: str) -> dict[str, str]:
    """Return the table whose heading's first cell is this: its first cells, and the others."""
    _, _, after = page.partition(f"\n| {first} |")
    rows, _, _ = after.partition("\n\n")
    cells = [row.strip("| ").split(" | ", 1) for row in rows.splitlines()[2:]]
    return {cell: rest[0] if rest else "" for cell, *rest in cells}


def quoted(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def said() -> Iterator[str]:
    """Yield every text in the backend's sources."""
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_variable_is_described() -> None:
    rows = table(AZURE, "variable")
    options = {quoted(name)[0]: quoted(rest) for name, rest in rows.items() if "option " in rest}
    credentials = {quoted(name)[0] for name, rest in rows.items() if "credential:" in rest}
    assert options == {name: [key] for name, key in AzureSettings.aliases.items()}
    assert credentials == {name.upper() for name in AzureSettings.credentials}


def test_every_option_that_a_command_sets_is_one() -> None:
    hints = AzureSettings.__struct_fields__
    assert set(re.findall(r"--set (\w+)=", AZURE)) <= set(hints)


def test_every_message_in_the_table_of_troubles_is_one_that_is_said() -> None:
    texts = "\n".join(said())
    pieces = [
        piece.strip(" ;,:")
        for cell in table(AZURE, "what is said")
        for message in quoted(cell)
        for piece in message.split("…")
    ]
    assert [piece for piece in pieces if piece not in texts and piece != "unusable"] == []
    assert len(pieces) > 20


def test_every_flag_of_the_emulator_is_described() -> None:
    program = [sys.executable, "-m", "batchcore_azure.emulator", "--help"]
    shown = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    flags = set(re.findall(r"^  (--[\w-]+)", shown, re.MULTILINE))
    assert {quoted(cell)[0] for cell in table(TESTING, "flag")} == flags


def test_every_kind_of_fault_is_described() -> None:
    kinds = get_args(get_type_hints(Fault)["kind"])
    assert [quoted(cell)[0] for cell in table(TESTING, "`kind`")] == list(kinds)


@pytest.mark.docker
def test_the_tests_of_the_page_about_testing_pass(
    docker_client: docker.DockerClient,
    worker_base_image: str,
    azurite_storage: Storage,
    tmp_path: Path,
) -> None:
    for name, text in re.findall(r"(?ms)^`([\w.]+)`:\n\n```\w+\n(.*?)^```", TESTING):
        (tmp_path / name).write_text(text)
    docker_client.images.get(worker_base_image).tag(*IMAGE)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "test_pipeline.py"],
            cwd=tmp_path,
            env={**os.environ, VARIABLE: shlex.join(find())},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    finally:
        docker_client.images.remove(":".join(IMAGE), noprune=True)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
