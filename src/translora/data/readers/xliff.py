"""XLIFF 1.2 and 2.x, and SDLXLIFF, as pairs: units whose translation is there and finished."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.codes import tagged, untagged
from translora.data.readers.po import contents, line_pairs
from translora.data.readers.remarks import Counts
from translora.documents.inline import Item as Inlined
from translora.documents.xliff import bilingual
from translora.errors import DataError
from translora.languages import same_language

DROPPED_CODES = "units with inline codes (dropped)"
_NAME = re.compile(r"</?([^\s/>]+)")
_ID = re.compile(r"\s(?:id|rid|mid|startRef)\s*=\s*[\"']([^\"']*)[\"']")


def read_xliff(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The pairs of an XLIFF file, in either direction; of SDLXLIFF those of segments, which must be confirmed.

    Inline codes are dropped, or with `codes: keep` tags where both texts have the same. Units without a translation,
    and those in a state such as `needs-review-translation`, are left out and counted.

    Raises `DataError` for other XML, and where no unit is of the two languages.
    """
    text, units = bilingual(contents(config.path), config.path)
    counts = Counts(config.path)
    asked = source, target
    known: Counter[tuple[str, str]] = Counter(unit.languages for unit in units)
    if units and not any(_direction(languages, asked) for languages in known):
        shown = ", ".join(f"{one or '?'} to {other or '?'}" for one, other in list(known)[:8])
        raise DataError(f"{config.path}: no unit from {source} to {target}; it has {shown}: name two of its languages")

    def key(item: Inlined) -> str:
        raw = text[item.start : item.end]
        name, own = _NAME.match(raw), _ID.search(raw)
        return f"{item.kind} {name[1]} {own[1]}" if name and own else raw

    try:
        for unit in units:
            direction = _direction(unit.languages, asked)
            if not direction:
                counts.add("units of other languages", unit.line)
            elif not any(item.value.strip() for item in unit.target if item.kind == "text"):
                counts.add("untranslated units", unit.line)
            elif not unit.done:
                counts.add("units that need a review", unit.line)
            else:
                first, second = (unit.source, unit.target)[::direction]
                texts = tagged(first, second, key) if config.codes == "keep" else None
                if not texts:
                    texts = untagged(first), untagged(second)
                    if _has_codes(first) or _has_codes(second):
                        counts.add(DROPPED_CODES, unit.line, left_out=False)
                yield from line_pairs(*texts, config.path, unit.line)
    finally:
        counts.say()


def _direction(languages: tuple[str, str], asked: tuple[str, str]) -> int:
    """1 for a unit from the source to the target language, -1 for the other way round, 0 for other languages.

    A unit that lacks a code has the language that is asked for.
    """
    for direction in (1, -1):
        wanted = asked[::direction]
        if all(not code or same_language(one, [code]) for one, code in zip(wanted, languages, strict=True)):
            return direction
    return 0


def _has_codes(items: Sequence[Inlined]) -> bool:
    return any(item.kind != "text" for item in items)
