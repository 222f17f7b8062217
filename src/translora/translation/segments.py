"""Long lines as sentences: cut where one ends, and put together again with the spaces that were between them.

Knows sentences and spaces; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import sentencex

from translora.languages import subtags


def sentences(line: str, language: str, is_long: Callable[[str], bool]) -> list[str]:
    """`line` alone, or where it is long its sentences; put together they are `line` again.

    The spaces after a sentence belong to it. Sentences are told by sentencex and the rules of `language`, those of
    English where it has none for it.
    """
    if not is_long(line):
        return [line]
    found = list(sentencex.segment(subtags(language)[0], line))
    return found if "".join(found) == line and len(found) > 1 else [line]


def joined(pieces: Sequence[str], translations: Iterable[str]) -> str:
    """The `translations` of `pieces`, with the spaces that each piece ends with in between."""
    parts = [text + piece[len(piece.rstrip()) :] for piece, text in zip(pieces, translations, strict=True)]
    return "".join(parts).strip()
