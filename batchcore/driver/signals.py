"""Ctrl-C, TERM and a closed terminal leave a run in a state from which it goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from batchcore.driver.driver import Driver

_STDERR = 2
_LEAVING = b"\nLeaving after the current step; press Ctrl-C again to leave at once.\n"


@contextmanager
def detaching(driver: Driver) -> Iterator[None]:
    """Let the first Ctrl-C or TERM detach, and the second end the process at once.

    A closed terminal detaches too, and is often told twice, by the shell and by the system; where
    it is ignored, as after ``nohup``, it still is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    exits = {signal.SIGINT: 130, signal.SIGTERM: 143}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        exits[signal.SIGHUP] = 143
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGHUP:
            return
        if asked:
            raise KeyboardInterrupt
        asked = True
        driver.detach(exits[signal.Signals(number)])
        if number == signal.SIGINT and os.isatty(_STDERR):
            os.write(_STDERR, _LEAVING)  # a print could be what the signal has interrupted

    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.signal(number, handle) for number in exits
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
