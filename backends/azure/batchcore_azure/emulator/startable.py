"""What is started and stopped, by calls or as a context manager."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Startable(ABC):
    """Runs from `start` to `stop`, or while a `with` block does."""

    @abstractmethod
    def start(self) -> None:
        """Begin; what had begun when this fails has been ended."""

    @abstractmethod
    def stop(self) -> None:
        """End; may be called again, and without a start."""

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()
