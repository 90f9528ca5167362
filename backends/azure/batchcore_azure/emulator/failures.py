"""Why a task could not run or could not keep what it made, as its `failureInfo` says it.

The codes and categories are those of "Error handling and detection in Azure Batch" and of the
.NET SDK's list of task failure codes; the texts are our own.
"""

from __future__ import annotations

from typing import Any

USER, SERVER = "UserError", "ServerError"


class TaskFailure(Exception):
    """A failure with a code of the service; `details` name what it is about."""

    def __init__(self, code: str, message: str, *, category: str = USER, **details: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.category = category
        self.details = details

    def wire(self) -> dict[str, Any]:
        """Return the `failureInfo` that says it."""
        return {
            "category": self.category,
            "code": self.code,
            "message": self.message,
            "details": [{"name": name, "value": value} for name, value in self.details.items()],
        }


def exit_failure() -> TaskFailure:
    """Return the failure of a task whose process ended with another code than 0."""
    return TaskFailure(
        "FailureExitCode",
        "The task exited with an exit code representing a failure",
        Message="The task process exited with an unexpected exit code",
        AdditionalErrorCode="FailureExitCode",
    )


def ended(message: str) -> TaskFailure:
    """Return the failure of a task that was stopped: by the user, by its time or by its job."""
    return TaskFailure("TaskEnded", message)
