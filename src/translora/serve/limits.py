"""How much a client may ask for, and who may ask: sizes, and API keys."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from translora.errors import ConfigError
from translora.serve.refusals import RefusalError

_HASH = re.compile(r"(?:.*\s)?([0-9a-fA-F]{64})")


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


class ApiKeys:
    """Who may use the server; it knows the hashes of the keys alone."""

    def __init__(self, hashes: Sequence[str] = ()) -> None:
        """`hashes` are SHA-256 in hexadecimal digits; without any, everyone may use the server."""
        self._hashes = [bytes.fromhex(one) for one in hashes]

    @classmethod
    def read(cls, file: Path) -> ApiKeys:
        """The keys of a file: one SHA-256 per line, after a name or not; `#` begins a comment.

        Raises `ConfigError` for another file.
        """
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: the API keys cannot be read ({error})") from error
        hashes = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            found = _HASH.fullmatch(text)
            if not found:
                raise ConfigError(
                    f"{file}:{number}: no SHA-256 of a key: write the output of `printf %s KEY | sha256sum`, "
                    f"without the dash"
                )
            hashes.append(found[1])
        if not hashes:
            raise ConfigError(f"{file}: no API keys in it: nobody could use the server")
        return cls(hashes)

    @property
    def required(self) -> bool:
        """Whether a key is needed."""
        return bool(self._hashes)

    def knows(self, key: str) -> bool:
        """Whether `key` is one of them; takes as long whichever it is."""
        given = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        known = False
        for one in self._hashes:
            known |= hmac.compare_digest(one, given)
        return known

    def check(self, key: str | None, missing: int = 401, wrong: int = 403) -> None:
        """Raise `RefusalError` with the status `missing` or `wrong` where a key is needed and it is not one."""
        if not self.required:
            return
        if not key:
            raise RefusalError(missing, "Please contact the server operator to get an API key")
        if not self.knows(key):
            raise RefusalError(wrong, "Invalid API key")
