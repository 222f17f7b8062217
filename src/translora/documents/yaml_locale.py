"""YAML locale files: the scalars that are strings, keys apart, are spliced in their own style."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from translora.documents.document import Edit, Lines, Options, Segment, Slot, Spliced, decoded
from translora.errors import DataError

_STRING = "tag:yaml.org,2002:str"


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read a YAML file; raises `DataError` for what is none. Aliases are read once, and tags construct nothing."""
    source = decoded(data, name)
    lines, slots = Lines(source.text), list[Slot]()
    try:
        for root in yaml.compose_all(source.text, Loader=yaml.SafeLoader):
            for keys, node in _scalars(root):
                slots += _slot(source.text, keys, node, lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "damaged"
        raise DataError(f"{place}: not YAML ({problem}): mend the line") from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{name}: YAML that is nested too deeply, or damaged: mend the file") from error
    return Spliced(name, source, slots)


def _scalars(root: Any) -> Iterator[tuple[list[str], Any]]:
    """The string values below a node, in the order of the file, each with the keys that lead there."""
    seen: set[int] = set()
    stack: list[tuple[list[str], Any]] = [([], root)]
    while stack:
        keys, node = stack.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            stack += [([*keys, str(key.value)], value) for key, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            stack += [([*keys, str(index)], value) for index, value in reversed(list(enumerate(node.value)))]
        elif node.tag == _STRING and keys:
            yield keys, node


def _slot(text: str, keys: list[str], node: Any, lines: Lines) -> Iterator[Slot]:
    raw = text[node.start_mark.index : node.end_mark.index]
    kept = raw.rstrip()
    start, end = node.start_mark.index, node.start_mark.index + len(kept)
    value = node.value
    if not value.strip() or not kept or kept.startswith(("!", "&")):
        return

    def edits(translation: str) -> list[Edit]:
        return [] if translation == value else [Edit(start, end, (_written(translation, node.style),))]

    yield Slot(Segment(value, lines.at(start), note=".".join(keys)), edits)


def _written(text: str, style: str | None) -> str:
    """`text` as a scalar: plain or in single quotes where the old one was and the text allows it.

    Else, and in place of a block scalar, it is one in double quotes.
    """
    if style == "'" and "\n" not in text and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    if style is None and _is_plain(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)


def _is_plain(text: str) -> bool:
    """Whether `text` is itself without quotes, in a block and in brackets."""
    if not text.isprintable() or any(character in text for character in ",[]{}#:"):
        return False
    try:
        return bool(yaml.safe_load(f"a: {text}") == {"a": text} and yaml.safe_load(f"[{text}]") == [text])
    except (yaml.YAMLError, ValueError):
        return False
