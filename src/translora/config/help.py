"""The help of fields: each as a flag, with its docstring, the values that it takes, and its default."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from translora.config.section import fields_of, listed

_TYPES = {int: "a whole number", float: "a number", str: "text"}
_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def fields_help(kind: type) -> str:
    """All fields of a section and of the sections in it, in lines as wide as the terminal."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    _add_section(parser, kind(), (kind.__doc__ or "").split("\n")[0], "")
    return parser.format_help()


def _add_section(parser: argparse.ArgumentParser, section: Any, title: str, prefix: str) -> None:
    group = parser.add_argument_group(title.removesuffix("."))
    inner = []
    for name, info in fields_of(type(section)).items():
        default, docstring = getattr(section, name), _docstring(type(section), name)
        if is_dataclass(info.annotation):
            inner.append((default, docstring, f"{prefix}{name}."))
            continue
        chosen = _choices(info.annotation)
        wanted = [] if chosen else [", ".join([_words(info.annotation), *_limits(info.metadata)])]
        details = "; ".join([*wanted, *_default(default)])
        metavar = f"{{{','.join(chosen)}}}" if chosen else name.upper()
        group.add_argument(f"--{prefix}{name}", metavar=metavar, help=f"{docstring} ({details})".replace("%", "%%"))
    for one in inner:
        _add_section(parser, *one)


def _docstring(kind: type, name: str) -> str:
    """A field's docstring, also where the section has the field from another."""
    described = [fields_of(one)[name].description for one in kind.__mro__ if name in fields_of(one)]
    return " ".join(next(filter(None, described), "").split())


def _choices(kind: Any) -> tuple[str, ...]:
    """The words that a field takes, where it takes nothing else."""
    if kind is bool:
        return ("true", "false")
    return get_args(kind) if get_origin(kind) is Literal else ()


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return ", ".join([_words(inner[0]), *_limits(inner[1:])])
    if origin is Literal:
        return listed(list(inner))
    if origin in (Union, UnionType):
        return ", or ".join(map(_words, inner))
    if origin is tuple:
        return f"a list such as [a, b], each {_words(inner[0])}"
    return _TYPES.get(kind, "a section")


def _limits(metadata: Iterable[Any]) -> Iterator[str]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _limits(one.metadata)
        else:
            yield from (f"{words} {getattr(one, name)}" for name, words in _LIMITS.items() if hasattr(one, name))


def _default(value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield f"default: {str(value).lower()}"
    elif isinstance(value, tuple) and value:
        yield f"default: [{', '.join(map(str, value))}]"
    elif isinstance(value, float):
        yield f"default: {value:g}"
    elif isinstance(value, int) or (isinstance(value, str) and value):
        yield f"default: {value}"
