"""How much a client may ask for at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from translora.serve.refusals import RefusalError


@dataclass(frozen=True)
class Limits:
    """The most that a request may ask for."""

    characters: int = 20_000
    """Characters of all texts of a request together."""
    texts: int = 1_000
    body_bytes: int = 2_000_000
    beams: int = 10
    queue_lines: int = 4_096
    """Lines of all clients that wait for the worker."""
    patience: float = 15.0
    """The seconds that a request waits for a place in the queue before it gets 429."""
    seconds: float = 300.0
    """The seconds after which a request gets 503."""

    def check_texts(self, texts: Sequence[str]) -> None:
        """Raise `RefusalError` for too many texts or characters, and for what is no Unicode text."""
        if len(texts) > self.texts:
            raise RefusalError(400, f"Invalid request: {len(texts)} texts exceed the limit of {self.texts}")
        characters = sum(map(len, texts))
        if characters > self.characters:
            raise RefusalError(400, f"Invalid request: {characters} characters exceed the limit of {self.characters}")
        for number, text in enumerate(texts, 1):
            if not is_unicode(text):
                raise RefusalError(400, f"Invalid request: text {number} holds half a surrogate pair")

    def check_beams(self, beams: int) -> None:
        """Raise `RefusalError` for a number of beams that no search can have."""
        if not 0 <= beams <= self.beams:
            raise RefusalError(400, f"Invalid request: beams must be from 1 to {self.beams}")


def is_unicode(text: str) -> bool:
    """Whether `text` can be written in UTF-8: JSON can spell half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
