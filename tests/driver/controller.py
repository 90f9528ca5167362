"""A command that stops at every point that others could see, and goes on when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable


class DiedError(BaseException):
    """Ends a controller that is killed: no handler of the product catches it."""


class Controller:
    """One command in a thread of its own; of it and who drives it only one moves at a time."""

    def __init__(self, command: Callable[[], object]) -> None:
        """Get ready; nothing of the command has been done yet."""
        self._command = command
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._is_dead = False
        self.has_ended = False
        self.answer: object = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        self._go.acquire()
        try:
            if not self._is_dead:
                self.answer = self._command()
        except DiedError:
            pass
        except BaseException as exc:  # noqa: BLE001 - whoever drives it looks at it
            self.error = exc
        self.has_ended = True
        self._paused.release()

    def pause(self) -> None:
        """Wait to be told to go on; does nothing in other threads than the command's own."""
        if threading.get_ident() != self._thread.ident:
            return
        if not self._is_dead:
            self._paused.release()
            self._go.acquire()
        if self._is_dead:
            raise DiedError

    def go_on(self, points: int) -> None:
        """Let it pass so many points, or end before; raises its error where that is a bug."""
        for _ in range(points):
            if self.has_ended:
                break
            self._go.release()
            self._paused.acquire()
        if isinstance(self.error, AssertionError):
            raise self.error

    def kill(self) -> None:
        """End it where it is."""
        self._is_dead = True
        self._go.release()
        self._thread.join()
