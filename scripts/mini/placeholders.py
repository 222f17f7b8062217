"""Plain text and placeholders of interface strings: what differs by program becomes one form.

`plain` removes what no reader sees (accelerators, entities, runs of white space). `protected` puts the pieces `<ph0>`
to `<ph31>` in place of placeholders, tags and addresses, the same piece on both sides of a pair, so that a model
learns to copy them to the right place.
"""

from __future__ import annotations

import html
import random
import re
from collections import Counter

from build_tatoeba import Pair

COUNT = 32
"""How many placeholder pieces the vocabulary has."""
PIECES = [f"<ph{number}>" for number in range(COUNT)]

_BRANDS = {
    "-brand-short-name": "Firefox", "-brand-product-name": "Firefox", "-brand-full-name": "Mozilla Firefox",
    "-brand-shorter-name": "Firefox", "-vendor-short-name": "Mozilla",
}  # fmt: skip
_BRAND = re.compile(rf"\{{ ?({'|'.join(_BRANDS)})(?:\([^()]*\))? ?\}}")
_PLACEHOLDER = re.compile(
    r"""</?[A-Za-z][^<>]*>                      # <b>, </a>, <img src="...">
    | \{\{[^{}]*\}\} | \$?\{[^{}]*\}            # {{name}}, {name}, { $count }, ${name}
    | %\d+\$[a-zA-Z] | %[A-Z_]{4,}%? | %[a-zA-Z](?![a-zA-Z]) | %\d+   # %1$S, %PRODUCTNAME, %s, %1
    | \$\(\w+\) | \$\w+\$ | \$\d | \#\d(?!\d)   # $(ARG1), $name$, $1, #1
    | https?://[^\s<>"()]*[\w/]                 # addresses""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"(?<![\w.,:/<$%#-])\d+(?![\w%]|[.,:/-]\d)")
_NAME = re.compile(r"(?<![\w<-])[A-Z][a-zäöü]{2,}(?![\w>-])")


def plain(text: str, accelerators: str = "") -> str:
    """`text` without the marks in `accelerators` (such as `_` in "_Open") and entities, with single spaces."""
    for mark in accelerators:
        text = re.sub(rf"\({mark}\w\)|{mark}(?=\w)", "", text) if text.count(mark) == 1 else text
    text = re.sub(r"&#?\w+;", lambda entity: html.unescape(entity[0]), text)
    text = re.sub(r'\{ ?"([^"]*)" ?\}', r"\1", text)  # Fluent's quoted text
    text = _BRAND.sub(lambda brand: _BRANDS[brand[1]], text)
    return " ".join(text.replace("%PRODUCTNAME", "LibreOffice").split())


def protected(pair: Pair, numbers: float = 0.0, names: float = 0.0) -> Pair | None:
    """`pair` with pieces for its placeholders, or None where its two sides have different ones.

    With probability `numbers`, the numbers that both sides hold become pieces too, with probability `names` a name
    that both hold. Where either is above 0, half of the pairs count from a random piece, so that each is met. What is
    drawn depends on the pair alone.
    """
    draw = random.Random("\t".join(pair))
    found = [Counter(_PLACEHOLDER.findall(side)) for side in pair]
    if found[0] != found[1] or len(found[0]) > COUNT:
        return None
    patterns = [_PLACEHOLDER]
    if draw.random() < numbers:
        patterns.append(_shared(pair, _NUMBER))
    if draw.random() < names:
        shared = sorted(set(_shared_words(pair, _NAME)))
        patterns.append(re.compile(rf"\b{shared[0]}\b" if shared else "(?!)"))
    start = draw.randrange(COUNT) if (numbers or names) and draw.random() < 0.5 else 0
    pieces: dict[str, str] = {}
    pattern = re.compile("|".join(f"(?:{one.pattern}\n)" for one in patterns), re.VERBOSE)
    sides = [
        pattern.sub(lambda match: pieces.setdefault(match[0], PIECES[(start + len(pieces)) % COUNT]), side)
        for side in pair
    ]
    return None if len(pieces) > COUNT else (sides[0], sides[1])


def _shared_words(pair: Pair, pattern: re.Pattern[str]) -> list[str]:
    """What `pattern` finds on both sides, equally often, outside of placeholders."""
    counts = [Counter(pattern.findall(_PLACEHOLDER.sub(" ", side))) for side in pair]
    return [word for word, count in counts[0].items() if counts[1][word] == count]


def _shared(pair: Pair, pattern: re.Pattern[str]) -> re.Pattern[str]:
    """A pattern for those of the words of `pattern` that both sides hold equally often."""
    words = _shared_words(pair, pattern)
    return re.compile("|".join(rf"(?<![\w.,:/<$%#-]){word}(?![\w%]|[.,:/-]\d)" for word in words) or "(?!)")
