"""The place of this process among those that torchrun started. Loads no torch."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from translora.errors import ConfigError

_NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""torchrun sets them all; other launchers of `torch.distributed` do too."""

SIDE_BY_SIDE = "TRANSLORA_SIDE_BY_SIDE"
"""Set for the runs of a comparison that share a CPU: how many they are."""


@dataclass(frozen=True)
class Place:
    """The rank of a process, and how many there are."""

    rank: int = 0
    """From 0, unique among all machines."""
    size: int = 1
    """The number of ranks on all machines."""
    local_rank: int = 0
    """The rank among those on this machine: the number of its GPU."""
    local_size: int = 1
    """The number of ranks on this machine."""
    restart: int = 0
    """How often torchrun has started the ranks anew."""

    @property
    def name(self) -> str:
        """The rank and its machine, for messages."""
        return f"rank {self.rank} ({socket.gethostname()})"


def place() -> Place:
    """The place that the environment states; one process alone has rank 0 of 1.

    Raises `ConfigError` where the environment holds something else than numbers.
    """
    if not all(os.environ.get(name) for name in _NEEDED) or _number("WORLD_SIZE", 1) == 1:
        return Place()
    rank, size = _number("RANK", 0), _number("WORLD_SIZE", 1)
    if not 0 <= rank < size:
        raise ConfigError(f"RANK {rank} and WORLD_SIZE {size} in the environment: start the ranks with torchrun")
    local = _number("LOCAL_RANK", rank), _number("LOCAL_WORLD_SIZE", size)
    return Place(rank, size, *local, _number("TORCHELASTIC_RESTART_COUNT", 0))


def side_by_side() -> int:
    """How many runs of a comparison have parts of this machine's CPU and memory, this one among them."""
    return max(1, _number(SIDE_BY_SIDE, 1))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    try:
        return int(text) if text else default
    except ValueError as error:
        cure = "unset it" if name == SIDE_BY_SIDE else "start the ranks with torchrun"
        raise ConfigError(f"{name} {text!r} in the environment is no number: {cure}") from error
