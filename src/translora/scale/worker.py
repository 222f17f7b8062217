"""What a worker on another machine does with a shard, once it has the same version of translora."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from translora.io import console
from translora.scale.shards import Function, Shard, result_of

_LIBRARIES = ("torch", "transformers", "pyarrow")
"""Libraries that must have the same version everywhere."""


def versions() -> dict[str, str]:
    """The versions of the libraries that results follow from."""
    return {name: _version_of(name) for name in _LIBRARIES}


def begin(libraries: Mapping[str, str], make: bytes) -> Any:
    """The `Function` of the work, or a text: the reason why this machine cannot do it.

    `libraries` are the `versions` of the machine that gives the work.
    """
    for name, found in versions().items():
        if found != libraries[name]:
            return f"has {name} {found}, not {libraries[name]}: install the same on every machine"
    with console.quiet():
        function: Function = pickle.loads(make)()
        return function


def do(function: Function, number: int, key: str, rows: bytes) -> bytes:
    """The result of a shard."""
    with console.quiet():
        return result_of(function, Shard(number, key, rows))


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
