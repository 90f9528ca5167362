"""Ctrl-C and TERM leave a run in a state that the same command continues."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from batchcore.driver import Driver


@contextmanager
def detaching(driver: Driver) -> Iterator[None]:
    """Let the first Ctrl-C or TERM detach, and the second end the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    exits = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        driver.detach(exits[signal.Signals(number)])

    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.signal(number, handle) for number in exits
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
