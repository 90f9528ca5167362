"""The tests that the page about testing shows are tests that pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/testing.md"


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    block = re.compile(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    shown = block.findall(PAGE.read_text())
    assert {name for name, _ in shown} == {
        "conftest.py",
        "pipeline.py",
        "test_pipeline.py",
        "test_plugin.py",
    }
    for name, text in shown:
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
