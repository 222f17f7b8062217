"""Long lines as sentences, and sentences without end as parts, put together again with the spaces that were between.

Knows sentences and spaces; knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import sentencex

from translora.languages import UNSPACED, subtags

ENDLESS = 2
"""A sentence of more than so many times the tokens that training took is no sentence, and is cut."""
_BREAKS = (
    re.compile(r"(?<=[,;:])\s+|(?<=[、\uff0c\uff1b\uff1a])"),
    re.compile(r"\s+"),
    re.compile(r"(?![\u0300-\u036f\u200c\u200d\ufe00-\ufe0f])(?<!\u200d)"),
)
"""Where a sentence is cut, the best first: at the end of a clause, at a space, anywhere."""
_HAN = re.compile(r"[\u3001-\u303f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
"""Han and kana, and their punctuation."""
_IN_UNSPACED = re.compile(f"[{UNSPACED}]|{_HAN.pattern}")


def sentences(line: str, language: str, is_long: Callable[[str], bool]) -> list[str]:
    """`line` alone, or where it is long its sentences; put together they are `line` again.

    The spaces after a sentence belong to it. Sentences are told by sentencex and the rules of `language`, those of
    English where it has none for it.
    """
    if not is_long(line):
        return [line]
    found = list(sentencex.segment(subtags(language)[0], line))
    return found if "".join(found) == line and len(found) > 1 else [line]


def parts_of(sentence: str, fits: Callable[[str], bool], whole: re.Pattern[str]) -> list[str]:
    """`sentence` in halves, and halves of these, until each `fits`; put together they are `sentence` again.

    A cut is at the end of a clause or at a space, if there is one in the middle half, and nowhere within a match of
    `whole`. The spaces at a cut belong to the part before it.
    """
    middle = len(sentence) / 2
    if not fits(sentence):
        spans = [match.span() for match in whole.finditer(sentence)]
        for pattern in _BREAKS:
            places = [match.end() for match in pattern.finditer(sentence) if abs(match.end() - middle) <= middle / 2]
            for place in sorted(places, key=lambda place: abs(place - middle)):
                if 0 < place < len(sentence) and not any(start < place < end for start, end in spans):
                    halves = sentence[:place], sentence[place:]
                    return [part for half in halves for part in parts_of(half, fits, whole)]
    return [sentence]


def joined(pieces: Sequence[str], translations: Iterable[str]) -> str:
    """The `translations` of `pieces`, with the spaces that each piece ends with in between; see `gap`."""
    text, before, last = "", "", ""
    for piece, translation in zip(pieces, translations, strict=True):
        text += gap(before, last, translation) + translation
        before, last = piece, translation.rstrip()[-1:] or last
    return text.strip()


def gap(piece: str, last: str, translation: str) -> str:
    """What stands between the translation of `piece`, whose last character is `last`, and the next `translation`.

    It is the white space that the piece ends with. But scripts differ: no space is put between Han and kana, and one
    between words of other scripts where the source's has none.
    """
    space = piece[len(piece.rstrip()) :]
    first = translation[:1]
    if space == " " and _HAN.match(last) and _HAN.match(first):
        return ""
    if not space and _IN_UNSPACED.match(piece[-1:]) and not any(map(_IN_UNSPACED.match, (last, first))):
        return " "
    return space
