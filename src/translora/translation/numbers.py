"""Numbers of a text and of its translation, however each language writes them: `1,000.5` and `1.000,5` are one.

Knows texts; knows nothing of models.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal

_SPACES = " \u00a0\u2009\u202f"
_NUMBER = re.compile(rf"\d{{1,3}}(?:[{_SPACES}]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,'\u2019:/\u066b\u066c-]\d+)*")
_SEPARATOR = re.compile(r"[^\d]")
_DECIMAL_POINTS = ".,\u066b"
_TIME = re.compile(r"(1[3-9]|2[0-3]):\d\d")
_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{2,4}|\d{4}-\d{1,2}-\d{1,2}")


def numbers(text: str) -> list[str]:
    """The numbers of a text as they are written, in order; parts of a date or of a time are one."""
    return [found[0] for found in _NUMBER.finditer(text)]


def lost_numbers(source: str, translation: str) -> list[str]:
    """The numbers of `source` that are not in `translation`, as often as they are missing.

    Separators of thousands and decimals may differ, and digits may be those of another script. Of what is no single
    number, such as a date, a time or a version, the parts must be there; the month of a date may be a word, and the
    hour of a time may be counted to twelve.
    """
    rest = numbers(translation)
    unmatched = []
    for number in numbers(source):
        found = next((other for other in rest if number == other or values(number) & values(other)), None)
        if found is None:
            unmatched.append(number)
        else:
            rest.remove(found)
    parts = Counter(int(part) for number in rest for part in _SEPARATOR.split(number))
    lost = []
    for number in unmatched:
        form = next((form for form in _forms(number) if form <= parts), None) if not values(number) else None
        if form is None:
            lost.append(number)
        else:
            parts -= form
    return lost


def values(number: str) -> set[Decimal]:
    """The values that a number may have: `1.000` is a thousand in German and one in English."""
    groups, separators = _SEPARATOR.split(number), _SEPARATOR.findall(number)
    if not separators:
        return {Decimal(int(number))}
    found = set()
    if _is_grouped(groups) and len(set(separators)) == 1 and separators[0] not in ":/-":
        found.add(Decimal(int("".join(groups))))
    whole, point = groups[:-1], separators[-1]
    if point in _DECIMAL_POINTS and point not in separators[:-1] and (len(whole) == 1 or _is_grouped(whole)):
        found.add(Decimal(int("".join(whole))) + Decimal(int(groups[-1])).scaleb(-len(groups[-1])))
    return found


def _is_grouped(groups: list[str]) -> bool:
    """Whether groups of digits are those of one number: of three digits, or, before the last, of two as in India."""
    first, *inner, last = groups
    return len(first) <= 3 and len(last) == 3 and all(len(one) in (2, 3) for one in inner)


def _forms(number: str) -> list[Counter[int]]:
    """The parts that must be there of a number that is written in another form; `14:30` may be `2:30`."""
    parts = [int(part) for part in _SEPARATOR.split(number)]
    if _DATE.fullmatch(number):
        del parts[1]
    forms = [Counter(parts)]
    if _TIME.fullmatch(number):
        forms.append(Counter([parts[0] - 12, *parts[1:]]))
    return forms
