"""The values of a recipe file and of flags, nested: each scalar is read as the type of its field.

A field of text takes a scalar as it is written, so that `source: no` and `revision: 1e5` need no quotes; any other
takes numbers, true and false, and nothing. Values are checked elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import yaml

from translora.config import Config
from translora.config.section import fields_of, names_of, similar
from translora.errors import ConfigError

Values = dict[str, Any]
"""Fields, nested as in a recipe."""

_WORDS = {
    **dict.fromkeys(("", "~", "null"), None),
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}
"""YAML's words, in small letters."""
_TAGS = {
    yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG,
    yaml.resolver.BaseResolver.DEFAULT_SEQUENCE_TAG,
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
}
"""The tags of values that have none written before them."""


@dataclass
class _Reader:
    """Reads the nodes of a YAML text, and notes the line of each field by its dotted name."""

    place: str
    """The file and a colon; empty for a flag."""
    lines: dict[str, int] = field(default_factory=dict)

    def section(self, node: yaml.MappingNode, kind: Any, prefix: str = "") -> Values:
        """The fields of a section of type `kind`; unknown ones are kept, for the check to find."""
        kinds = {name: info.annotation for name, info in fields_of(kind).items()}
        return {key: self.value(value, kinds.get(key), f"{prefix}{key}.") for key, value in self._entries(node, prefix)}

    def _entries(self, node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, yaml.Node]]:
        seen = set()
        for key, value in node.value:
            place = f"{self.place}{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{place}: a name must be text")
            if key.value in seen:
                raise ConfigError(f"{place}: {prefix}{key.value} is there twice: remove one")
            seen.add(key.value)
            self.lines[f"{prefix}{key.value}"] = key.start_mark.line + 1
            yield key.value, value

    def value(self, node: yaml.Node, kind: Any, prefix: str = "") -> Any:
        """The value of a field; a section or list is empty where a field of type `kind` takes none."""
        if node.tag not in _TAGS:
            raise ConfigError(f"{self.place}{node.start_mark.line + 1}: the tag {node.tag}: write the value without it")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, kind)
        if isinstance(node, yaml.SequenceNode):
            inner = get_args(kind)[0] if get_origin(kind) is tuple else None
            return [self.value(item, inner) if isinstance(item, yaml.ScalarNode) else [] for item in node.value]
        mapping = cast(yaml.MappingNode, node)
        if is_dataclass(kind):
            return self.section(mapping, kind, prefix)
        if get_origin(kind) is dict:  # the variants of a comparison
            return {name: self.value(part, Config, f"{prefix}{name}.") for name, part in self._entries(mapping, prefix)}
        return {}


def _scalar(node: yaml.ScalarNode, kind: Any) -> Any:
    if node.style is not None:  # in quotes
        return node.value
    value = plain_scalar(node.value)
    return value if value is None or not takes_text(kind) else node.value


def takes_text(kind: Any) -> bool:
    """Whether a field of this type takes any scalar as text."""
    if get_origin(kind) is Annotated:
        return takes_text(get_args(kind)[0])
    return kind is str or (get_origin(kind) is Literal and all(isinstance(one, str) for one in get_args(kind)))


def plain_scalar(text: str) -> Any:
    """A number, true, false, nothing, or the text itself, as YAML has them; `1e-4` is a number too."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def read_recipe(path: Path, kind: type) -> tuple[Values, dict[str, int]]:
    """The fields of a recipe file, nested, and the line of each by its dotted name.

    Raises `ConfigError`, naming file and line, for text that is not YAML.
    """
    reader = _Reader(f"{path}:")
    with _yaml_errors(path):
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
        if node is None:
            return {}, {}
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}:1: a recipe is a list of fields, such as model: mini")
        return reader.section(node, kind), reader.lines


@contextmanager
def _yaml_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): give another file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML ({error.problem}): mind the indentation and the colons") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML ({error}): write it as plain text") from error


def take_flags(
    arguments: Sequence[str], kind: type, own: Collection[str] = (), command: str = "translora train"
) -> tuple[list[str], list[str]]:
    """Split a command line into a command's own arguments, and the fields of `kind`, each as `--name=value`.

    `own` are the options of the command itself. The name of a field remains among its arguments, so that a list that
    an option takes ends there. A switch alone is true.

    Raises `ConfigError` for a field that is not known or has no value.
    """
    known = dict(names_of(kind))
    rest: list[str] = []
    flags: list[str] = []
    waiting = deque(arguments)
    while waiting:
        word = waiting.popleft()
        if word == "--":
            return [*rest, word, *waiting], flags
        option, equals, value = word.partition("=")
        rest.append(word)
        if not word.startswith("--") or option in own:
            continue
        name = option[2:]
        if name not in known:
            close = similar(name, [*(one[2:] for one in own), *known], "--")
            hint = f" (did you mean {close}?)" if close else ""
            raise ConfigError(f"unknown argument {option}{hint}: see {command} --help")
        kind_of_value = known[name].annotation
        if not equals and waiting and _is_value(waiting[0], kind_of_value, own):
            value = waiting.popleft()
        elif not equals and kind_of_value is bool:
            value = "true"
        elif not equals:
            raise ConfigError(f"{option}: needs a value, as in {option}=VALUE: see {command} --help")
        rest[-1] = option
        flags.append(f"{option}={value}")
    return rest, flags


def _is_value(word: str, kind: Any, own: Collection[str]) -> bool:
    """Whether a word belongs to a flag of type `kind` before it."""
    if word.startswith("--") or word in own:
        return False
    return kind is not bool or isinstance(plain_scalar(word), bool)


def read_flags(flags: Sequence[str], kind: type) -> Values:
    """The values of `--name=value` flags, nested as in a recipe; the last of several for one field."""
    known = dict(names_of(kind))
    values: Values = {}
    for flag in flags:
        name, _, text = flag.removeprefix("--").partition("=")
        *sections, field_name = name.split(".")
        nested: Values = {field_name: _flag_value(text, known[name].annotation, name)}
        for part in reversed(sections):
            nested = {part: nested}
        values = merged(kind, values, nested)
    return values


def _flag_value(text: str, kind: Any, name: str) -> Any:
    if takes_text(kind):
        return text
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
        return None if node is None else _Reader(f"--{name}:").value(node, kind, f"{name}.")
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def merged(kind: type, old: Values, new: Values) -> Values:
    """The fields of a section `kind`: `old` with the values of `new` in their place, in the sections in it too.

    Where `old` has a single value for what is a section, that remains, for the check to find.
    """
    fields, result = fields_of(kind), dict(old)
    for name, value in new.items():
        inner = fields[name].annotation if name in fields else None
        if name in old and is_dataclass(inner) and isinstance(value, dict):
            result[name] = merged(cast(type, inner), old[name], value) if isinstance(old[name], dict) else old[name]
        else:
            result[name] = value
    return result
