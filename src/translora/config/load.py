"""One loader for recipes (YAML) and flags: both fill the dataclasses of `config.py`, with types and names checked."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from translora.config import CleaningConfig, CompareConfig, Config
from translora.errors import ConfigError
from translora.io.files import write_text
from translora.languages import require_two

_SECTION = "compare"
PACKAGED = Path(__file__).parent.parent / "recipes"
"""The recipes that come with the package; `train NAME` finds them by name."""


def load_config(recipe: str | Path | None = None, flags: Sequence[str] = ()) -> Config:
    """The configuration of a recipe file (or the name of a packaged one), with flags such as `--lora.rank=16` on top.

    A section `compare` is left to `load_comparison`.

    Raises `ConfigError`, naming file and line or the flag, for unknown fields and values of a wrong type.
    """
    return load_comparison(recipe, flags)[0]


def load_comparison(recipe: str | Path | None = None, flags: Sequence[str] = ()) -> tuple[Config, CompareConfig]:
    """The configuration of a recipe and its section `compare`; see `load_config`."""
    from jsonargparse import ArgumentError

    parser = build_parser()
    path = find_recipe(recipe) if recipe is not None else None
    values, comparison = parser.get_defaults(), CompareConfig()
    if path is not None:
        fields, lines = _read_yaml(path)
        section = fields.pop(_SECTION, None)
        try:
            values = parser.parse_object(fields)
            if section is not None:
                checked = _parser_of(CompareConfig).parse_object({_SECTION: section})
                comparison = CompareConfig(**vars(checked[_SECTION]))
        except ArgumentError as error:
            raise ConfigError(_located(error, path, lines)) from error
    try:
        values = parser.parse_args(list(flags), namespace=values)
    except ArgumentError as error:
        raise ConfigError(f"{_one_line(error)}: see translora train --help") from error
    config = Config(**vars(parser.instantiate(values)))
    check_values(config)
    return config, comparison


def load_cleaning(defaults: CleaningConfig, flags: Sequence[str]) -> CleaningConfig:
    """Rules of cleaning from flags such as `--max_ratio=4`, on top of `defaults`; raises `ConfigError`."""
    from jsonargparse import ArgumentError

    parser = _parser_of(CleaningConfig, None)
    try:
        values = parser.parse_args(list(flags), namespace=parser.parse_object(_plain(defaults)))
    except ArgumentError as error:
        raise ConfigError(f"{_one_line(error)}: see translora data clean --help") from error
    config = CleaningConfig(**vars(values))
    _check_ranges({f"{_CLEANING}{name}": value for name, value in _leaves(_plain(config))}, _CLEANING)
    return config


def changed(config: Config, fields: dict[str, Any]) -> Config:
    """`config` with `fields`, nested as in a recipe, in place of its own.

    Raises `ConfigError` for unknown fields and values of a wrong type.
    """
    from jsonargparse import ArgumentError

    for name, _ in _leaves(fields):
        _check_name(name)
    _check_sections(fields, _sections())
    parser = build_parser()
    try:
        values = parser.parse_object(_merged(_plain(config), fields))
    except ArgumentError as error:
        raise ConfigError(_one_line(error)) from error
    result = Config(**vars(parser.instantiate(values)))
    check_values(result)
    return result


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`old` with the values of `new`, section by section."""
    inner = {
        key: _merged(old[key], value) if isinstance(value, dict) and isinstance(old.get(key), dict) else value
        for key, value in new.items()
    }
    return {**old, **inner}


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


def build_parser(fields: type = Config) -> Any:
    """The parser of all fields as flags; its help lists them with their docstrings."""
    return _parser_of(fields, None)


def _parser_of(fields: type, section: str | None = _SECTION) -> Any:
    from jsonargparse import ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="translora train RECIPE.yaml", exit_on_error=False)
    parser.add_class_arguments(fields, section)
    return parser


def save_config(config: Config, path: Path) -> None:
    """Write all fields, resolved, as a recipe that `load_config` reads."""
    write_text(path, yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True))


def changed_fields(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """The fields in which two configurations differ, by dotted name."""
    before, after = dict(_leaves(_plain(old))), dict(_leaves(_plain(new)))
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def field_names(fields: dict[str, Any]) -> list[str]:
    """The dotted names of nested fields."""
    return [name for name, _ in _leaves(fields)]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _sections() -> dict[str, Any]:
    """All that a recipe may hold, nested, with its defaults."""
    return {**_plain(Config()), _SECTION: _plain(CompareConfig())}


def _check_sections(fields: dict[str, Any], known: dict[str, Any], place: str = "", prefix: str = "") -> None:
    """Raise `ConfigError` where `fields` has a single value for what is a section in `known`."""
    for name, value in fields.items():
        inner = known.get(name)
        if isinstance(inner, dict) and not isinstance(value, dict):
            some = ", ".join(list(inner)[:2])
            raise ConfigError(f"{place}{prefix}{name}: a section with fields such as {some}, not {value!r}")
        if isinstance(inner, dict):
            _check_sections(value, inner, place, f"{prefix}{name}.")


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The fields of a YAML file, nested, and the line of each by dotted name; unknown names are refused."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        fields = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML ({error.problem}): mind the indentation and the colons") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML ({error}): write it as plain text") from error
    if fields is None:
        return {}, {}
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}:1: a recipe is a list of fields, such as model: mini")
    lines: dict[str, int] = {}
    for name, line in _named_lines(tree):
        if not name.startswith(f"{_SECTION}.variants."):  # each is checked where it is put on the recipe
            _check_name(name, f"{path}:{line}: ")
        lines[name] = line
    _check_sections(fields, _sections(), f"{path}: ")
    return fields, lines


def _named_lines(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        yield name, key.start_mark.line + 1
        yield from _named_lines(value, f"{name}.")


def _check_name(name: str, place: str = "") -> None:
    known = [field for leaf, _ in _leaves(_sections()) for field in _prefixes(leaf)]
    if name not in known:
        parent = name.rpartition(".")[0]
        close = difflib.get_close_matches(name, [other for other in known if other != parent], n=1)
        hint = f"did you mean {close[0]}?" if close else "see translora train --help"
        raise ConfigError(f"{place}unknown field {name}: {hint}")


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _located(error: Exception, path: Path, lines: dict[str, int]) -> str:
    found = re.search(r'[Pp]arser key "([\w.]+)"', str(error))
    line = lines.get(found[1], 1) if found else 1
    return f"{path}:{line}: {_one_line(error)}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    text = re.sub(r'^Parser key "([\w.]+)": ', r"\1: ", text)
    text = re.sub(r"Expected an? (?:<class '(\w+)'>|typing\.(Literal\[.*?\]))\. Got value: ", _expected, text)
    return text.removesuffix(".")


def _expected(found: re.Match[str]) -> str:
    kinds = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
    wanted = kinds.get(found[1], found[1]) if found[1] else f"one of {found[2][8:-1]}"
    return f"must be {wanted}, not "


_AT_LEAST = {
    "data.train.limit": 0, "data.validation.limit": 0, "data.test.limit": 0,
    "data.cleaning.max_chars": 0, "data.cleaning.max_words": 0, "data.cleaning.max_ratio": 0,
    "data.validation_size": 1, "data.test_size": 1, "data.max_tokens": 2, "data.join_share": 0, "data.join_most": 2,
    "lora.rank": 1, "lora.alpha": 0, "lora.dropout": 0, "training.max_steps": 0, "training.batch_tokens": 1,
    "training.step_pairs": 0, "training.step_tokens": 0,
    "training.weight_decay": 0, "training.warmup_steps": 0, "training.label_smoothing": 0,
    "training.clip_norm": 0, "training.dropout": 0, "training.evaluate_every": 0, "training.validation_pairs": 0,
    "training.patience": 0, "training.save_every": 0,
    "decoding.beams": 1, "decoding.batch_tokens": 1, "decoding.max_tokens": 1,
    "decoding.max_ratio": 1,
}  # fmt: skip
_CLEANING = "data.cleaning."
_BELOW_ONE = ("lora.dropout", "training.label_smoothing", "training.dropout")


def _check_ranges(values: dict[str, Any], prefix: str = "") -> None:
    """Raise `ConfigError` for one of `values`, by dotted name, that is too small; `prefix` is left out of its name."""
    for name, least in _AT_LEAST.items():
        value = values.get(name, "auto")
        if value != "auto" and value < least:
            raise ConfigError(f"{name.removeprefix(prefix)}: must be at least {least}, not {value}")


def check_values(config: Config) -> None:
    """Raise `ConfigError` for values outside their range, or fields that contradict each other."""
    values = dict(_leaves(_plain(config)))
    _check_ranges(values)
    for name in _BELOW_ONE:
        if values[name] >= 1:
            raise ConfigError(f"{name}: must be below 1, not {values[name]}")
    for name in ("training.epochs", "training.learning_rate", "lora.b_rate"):
        if values[name] <= 0:
            raise ConfigError(f"{name}: must be above 0, not {values[name]}")
    require_two(config.source, config.target)
    for split in ("train", "validation", "test"):
        columns = values[f"data.{split}.columns"]
        if columns and len(columns) != 2:
            raise ConfigError(f"data.{split}.columns: name two columns, source and target, not {len(columns)}")
