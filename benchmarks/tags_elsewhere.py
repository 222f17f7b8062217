"""How other programs keep tags and placeholders, written again here so that all use the same model.

- Argos Translate, and so LibreTranslate's HTML: a text is translated without its tags, and the text inside each element
  apart, which is then searched for in it. Where one is not found, or elements are nested or empty, all texts between
  the tags are translated apart. Placeholders that are no tags are left to the model.
- Weblate: each placeholder becomes `[X0X]`, and what comes back of these is put back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from translora.tags import TAG, VOID, name_of
from translora.translation.protect import Marks, Protector

Engine = Callable[[list[str]], list[str]]
"""Translates texts, in order."""
_TAG = re.compile(f"({TAG})")
_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
_MARKS = Marks("[X", "X]", 1_000)
_SPACED = re.compile(r"\[X(\d+)X +\]")


def as_argos(engine: Engine, sources: Sequence[str]) -> list[str]:
    """Translations in which tags stand where the texts inside them were found."""
    cut = [_TAG.split(text) for text in sources]  # text, tag, text, ..., text
    texts = [text for parts in cut for text in ["".join(parts[::2]), *parts[::2]]]
    asked = list(dict.fromkeys(text.strip() for text in texts if any(map(str.isalnum, text))))
    known = dict(zip(asked, engine(asked), strict=True))

    def translate(text: str) -> str:
        before, core, after = _EDGES.fullmatch(text).groups()  # type: ignore[union-attr]
        return before + known.get(core, core) + after

    return [_searched(parts, translate) for parts in cut]


def _searched(parts: Sequence[str], translate: Callable[[str], str]) -> str:
    found = _injected(parts, translate) if _is_flat(parts) else None
    return "".join(part if i % 2 else translate(part) for i, part in enumerate(parts)) if found is None else found


def _is_flat(parts: Sequence[str]) -> bool:
    """Whether all tags are of elements that hold text alone."""
    starts, inner, ends = parts[1::4], parts[2::4], parts[3::4]
    return len(starts) == len(ends) and all(
        name_of(end) == "/" + name_of(start) and name_of(start).lower() not in VOID and text.strip()
        for start, text, end in zip(starts, inner, ends, strict=False)
    )


def _injected(parts: Sequence[str], translate: Callable[[str], str]) -> str | None:
    """The translation of the whole with its tags; None where the text of one is not in it, or two overlap."""
    whole = translate("".join(parts[::2]))
    inner = [translate(text) for text in parts[2::4]]
    result, done = "", 0
    for place, i in sorted((whole.find(text), i) for i, text in enumerate(inner)):
        if place < done:
            return None
        result += whole[done:place] + parts[4 * i + 1] + inner[i] + parts[4 * i + 3]
        done = place + len(inner[i])
    return result + whole[done:]


def as_weblate(engine: Engine, sources: Sequence[str]) -> list[str]:
    """Translations in which marks such as `[X0X]`, with a space or not, are put back; lost ones stay lost."""
    parts = [Protector(_MARKS).protect(text)[0] for text in sources]
    found = engine([part.text for part in parts])
    return [part.restore(_SPACED.sub(r"[X\1X]", text)) for part, text in zip(parts, found, strict=True)]
