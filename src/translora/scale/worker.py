"""What a worker on another machine does, once it has the same version of translora."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
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
    """The function of the work, or a text: the reason why this machine cannot do it.

    `libraries` are the `versions` of the machine that gives the work; `make`, pickled, makes the function, or says why
    it cannot.
    """
    for name, found in versions().items():
        if found != libraries[name]:
            return f"has {name} {found}, not {libraries[name]}: install the same on every machine"
    with console.quiet():
        return pickle.loads(make)()


def do(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function gives."""
    with console.quiet():
        return function(*arguments)


def shard_worker(make: Callable[[], Function]) -> Callable[..., bytes]:
    """The function of work in shards: it is given the fields of a `Shard`, and gives the file of its result."""
    function = make()
    return lambda *shard: result_of(function, Shard(*shard))


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
