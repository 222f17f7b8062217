"""A section of a recipe: a frozen dataclass that checks its values; and the words for a value that is wrong.

Knows pydantic, and no field of any section.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, is_dataclass
from functools import wraps
from itertools import groupby
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from typing_extensions import dataclass_transform

from translora.errors import ConfigError

Count = Annotated[int, Field(strict=True, ge=0)]
"""A whole number from 0; often 0 stands for: no limit."""
Positive = Annotated[int, Field(strict=True, ge=1)]
"""A whole number from 1."""
AtLeastTwo = Annotated[int, Field(strict=True, ge=2)]
"""A whole number from 2."""
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
"""A whole number that every generator of random numbers takes."""
Number = Annotated[float, Field(strict=True)]
"""Any finite number."""
Amount = Annotated[float, Field(strict=True, ge=0)]
"""A number from 0."""
Rate = Annotated[float, Field(strict=True, gt=0)]
"""A number above 0."""
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
"""A number from 0 to below 1."""
Multiple = Annotated[float, Field(strict=True, ge=1)]
"""A number from 1."""
Switch = Annotated[bool, Field(strict=True)]
"""True or false."""
Text = Annotated[str, Field(strict=True)]
"""A string."""


def _as_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


Place = Annotated[str, BeforeValidator(_as_text), Field(strict=True)]
"""The name of a file, a folder or something on the hub: a string, or a `pathlib.Path`, which becomes one."""
Required = Annotated[Place, Field(min_length=1)]
"""A `Place` that must not be empty."""

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """A value that is wrong, or a field that does not exist."""

    name: str
    """The dotted name of the field; empty where fields contradict each other."""
    message: str
    """The fault and its remedy, without the name of the field."""
    unknown: bool = False
    """Whether there is no such field; `message` is then the remedy."""

    def __str__(self) -> str:
        """One line, with the name."""
        if self.unknown:
            return f"unknown field {self.name}: {self.message}"
        return f"{self.name}: {self.message}" if self.name else self.message


class InvalidFieldsError(ConfigError):
    """Values that are wrong."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        """`message` is the message of the first of `faults`."""
        super().__init__(message)
        self.faults = faults


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def section(name: str = "") -> Callable[[type[T]], type[T]]:
    """Make a class a frozen dataclass that checks its values, in `dataclasses.replace` too.

    Raises `ConfigError` for a fault; its message begins with `name`, the dotted name of the section.
    """

    def decorate(cls: type[T]) -> type[T]:
        strict = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
        made = cast(Any, checked_dataclass(frozen=True, config=strict)(cls))
        check = made.__init__

        @wraps(check)
        def init(self: object, *values: object, **fields: object) -> None:
            try:
                check(self, *values, **fields)
            except ValidationError as error:
                raise _invalid(error, made, f"{name}." if name else "") from None

        made.__init__ = init
        return cast(type[T], made)

    return decorate


def build(kind: type[T], values: dict[str, Any]) -> T:
    """The section `kind` of nested values; raises `InvalidFieldsError`."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise _invalid(error, kind) from None


def fields_of(kind: type) -> dict[str, FieldInfo]:
    """The fields of a section, with `annotation`, `metadata` (their ranges) and `description` (their docstrings)."""
    return dict(getattr(kind, "__pydantic_fields__", {}))


def names_of(kind: type, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """All fields of a section and of the sections in it, by dotted name."""
    for name, info in fields_of(kind).items():
        yield f"{prefix}{name}", info
        if is_dataclass(info.annotation):
            yield from names_of(cast(type, info.annotation), f"{prefix}{name}.")


_ELSEWHERE = {
    "lr": "training.learning_rate",
    "batch_size": "training.batch_tokens",
    "per_device_train_batch_size": "training.batch_tokens",
    "num_train_epochs": "training.epochs",
    "num_epochs": "training.epochs",
    "r": "lora.rank",
    "lora_r": "lora.rank",
    "lora_alpha": "lora.alpha",
    "target_modules": "lora.targets",
    "num_beams": "decoding.beams",
    "output_dir": "output",
    "model_name_or_path": "model",
    "train_file": "data.train.path",
    "validation_file": "data.validation.path",
    "test_file": "data.test.path",
}
"""Fields by the names that transformers and peft have for them."""


def similar(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The dotted names of `known` that `name` may stand for, each after `prefix`; empty without.

    A name in the same section that is spelt much the same goes first, then those that end alike in other sections.
    """
    known = [other for other in known if not name.startswith(f"{other}.")]
    parent, _, last = name.rpartition(".")
    siblings = [other for other in known if other.rpartition(".")[0] == parent]
    for other in known:
        if f"{prefix.removeprefix('--')}{other}" == _ELSEWHERE.get(last):
            return f"{prefix}{other}"
    close = difflib.get_close_matches(name, siblings, 1, cutoff=0.85)
    close = close or [other for other in known if other.rpartition(".")[2] == last]
    close = [f"{prefix}{other}" for other in close or difflib.get_close_matches(name, known, 1)]
    return " or ".join(filter(None, (", ".join(close[:-1]), *close[-1:])))


def _invalid(error: ValidationError, kind: type, prefix: str = "") -> InvalidFieldsError:
    """The error of a section, whose fields are named after `prefix`."""
    faults = list(_faults(error, kind, prefix))
    return InvalidFieldsError(str(faults[0]), faults)


def _faults(error: ValidationError, kind: type, prefix: str) -> Iterator[Fault]:
    """The faults, field by field: a field of several types has an error for each."""
    located = [(*_locate(one["loc"], kind), one) for one in error.errors(include_url=False)]
    for (name, annotation), found in groupby(located, key=lambda one: one[:2]):
        errors = [one for _, _, one in found]
        if errors[0]["type"] == "unexpected_keyword_argument":
            close = similar(name, dict(names_of(kind)), prefix)
            remedy = f"did you mean {close}?" if close else "see translora train --help"
            yield Fault(f"{prefix}{name}", remedy, unknown=True)
        else:
            yield Fault(f"{prefix}{name}" if name else "", _message(errors, annotation))


def _locate(location: tuple[int | str, ...], kind: Any) -> tuple[str, Any]:
    """The dotted name and the type of a field from an error's place, which also names types and positions in a list."""
    parts: list[str] = []
    for part in location:
        if is_dataclass(kind):
            infos = fields_of(cast(type, kind))
            kind = infos[str(part)].annotation if part in infos else None
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            break
        parts.append(str(part))
    return ".".join(parts), kind


_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list such as [a, b]",
    "dict_type": "a section",
    "greater_than_equal": "at least {ge}",
    "greater_than": "above {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "below {lt}",
}
"""The words for a valid value, by the type of pydantic's error."""
_EMPTY = ("string_too_short", "too_short")


def _message(errors: list[ErrorDetails], kind: Any) -> str:
    errors = [one for one in errors if one["type"] not in _EMPTY]
    if not errors:
        return "must not be empty"
    error = errors[0]
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    wanted = dict.fromkeys(_wanted(one, kind) for one in errors)
    return f"must be {' or '.join(wanted)}, not {_shown(error['input'])}"


def _wanted(error: ErrorDetails, kind: Any) -> str:
    if error["type"] == "dataclass_type":
        return f"a section with fields such as {', '.join(list(fields_of(kind))[:2])}"
    if error["type"] == "literal_error":
        return listed(choices(kind))
    if error["type"] not in _WANTED:
        return error["msg"]
    return _WANTED[error["type"]].format(**{name: _rounded(value) for name, value in error.get("ctx", {}).items()})


def _rounded(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def choices(kind: Any) -> list[str]:
    """The words that a field of this type may have, in a list or beside numbers too."""
    if get_origin(kind) is Literal:
        return [str(one) for one in get_args(kind)]
    return [word for inner in get_args(kind) for word in choices(inner)]


def listed(words: list[str]) -> str:
    """`one of 'a', 'b'`, or `'a'` of one."""
    return ("one of " if len(words) > 1 else "") + ", ".join(map(repr, words))


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dict):
        return "a section"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
