"""TMX, translation memories: a unit at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.lines import DAMAGED, open_binary
from translora.data.readers.rows import make_pair
from translora.errors import DataError


def read_tmx(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The translation units of a TMX file, one at a time.

    TMX 1.4b, https://www.gala-global.org/tmx-14b: the content of inline codes (`bpt`, `ept`, `it`, `ph`, `ut`) is no
    text, that of `hi` is. Entities that a file declares are not expanded.
    """
    from lxml import etree

    root = None
    with open_binary(Path(config.path)) as stream:
        try:
            events = etree.iterparse(
                stream, events=("start", "end"), resolve_entities=False, load_dtd=False, no_network=True
            )
            for event, element in events:
                if root is None:
                    root = element
                    _check_tmx(root, config.path)
                elif event == "end" and element.tag == "tu":
                    yield _unit_pair(element, config.path, source, target)
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
        except (etree.XMLSyntaxError, *DAMAGED) as error:
            raise DataError(f"{config.path}: not TMX, or cut short ({error}): export it again") from error


def _check_tmx(root: Any, file: str) -> None:
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise DataError(f"{file}: it declares XML entities, which are not expanded: remove its DTD")
    if root.tag != "tmx":
        raise DataError(f"{file}: not TMX (its root is {root.tag}): export it as TMX")


def _unit_pair(unit: Any, file: str, source: str, target: str) -> Item:
    texts = []
    for code in (source, target):
        segment = next(
            (tuv.find("seg") for tuv in unit.iterfind("tuv") if _same_language(_tuv_language(tuv), code)), None
        )
        if segment is None:
            return DataError(f"{file}:{unit.sourceline}: a translation unit without text in {code}")
        texts.append("".join(_segment_text(segment)))
    return make_pair(texts[0], texts[1], file, unit.sourceline or 0)


def _segment_text(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == "hi":
            yield from _segment_text(child)
        yield child.tail or ""


def _tuv_language(node: Any) -> str:
    return node.get("{http://www.w3.org/XML/1998/namespace}lang") or node.get("lang") or ""


def _same_language(found: str, wanted: str) -> bool:
    """`de-DE` answers to `de`, but not the other way round."""
    found, wanted = found.lower().replace("_", "-"), wanted.lower()
    return found == wanted or found.startswith(wanted + "-")
