"""API keys: who may use the server, and how much of it each key may use in a minute."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from translora.errors import ConfigError
from translora.serve.refusals import RefusalError

_LINE = re.compile(r"(?:.*\s)?(?P<hash>[0-9a-fA-F]{64})(?P<rates>(?:\s+\w+=\S*)*)")
_RATES = ("requests", "characters")
_MINUTE = 60.0


@dataclass(frozen=True)
class Key:
    """A key, of which the hash alone is known, and its rates."""

    hash: str
    """SHA-256 in hexadecimal digits."""
    requests: int = 0
    """How many requests may translate per minute; 0 is no limit."""
    characters: int = 0
    """How many characters may be translated per minute; 0 is no limit."""


class Allowance:
    """An amount per minute. It comes back evenly, and no more than one minute's amount is saved up."""

    def __init__(self, per_minute: int, unit: str, clock: Callable[[], float]) -> None:
        """`unit` names what is counted, in the message of an error."""
        self._most, self._unit, self._clock = per_minute, unit, clock
        self._left, self._since = float(per_minute), clock()
        self._turn = asyncio.Lock()

    async def take(self, amount: int, patience: float) -> None:
        """Take `amount`, after those who asked before; more than a minute's amount is taken once all is there.

        Raises `RefusalError` (429) where it is not there within `patience` seconds.
        """
        if not self._turn.locked() and not self._seconds(amount):
            self._left -= amount
            return
        try:
            await asyncio.wait_for(self._wait(amount), patience)
        except (TimeoutError, asyncio.TimeoutError) as error:  # two classes before Python 3.11
            message = f"the limit of this API key is {self._most} {self._unit} per minute: try again later"
            raise RefusalError(429, message, max(1, math.ceil(self._seconds(amount)))) from error

    async def _wait(self, amount: int) -> None:
        async with self._turn:
            while seconds := self._seconds(amount):
                await asyncio.sleep(seconds)
            self._left -= amount

    def _seconds(self, amount: int) -> float:
        """How long it takes until `amount` can be taken."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._since) * self._most / _MINUTE)
        self._since = now
        missing = min(amount, self._most) - self._left
        return missing * _MINUTE / self._most if missing > 1e-6 else 0.0


class Caller:
    """Whoever has a key."""

    def __init__(self, key: Key, clock: Callable[[], float]) -> None:
        self.digest = bytes.fromhex(key.hash)
        self._requests = Allowance(key.requests, "requests", clock) if key.requests else None
        self._characters = Allowance(key.characters, "characters", clock) if key.characters else None

    async def spend(self, requests: int, characters: int, patience: float) -> None:
        """Take so much of the key's rates; raises `RefusalError` where it is not there within `patience` seconds."""
        until = time.monotonic() + patience
        if self._requests and requests:
            await self._requests.take(requests, patience)
        if self._characters and characters:
            await self._characters.take(characters, max(0.0, until - time.monotonic()))


class ApiKeys:
    """Who may use the server."""

    def __init__(self, keys: Sequence[Key] = (), clock: Callable[[], float] = time.monotonic) -> None:
        """Without any key everyone may use the server."""
        self._callers = [Caller(key, clock) for key in keys]

    @classmethod
    def read(cls, file: Path) -> ApiKeys:
        """The keys of a file: one SHA-256 per line, after a name or not, and before rates or not; `#` begins a comment.

        Raises `ConfigError` for another file.
        """
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: the API keys cannot be read ({error})") from error
        keys: dict[str, Key] = {}
        for number, line in enumerate(lines, 1):
            if text := line.partition("#")[0].strip():
                key = _key(text, f"{file}:{number}")
                if key.hash in keys:
                    raise ConfigError(f"{file}:{number}: this API key is in it twice: delete one of the lines")
                keys[key.hash] = key
        if not keys:
            raise ConfigError(f"{file}: no API keys in it: nobody could use the server")
        return cls(list(keys.values()))

    @property
    def required(self) -> bool:
        """Whether a key is needed."""
        return bool(self._callers)

    def find(self, key: str) -> Caller | None:
        """Whose `key` it is; takes as long whichever it is."""
        given = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        found = None
        for one in self._callers:
            if hmac.compare_digest(one.digest, given):
                found = one
        return found

    def check(self, key: str | None, missing: int = 401, wrong: int = 403) -> Caller | None:
        """Whose `key` it is; None where no key is needed.

        Raises `RefusalError` with the status `missing` or `wrong` where one is needed, and it is not one.
        """
        if not self.required:
            return None
        if not key:
            raise RefusalError(missing, "Please contact the server operator to get an API key")
        caller = self.find(key)
        if caller is None:
            raise RefusalError(wrong, "Invalid API key")
        return caller


def _key(text: str, place: str) -> Key:
    """The key of a line; raises `ConfigError` for a line that has none, or rates that are none."""
    found = _LINE.fullmatch(text)
    if not found:
        raise ConfigError(
            f"{place}: no SHA-256 of a key: write the output of `printf %s KEY | sha256sum`, without the dash"
        )
    rates: dict[str, int] = {}
    for rate in found["rates"].split():
        name, _, value = rate.partition("=")
        if name not in _RATES or name in rates or not re.fullmatch(r"[1-9][0-9]{0,14}", value):
            raise ConfigError(f"{place}: {rate} is no rate: write requests=N or characters=N, each once, per minute")
        rates[name] = int(value)
    return Key(found["hash"].lower(), **rates)
