"""The errors that a client gets. Each protocol puts the message into its own form."""

from __future__ import annotations

GONE = 499
"""The status, in the log, of a request whose client went away."""


class RefusalError(Exception):
    """A request that is not answered as it wished."""

    def __init__(self, status: int, message: str, retry_after: int = 0) -> None:
        """`status` is the HTTP status; `retry_after` is in seconds, 0 to say nothing."""
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after
