"""What ranks tell each other outside of training: who is there, how far each has come, and why one has left.

It goes through the key-value store that torchrun keeps (or rank 0, under another launcher). A rank that fails leaves a
note, so that the others end without a word of their own; one that dies or hangs leaves none, and is named by them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import torch

from translora import __version__
from translora.errors import ConfigError, OtherRankError, RankError, TransloraError
from translora.io.launcher import Place

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

_ARRIVAL_SECONDS = 300.0
_DEATH_SECONDS = 1.0
"""How long the others may take to notice that a connection broke."""
_HANG_SECONDS = 5.0
"""The same where a time ran out: each began to wait at another moment."""
_TELLING_SECONDS = 3.0
"""How long a rank waits for rank 0 to fail with the same message."""
_POLL_SECONDS = 0.05
_AGAIN = "the same command goes on from the last checkpoint"


def waiting_seconds() -> float:
    """How long a rank waits for the others: `$TRANSLORA_TIMEOUT`, else half an hour; raises `ConfigError`."""
    text = os.environ.get("TRANSLORA_TIMEOUT", "1800")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise ConfigError(f"TRANSLORA_TIMEOUT {text!r}: give the seconds that a rank may wait for the others")
    return seconds


def open_store(place: Place, seconds: float) -> Store:
    """The store at `MASTER_ADDR` and `MASTER_PORT`, which outlives a restart under torchrun.

    Raises `RankError` where the port is in use or nobody answers there.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # not in every build of torch

    host, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    kept_by_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    master = place.rank == 0 and not kept_by_torchrun
    limit = timedelta(seconds=min(seconds, _ARRIVAL_SECONDS))
    try:
        return TCPStore(host, int(port), is_master=master, timeout=limit, wait_for_workers=False)
    except (RuntimeError, ValueError) as error:
        if "EADDRINUSE" in str(error):
            raise RankError(f"port {port} of {host} is in use: give another one with --master-port") from error
        raise RankError(f"{place.name} cannot reach rank 0 at {host}:{port}: check the address and the port") from error


class RollCall:
    """The store as one start of the ranks uses it."""

    def __init__(self, store: Store, place: Place, seconds: float, number: int = 0) -> None:
        """`seconds` is how long a rank waits for the others; `number` counts the roll calls of one start, from 0."""
        from torch.distributed import PrefixStore  # type: ignore[attr-defined]

        self._whole, self._place, self._seconds = PrefixStore("translora", store), place, seconds
        self.store: Store = PrefixStore(f"start {place.restart}.{number}", self._whole)
        """What this roll call keeps: keys of an earlier one would answer for ranks that are dead."""
        self._names = [f"rank {rank}" for rank in range(place.size)]

    def arrive(self, backend: str) -> None:
        """Wait until all ranks are there; `backend` is what they will exchange tensors with.

        Raises `RankError` naming a rank that does not come, and `ConfigError` where they differ.
        """
        own = {"translora": __version__, "torch": torch.__version__, "backend": backend, "name": self._place.name}
        self.store.set(f"here/{self._place.rank}", json.dumps(own))
        limit = min(self._seconds, _ARRIVAL_SECONDS)
        deadline = time.monotonic() + limit
        found: list[Mapping[str, str]] = []
        for rank in range(self._place.size):
            left = timedelta(seconds=max(0.1, deadline - time.monotonic()))
            try:
                self.store.wait([f"here/{rank}"], left)
                found.append(json.loads(self.store.get(f"here/{rank}")))
            except RuntimeError as error:
                raise RankError(
                    f"rank {rank} of {self._place.size} did not come within {limit:g} s: look at its output, and "
                    f"start all ranks"
                ) from error
        self._names = [one["name"] for one in found]
        self.require_same([{key: value for key, value in one.items() if key != "name"} for one in found])

    def require_same(self, found: list[Mapping[str, str]]) -> None:
        """Raise an error that names the first difference between the facts of rank 0 and those of another."""
        for rank, one in enumerate(found):
            for name, value in found[0].items():
                if one.get(name) != value:
                    if self._place.rank:
                        raise OtherRankError(ConfigError.exit_code)
                    raise ConfigError(
                        f"the ranks differ in {name}: {value} on {self._names[0]}, {one.get(name)} on "
                        f"{self._names[rank]}: start all with the same version, recipe and data"
                    )

    def beat(self, doing: str) -> None:
        """Record the work that this rank begins."""
        with suppress(RuntimeError):  # the next exchange will say it
            self.store.set(f"doing/{self._place.rank}", doing)

    def remember(self, fact: str) -> None:
        """Keep `fact` beyond a restart."""
        self._whole.set(fact, "yes")

    def remembers(self, fact: str) -> bool:
        """Whether this is a restart, and a start before it remembered `fact`."""
        return self._place.restart > 0 and bool(self._whole.check([fact]))

    def leave(self, error: BaseException) -> BaseException:
        """Record why this rank ends; returns what it should raise: `OtherRankError` where rank 0 says the same."""
        if isinstance(error, OtherRankError):
            note, code = "", error.exit_code
        else:
            note, code = str(error) or type(error).__name__, getattr(error, "exit_code", 1)
        with suppress(RuntimeError):
            self.store.set(f"left/{self._place.rank}", json.dumps([note, code]))
            if self._place.rank and note and isinstance(error, (TransloraError, KeyboardInterrupt)):
                self.store.wait(["left/0"], timedelta(seconds=_TELLING_SECONDS))
                told, code = json.loads(self.store.get("left/0"))
                if told == note:
                    return OtherRankError(code)
        return error

    def why(self, error: RuntimeError) -> TransloraError:
        """The error to raise where an exchange failed with `error`: who is to blame is found out from the others."""
        late = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        try:
            self.store.set(f"down/{self._place.rank}", "")
            code, missing = self._absent(_HANG_SECONDS if late else _DEATH_SECONDS)
            if code:
                return OtherRankError(code)
            words = [self._words(rank, late) for rank in missing]
        except RuntimeError:
            return RankError(f"{self._place.name} lost rank 0, which keeps the run: {_AGAIN}")
        if self._place.rank != min(set(range(self._place.size)) - set(missing)):
            return OtherRankError(RankError.exit_code)
        if not words:
            reason = (str(error).splitlines() or [""])[0][:200]
            return RankError(f"the connection between the ranks broke ({reason}): {_AGAIN}")
        return RankError(f"{', '.join(words)}: {_AGAIN}")

    def _absent(self, patience: float) -> tuple[int, list[int]]:
        """The exit code of a rank that left a note, and the ranks of which nothing is heard within `patience`."""
        others = [rank for rank in range(self._place.size) if rank != self._place.rank]
        deadline = time.monotonic() + patience
        while True:
            for rank in others:
                if self.store.check([f"left/{rank}"]):
                    return int(json.loads(self.store.get(f"left/{rank}"))[1]), []
            missing = [rank for rank in others if not self.store.check([f"down/{rank}"])]
            if not missing or time.monotonic() > deadline:
                return 0, missing
            time.sleep(_POLL_SECONDS)

    def _words(self, rank: int, late: bool) -> str:
        """What is known of a rank that is missing."""
        key = f"doing/{rank}"
        doing = f", last heard of in {self.store.get(key).decode()}" if self.store.check([key]) else ""
        return f"{self._names[rank]} {f'did not answer for {self._seconds:g} s' if late else 'is gone'}{doing}"
