"""JSON locale files, ARB and the messages of browser extensions among them: the values are spliced."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from translora.documents.document import Edit, Lines, Options, Segment, Slot, Spliced, decoded
from translora.errors import DataError

_TOKEN = re.compile(r'[ \t\r\n]+|"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_ADDRESS = re.compile(r"\w+:/*[^\s]+/[^\s]*|[./~][\w./-]*")
_EXTENSION = {"message", "description", "placeholders", "hash", "comment", "note", "context", "meaning"}
_SURROGATE = re.compile("[\ud800-\udfff]")


def read(data: bytes, name: str, options: Options) -> Spliced:
    """Read a JSON file: its string values are the segments.

    Of ARB the values of keys that begin with `@` are left, of the messages of a browser extension all but `message`;
    values that are addresses or paths are left everywhere. Raises `DataError` for what is no JSON.
    """
    source = decoded(data, name)
    value = parsed(source.text, name)
    only = "message" if _is_extension(value) else ""
    plain = source.text.isascii() and "\\u" in source.text
    lines, slots = Lines(source.text), list[Slot]()
    for keys, start, end in _strings(source.text):
        text = json.loads(source.text[start:end], strict=False)
        if any(key.startswith("@") or key == "$schema" for key in keys) or (only and keys[-1:] != [only]):
            continue
        if text and not _ADDRESS.fullmatch(text) and not _SURROGATE.search(text):
            slots.append(_slot(Segment(text, lines.at(start), note=".".join(keys)), start, end, plain))
    return Spliced(name, source, slots)


def _slot(segment: Segment, start: int, end: int, plain: bool) -> Slot:
    def edits(translation: str) -> list[Edit]:
        if translation == segment.text:
            return []
        return [Edit(start, end, (json.dumps(translation, ensure_ascii=plain),))]

    return Slot(segment, edits)


def parsed(text: str, name: str) -> Any:
    """The value of a JSON text; raises `DataError` for what is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{name}:{error.lineno}: not JSON ({error.msg}): mend the line") from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{name}: JSON that cannot be read ({error}): mend the file") from error


def _is_extension(value: Any) -> bool:
    """Whether this is the `messages.json` of a browser's extension: messages and what explains them alone."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(one, dict) and isinstance(one.get("message"), str) for one in value.values())
        and all(one.keys() <= _EXTENSION for one in value.values())
    )


def _strings(text: str) -> Iterator[tuple[list[str], int, int]]:
    """The string values of a JSON text that is sound: the keys that lead there, and the place with its quotes."""
    stack: list[str | int] = []
    is_key = False
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token == "{":
            stack.append("")
            is_key = True
        elif token == "[":
            stack.append(0)
            is_key = False
        elif token in "}]":
            stack.pop()
            is_key = False
        elif token == ",":
            last = stack.pop()
            stack.append(last + 1 if isinstance(last, int) else "")
            is_key = isinstance(last, str)
        elif token[0] == '"' and is_key:
            stack[-1] = json.loads(token, strict=False)
            is_key = False
        elif token[0] == '"':
            yield [str(key) for key in stack], found.start(), found.end()
