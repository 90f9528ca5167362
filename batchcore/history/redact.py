"""No credential in a history, whatever a task wrote or a backend said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from batchcore.credentials import MASK, is_secret_value
from batchcore.explain import Advice, Group, LogTail
from batchcore.plan import PlannedTask

_SHORTEST = 4  # a shorter value would be found in half of all words


class Redactor:
    """Takes out the values that this process has for the tasks' secrets, and what looks like one.

    A line that looks as if it carried a credential is masked as a whole.
    """

    def __init__(self, environ: Mapping[str, str], tasks: Iterable[PlannedTask]) -> None:
        """Look the secrets up."""
        names = {name for task in tasks for name in task.secrets}
        values = {environ.get(name, "") for name in names}
        values |= {line for value in values for line in value.splitlines()}
        self._values = sorted((v for v in values if len(v) >= _SHORTEST), key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return a text without credentials."""
        for value in self._values:
            text = text.replace(value, MASK)
        if not is_secret_value(text):
            return text
        return "\n".join(MASK if is_secret_value(line) else line for line in text.split("\n"))

    def log(self, log: LogTail) -> LogTail:
        """Return the end of a log without credentials."""
        return replace(log, lines=tuple(map(self.text, log.lines)))

    def group(self, group: Group) -> Group:
        """Return a group without credentials."""
        return replace(
            group,
            facts=tuple(map(self.text, group.facts)),
            attempts=tuple(replace(a, detail=self.text(a.detail)) for a in group.attempts),
            log=None if group.log is None else self.log(group.log),
            advice=tuple(Advice(one.what, self.text(one.command)) for one in group.advice),
        )
