"""Ctrl-C, TERM and a closed terminal leave a run in a state from which it goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_STDERR = 2
_AGAIN = "press Ctrl-C again to leave at once."
LEAVING = f"Leaving after the current step; {_AGAIN}"
CANCELING = f"Canceling the tasks of the run; {_AGAIN}"


@contextmanager
def at_signals(act: Callable[[int], None], text: str = LEAVING) -> Iterator[None]:
    """Call `act` at the first Ctrl-C or TERM, with the exit code for it; leave at the second.

    A person at a terminal is told the text. Leaving at once is `KeyboardInterrupt`. A closed
    terminal counts too, and is often told twice, by the shell and by the system; where it is
    ignored, as after ``nohup``, it still is.
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
        if number == signal.SIGINT and os.isatty(_STDERR):
            # A print could be what the signal has interrupted.
            os.write(_STDERR, f"\n{text}\n".encode())
        act(exits[signal.Signals(number)])

    before: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.signal(number, handle) for number in exits
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
