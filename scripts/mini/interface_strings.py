"""Read the German and the English strings of programs' interfaces out of the packages that install them.

Each reader takes package files (Debian packages, a wheel) and yields (German, English) as they are stored. Those of
LibreOffice's and Mozilla's take another locale in place of German's too. What their
placeholders and accelerators mean is known by `placeholders.py`. Reading Debian packages needs `dpkg-deb`.
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from babel.messages.mofile import read_mo
from build_tatoeba import Pair

Strings = dict[tuple[str, str], str]
"""Texts by (file, key); the two languages are joined on it."""


def read_home_assistant(wheel: Path) -> Iterator[Pair]:
    """The pairs of `translations/{de,en}.json` of each component in Home Assistant's wheel."""
    texts: dict[str, Strings] = {"de": {}, "en": {}}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            found = re.fullmatch(r"(.*/translations)/(de|en)\.json", name)
            if found:
                leaves = _leaves(json.loads(archive.read(name)))
                texts[found[2]].update({(found[1], key): text for key, text in leaves})
    yield from _joined(texts["de"], texts["en"])


def read_libreoffice(folder: Path, locale: str = "de") -> Iterator[Pair]:
    """The pairs of LibreOffice's `.mo` files below `folder`, whose keys are the English texts."""
    for file in sorted(folder.rglob(f"{locale}/LC_MESSAGES/*.mo")):
        with open(file, "rb") as stream:
            catalog = read_mo(stream)
        for message in catalog:
            if not message.id:
                continue
            english = message.id if isinstance(message.id, list | tuple) else (message.id,)
            german = message.string if isinstance(message.string, list | tuple) else (message.string,)
            yield from zip(german, english, strict=False)


def read_mozilla(german: Iterable[Path], english: Iterable[Path], locale: str = "de") -> Iterator[Pair]:
    """The pairs of the `.ftl` and `.properties` files in language packs (`.xpi`) and in `omni.ja`, joined by key."""
    yield from _joined(_mozilla_strings(german, locale), _mozilla_strings(english, "en-US"))


def read_chromium(german: Path, english: Path) -> Iterator[Pair]:
    """The pairs of two of Chromium's `.pak` files, joined by the number of the resource."""
    yield from _joined(_pak_strings(german), _pak_strings(english))


def _joined(german: Strings, english: Strings) -> Iterator[Pair]:
    for place, text in german.items():
        if place in english:
            yield text, english[place]


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The texts in a tree of JSON objects, each with its path."""
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from _leaves(branch, f"{path}/{key}")
    elif isinstance(tree, str):
        yield path, tree


def _mozilla_strings(archives: Iterable[Path], locale: str) -> Strings:
    texts: Strings = {}
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                parser = {".ftl": parse_fluent, ".properties": parse_properties}.get(Path(name).suffix)
                place = name.rpartition(f"/{locale}/")
                if parser and place[1]:
                    content = archive.read(name).decode("utf-8-sig")
                    texts.update({(place[2], key): text for key, text in parser(content)})
    return texts


_FLUENT_START = re.compile(r"(?P<indent>[ ]*)(?P<name>\.?-?[A-Za-z][\w-]*)[ ]*=[ ]*(?P<text>.*)")


def parse_fluent(content: str) -> Iterator[tuple[str, str]]:
    """The keys and texts of messages and attributes in Fluent's format; those with variants (`->`) are left out."""
    message, key, lines = "", "", list[str]()
    for line in [*content.splitlines(), "#"]:
        found = _FLUENT_START.fullmatch(line)
        starts = found and bool(found["indent"]) == found["name"].startswith(".")
        if key and not starts and (not line.strip() or line.startswith(" ")):
            lines.append(line.strip())
            continue
        text = " ".join(lines).strip()
        if key and text and "->" not in text:
            yield key, text
        key, lines = "", []
        if found and starts:
            message = message if found["indent"] else found["name"]
            key = message + found["name"] if found["indent"] else message
            lines = [found["text"]]


def parse_properties(content: str) -> Iterator[tuple[str, str]]:
    """The keys and texts of a Java properties file, in the form that Mozilla's files have."""
    for line in re.sub(r"\\\n\s*", "", content.replace("\r\n", "\n")).split("\n"):
        key, equals, text = line.partition("=")
        if equals and not key.lstrip().startswith(("#", "!")):
            text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text.strip())
            yield key.strip(), re.sub(r"\\[nt]", " ", text).replace('\\"', '"').replace("\\\\", "\\")


def _pak_strings(path: Path) -> Strings:
    """The texts of a data pack of version 5: header, table of (number, offset), aliases, texts in UTF-8."""
    data = path.read_bytes()
    version, encoding, entries, aliases = struct.unpack_from("<IBxxxHH", data)
    if (version, encoding) != (5, 1):
        raise SystemExit(f"{path}: a data pack of version {version} and encoding {encoding}; expected 5 and 1 (UTF-8)")
    table = [struct.unpack_from("<HI", data, 12 + 6 * i) for i in range(entries + 1)]
    ends = [offset for _, offset in table[1:]]
    texts = [(number, _decoded(data[start:end])) for (number, start), end in zip(table, ends, strict=False)]
    other = [struct.unpack_from("<HH", data, 12 + 6 * (entries + 1) + 4 * i) for i in range(aliases)]
    return {("", str(number)): text for number, text in [*texts, *((alias, texts[i][1]) for alias, i in other)]}


def _decoded(data: bytes) -> str:
    """The text, or none for a resource that is packed (a page or a script)."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return ""
