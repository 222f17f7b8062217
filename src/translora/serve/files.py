"""Translated documents that wait to be downloaded, in memory."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

SECONDS = 1800.0
"""How long a document is kept."""
MOST_BYTES = 128 << 20
"""How many bytes of documents are kept; the oldest make way."""


class Files:
    """Documents by names that cannot be guessed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._files: dict[str, tuple[float, bytes]] = {}

    def keep(self, data: bytes, ending: str) -> str:
        """Keep a document; returns the name that it has now."""
        safe = ending if ending.isascii() and ending[1:].isalnum() else ""
        name = secrets.token_urlsafe(24) + safe
        self._files[name] = self._clock(), data
        self._drop()
        return name

    def get(self, name: str) -> bytes | None:
        """The document of that name, or None where it is no longer, or never was, there."""
        self._drop()
        found = self._files.get(name)
        return found[1] if found else None

    def _drop(self) -> None:
        """Forget what is too old, and the oldest of what is too much; the newest stays."""
        now = self._clock()
        left = sum(len(data) for _, data in self._files.values())
        for name, (since, data) in list(self._files.items()):
            if now - since > SECONDS or (left > MOST_BYTES and len(self._files) > 1):
                del self._files[name]
                left -= len(data)
