"""WMT's test sets: SGM (srcset, refset, tstset) and the newer XML (dataset with src, ref and hyp). Segments by key."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.lines import decode_lines, open_binary
from translora.data.readers.markup import NO_CHARACTER, NO_TEXT, decoded, root_at_start
from translora.data.readers.remarks import Remark, remark
from translora.data.readers.rows import make_pair
from translora.errors import DataError
from translora.io import console
from translora.languages import same_language

Layer = Literal["src", "ref", "hyp"]
"""Sources, references, or translations by a system."""
_SETS: dict[str, Layer] = {"srcset": "src", "refset": "ref", "tstset": "hyp"}
_LAYERS: dict[str, Layer] = {"src": "src", "ref": "ref", "hyp": "hyp"}
_NAMES = {"src": "sources", "ref": "references", "hyp": "translations"}
ROOTS = {*_SETS, "mteval", "dataset"}
"""The roots of the documents that are read here."""
_TAG = re.compile(r"<!--.*?-->|<(?P<end>/?)(?P<name>[A-Za-z][\w.-]*)(?P<rest>[^<>]*)>", re.DOTALL)
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_ENTITY = re.compile(r"&(?:#\d+|#[xX][0-9a-fA-F]+|\w+);")


@dataclass(frozen=True)
class Segment:
    """One segment, and where it stands."""

    text: str
    key: tuple[str, str]
    """The names of its document and its own, the same in sources and references."""
    layer: Layer
    by: str
    """The translator or system."""
    language: str
    line: int


def text_segments(path: Path, layer: Layer) -> Iterator[str]:
    """The lines of a text file, or the segments of a WMT file, one at a time; see `stream_segments`."""
    with open_binary(path) as stream:
        yield from stream_segments(stream, str(path), layer)


def stream_segments(stream: BinaryIO, name: str, layer: Layer) -> Iterator[str]:
    """The lines of text, or where the stream is SGM or XML of WMT, its segments; `name` stands for it in messages.

    Raises `DataError` for markup of another kind, which is never taken for text.
    """
    binary = stream if hasattr(stream, "peek") else io.BufferedReader(stream)  # type: ignore[type-var]
    root = root_at_start(binary)
    if not root:
        yield from decode_lines(binary, name)
        return
    yield from (segment.text for segment in _of_layer(_segments(binary, name, root), layer, name))


def read_segments(path: Path) -> list[Segment]:
    """All segments of a WMT file; raises `DataError` for any other file, and for a segment that cannot be read."""
    with open_binary(path) as stream:
        return _segments(stream, str(path), root_at_start(stream))


def read_sgm(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The pairs of two SGM files, or of one XML file with sources and references, by the names of the segments.

    Raises `DataError` where two files do not hold the same segments in the same order.
    """
    segments = read_segments(Path(config.path))
    if config.target_path:
        sources = _of_layer(segments, "src", config.path)
        targets = _of_layer(read_segments(Path(config.target_path)), "ref", config.target_path)
        _check_aligned(sources, targets, config)
        for left, right in zip(sources, targets, strict=True):
            yield make_pair(left.text, right.text, config.path, left.line)
        return
    sources, targets = _sides(segments, config.path, source, target)
    translations = dict[tuple[str, str], Segment]()
    for segment in targets:
        before = translations.setdefault(segment.key, segment)
        if before is not segment:
            raise DataError(
                f"{config.path}:{segment.line}: a second segment {segment.key[1]} of document {segment.key[0]}, after "
                f"line {before.line}: give each its own id"
            )
    missing = [segment for segment in sources if segment.key not in translations]
    if missing:
        found = Remark("segments without a translation", len(missing), f"{config.path}:{missing[0].line}", True)
        remark(found, f"{found.count:,} {found.kind} passed over")
    for segment in sources:
        if segment.key in translations:
            yield make_pair(segment.text, translations[segment.key].text, config.path, segment.line)


def _segments(stream: BinaryIO, name: str, root: str) -> list[Segment]:
    if root not in ROOTS:
        kind = f"markup with the root {root}" if root else "text without markup"
        wanted = "WMT's SGM (srcset, refset, tstset) or XML (dataset)"
        way = (
            "a translation memory is read where pairs are given"
            if root == "tmx"
            else "write plain text, one sentence per line"
        )
        raise DataError(f"{name}: {kind}, where {wanted} or lines of text are needed: {way}")
    found = list(_parsed("".join(decoded(stream, name)), name))
    if not found:
        raise DataError(f"{name}: no segments (<seg>) in it")
    return found


def _parsed(text: str, name: str) -> Iterator[Segment]:
    """The segments of a document, in its order."""
    around = Segment("", ("", ""), "src", "", "", 1)
    whole, documents, number = around, 0, 0
    begun: int | None = None
    line, counted = 1, 0
    for tag in _TAG.finditer(text):
        kind, ends = (tag["name"] or "").lower(), tag["end"] == "/"
        values = {key.lower(): a or b or c for key, a, b, c in _ATTRIBUTE.findall(tag["rest"] or "")}
        if kind in _SETS and not ends:
            whole = around = replace(around, layer=_SETS[kind], by=values.get("sysid", ""))
        elif kind == "doc" and not ends:
            documents, number = documents + 1, 0
            key = (values.get("docid") or values.get("id") or str(documents), "")
            around = whole = replace(whole, key=key, by=values.get("sysid", whole.by))
        elif kind in _LAYERS:
            number = 0
            by = values.get("translator") or values.get("system") or values.get("sysid") or ""
            named = replace(
                whole, layer=_LAYERS[kind], by=by, language=values.get("lang") or values.get("language", "")
            )
            around = whole if ends else named
        elif kind == "seg":
            line, counted = line + text.count("\n", counted, tag.start()), tag.start()
            if not ends:
                if begun is not None:
                    raise DataError(f"{name}:{around.line}: a segment without an end (</seg>): close it")
                number += 1
                around = replace(around, key=(around.key[0], values.get("id") or str(number)), line=line)
                begun = tag.end()
            if begun is not None and (ends or tag["rest"].endswith("/")):
                yield replace(around, text=_plain(text[begun : tag.start()] if ends else "", name, around.line))
                begun = None
    if begun is not None:
        raise DataError(f"{name}:{around.line}: a segment without an end (</seg>): the file is cut short")


def _plain(text: str, name: str, line: int) -> str:
    """One line of text with its entities resolved."""
    if NO_CHARACTER in text or NO_TEXT in text:
        raise DataError(f"{name}:{line}: a segment with a character that XML forbids, or not in the file's encoding")
    resolved = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
    return re.sub(r"\s*[\r\n]+\s*", " ", resolved).strip()


def _of_layer(segments: list[Segment], layer: Layer, name: str) -> list[Segment]:
    """The segments of one layer by one translator.

    A file of a single layer may stand for another one (translations are often written as a refset), but sources never
    for translations. Of several references the first is taken, which is said; of several systems none.
    """
    layers = list(dict.fromkeys(segment.layer for segment in segments))
    chosen = layer if layer in layers else layers[0]
    if (chosen != layer and len(layers) > 1) or (chosen == "src" and layer != "src"):
        has = " and ".join(_NAMES[one] for one in layers)
        raise DataError(f"{name}: no {_NAMES[layer]} in it, only {has}: give another file")
    found = [segment for segment in segments if segment.layer == chosen]
    by = list(dict.fromkeys(segment.by for segment in found))
    if len({segment.key for segment in found}) == len(found) or len(by) == 1:
        return found
    if layer != "ref":
        raise DataError(f"{name}: {_NAMES[chosen]} by {', '.join(by)}: leave one of them in the file")
    console.notice(f"{name}: references by {', '.join(by)}: those by {by[0]} are taken")
    return [segment for segment in found if segment.by == by[0]]


def _sides(segments: list[Segment], name: str, source: str, target: str) -> tuple[list[Segment], list[Segment]]:
    """Sources and targets of one file, in the direction that is asked for."""
    sides = [_of_layer(segments, "src", name), _of_layer(segments, "ref", name)]
    layers = {side[0].layer for side in sides}
    if len(layers) == 1:
        raise DataError(f"{name}: only {_NAMES[layers.pop()]} in it: give the file of the other side as target_path")
    codes = [side[0].language for side in sides]
    if all(codes):
        places = [same_language(asked, codes) for asked in (source, target)]
        if None in places or places[0] == places[1]:
            raise DataError(f"{name}: its languages are {' and '.join(codes)}, not {source} and {target}: name these")
        sides = [sides[codes.index(str(place))] for place in places]
    return sides[0], sides[1]


def _check_aligned(sources: list[Segment], targets: list[Segment], config: SourceConfig) -> None:
    for left, right in zip(sources, targets, strict=False):
        if left.key != right.key:
            raise DataError(
                f"{config.target_path}:{right.line}: segment {'/'.join(right.key)} where {config.path}:{left.line} has "
                f"{'/'.join(left.key)}: the two files must hold the same segments in the same order"
            )
    if len(sources) != len(targets):
        raise DataError(f"{config.target_path}: {len(targets)} segments for {len(sources)} of {config.path}")
