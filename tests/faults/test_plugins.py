"""A backend that raises or returns junk: the run can be continued once it is mended."""

from __future__ import annotations

import pexpect
import pytest

from batchcore.testing.plugins import install_plugin

__all__ = ["install_plugin"]

PLUGIN = """
    from batchcore.backend import NATIVE, BackendSpec
    from batchcore.hookspecs import hookimpl

    @hookimpl
    def batchcore_register_backend():
        return BackendSpec(
            name="odd",
            summary="for tests",
            factory="odd_backend:create",
            settings="batchcore.local.settings:LocalProcessSettings",
            capabilities={},
        )
"""

BACKEND = """
    import time
    from pathlib import Path
    from batchcore.errors import BackendError
    from batchcore.local.factory import create as create_good

    def hang():
        Path({mended!r}).with_name("hangs").touch()
        while True:
            time.sleep(1)

    def fail():
        raise BackendError("the queue is on fire", hint="call the fire brigade")

    def create(settings):
        backend = create_good(settings)
        if not Path({mended!r}).exists():
            backend.{method} = lambda *args, **fields: {fault}
        return backend
"""

METHODS = ("check", "store", "submit", "poll", "outputs", "release", "close")


@pytest.fixture
def odd(processes, install_plugin):
    """Install a backend of which one method is broken until the bench's gate is open."""

    def make(method, fault):
        mended = str(processes.gate)
        source = BACKEND.format(mended=mended, method=method, fault=fault)
        install_plugin("odd", PLUGIN, files={"odd_backend.py": source})
        processes.backend = "odd"
        count = processes.shared / "count"
        processes.job(f"echo x >> {count}; echo result > out.txt", outputs=["out.txt"])
        return processes

    return make


def assert_whole(bench):
    """The same command gives the result, and the task was run once."""
    bench.gate.touch()
    done = bench.run()
    assert done.code == 0, done.err
    assert (bench.directory / "outputs/t/out.txt").read_text() == "result\n"
    assert (bench.shared / "count").read_text() == "x\n"


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_raises_ends_the_command_and_not_the_run(odd, method):
    bench = odd(method, "1 / 0")
    broken = bench.run()
    assert broken.code == 1
    assert "the backend 'odd' of " in broken.err
    called = {"release": "settle"}.get(method, method)
    assert f"failed in {called}: ZeroDivisionError" in broken.err
    assert "Traceback" not in broken.err
    assert_whole(bench)


@pytest.mark.parametrize("method", ["check", "store", "poll", "outputs"])
def test_what_makes_no_sense_ends_the_command_and_not_the_run(odd, method):
    bench = odd(method, "42")
    broken = bench.run()
    assert broken.code == 1
    assert "the backend 'odd' of " in broken.err
    assert "returned int and not " in broken.err
    assert "Traceback" not in broken.err
    assert_whole(bench)


def test_an_error_in_the_words_of_this_project_is_told_as_it_is(odd):
    bench = odd("poll", "fail()")
    broken = bench.run()
    assert broken.code == 7
    assert "the queue is on fire" in broken.err
    assert "call the fire brigade" in broken.err
    assert_whole(bench)


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_method_that_hangs_is_left_by_pressing_ctrl_c_again(
    odd, method, install_plugin, terminal, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(install_plugin.site))
    bench = odd(method, "hang()")
    child = terminal(bench)
    bench.wait_for(bench.shared / "hangs")
    child.sendintr()
    if child.expect([pexpect.EOF, "press Ctrl-C again"]):
        child.sendintr()
        child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert_whole(bench)
