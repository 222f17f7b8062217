"""From a recipe file and flags to checked sections, and back to a file. Flags win over the recipe, field by field."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from translora.config import CleaningConfig, CompareConfig, Config, Recipe
from translora.config.reading import Values, merged, read_flags, read_recipe, take_flags
from translora.config.section import Fault, InvalidFieldsError, build
from translora.errors import ConfigError
from translora.io.files import write_text

PACKAGED = Path(__file__).parent.parent / "recipes"
"""The recipes that come with the package; `train NAME` finds them by name."""

T = TypeVar("T")


def load_config(recipe: str | Path | None = None, flags: Sequence[str] = ()) -> Config:
    """The configuration of a recipe file (or the name of a packaged one), with flags such as `--lora.rank=16` on top.

    A section `compare` is checked too, and left to `load_comparison`.

    Raises `ConfigError`, naming file and line or the flag, for unknown fields and values of a wrong type or range.
    """
    return _config(_load(recipe, flags, Config))


def load_comparison(recipe: str | Path | None = None, flags: Sequence[str] = ()) -> tuple[Config, CompareConfig]:
    """The configuration of a recipe and its section `compare`, of which fields may be flags too; see `load_config`."""
    loaded = _load(recipe, flags, Recipe)
    return _config(loaded), loaded.compare


def _load(recipe: str | Path | None, flags: Sequence[str], flagged: type) -> Recipe:
    """The recipe with flags on top, which name fields of `flagged`."""
    path = find_recipe(recipe) if recipe is not None else None
    values, lines = read_recipe(path, Recipe) if path is not None else ({}, {})
    return _built(Recipe, values, _own_flags(flags, flagged), _Origin(path, lines))


def _config(recipe: Recipe) -> Config:
    return Config(**{field.name: getattr(recipe, field.name) for field in dataclasses.fields(Config)})


def load_cleaning(defaults: CleaningConfig, flags: Sequence[str]) -> CleaningConfig:
    """Rules of cleaning from flags such as `--max_ratio=4`, on top of `defaults`; raises `ConfigError`."""
    command = "translora data clean"
    own = _own_flags(flags, CleaningConfig, command)
    return _built(CleaningConfig, plain(defaults), own, _Origin(command=command))


def changed(config: Config, fields: Values) -> Config:
    """`config` with `fields`, nested as in a recipe, in place of its own.

    Raises `ConfigError` for unknown fields and values of a wrong type.
    """
    return build(Config, merged(Config, plain(config), fields))


@dataclasses.dataclass(frozen=True)
class _Origin:
    """Where values come from, apart from flags."""

    path: Path | None = None
    lines: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """The line of each field in `path`."""
    command: str = "translora train"
    """The command whose help lists the fields."""

    def located(self, fault: Fault, flags: Collection[str]) -> str:
        """The fault, with the flag, or the file and line, that it comes from."""
        if any(f"{fault.name}.".startswith(f"{name}.") for name in flags):
            return f"--{fault}: see {self.command} --help"
        if self.path is None or (flags and not fault.name):
            return str(fault)
        line = f":{self.lines[fault.name]}" if fault.name in self.lines else ""
        return f"{self.path}{line}: {fault}"


def _own_flags(flags: Sequence[str], kind: type, command: str = "translora train") -> list[str]:
    rest, own = take_flags(flags, kind, command=command)
    for word in rest:
        if not word.startswith("--"):
            raise ConfigError(f"unknown argument {word}: see {command} --help")
    return own


def _built(kind: type[T], values: Values, flags: list[str], origin: _Origin) -> T:
    try:
        return build(kind, merged(kind, values, read_flags(flags, kind)))
    except InvalidFieldsError as error:
        names = [flag.removeprefix("--").partition("=")[0] for flag in flags]
        raise ConfigError(origin.located(error.faults[0], names)) from error


def find_recipe(recipe: str | Path) -> Path:
    """The file of a recipe; raises `ConfigError` where there is none."""
    path = Path(recipe)
    if path.is_file():
        return path
    packaged = PACKAGED / f"{recipe}.yaml"
    if packaged.is_file():
        return packaged
    names = ", ".join(sorted(file.stem for file in PACKAGED.glob("*.yaml")))
    raise ConfigError(f"{path}: no such recipe: give a YAML file, or one of {names}")


def save_config(config: Config, path: Path) -> None:
    """Write all fields, resolved, as a recipe that `load_config` reads."""
    write_text(path, yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True))


def changed_fields(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configurations differ, by dotted name."""
    before, after = dict(leaves(plain(old))), dict(leaves(plain(new)))
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def plain(value: Any) -> Any:
    """A section as nested dictionaries, its tuples as lists: the form of a recipe."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted name and the value of each field of nested dictionaries."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
