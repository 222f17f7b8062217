"""What a translation must keep as it is: placeholders, tags, addresses, escapes; found, replaced by marks, put back.

Knows texts and marks; knows nothing of models. `protect` and `restore` lose nothing: put back, a text is what it was.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from translora.errors import ConfigError
from translora.tags import TAG, same_tags

_BUILT_IN = re.compile(
    r"""(?P<url>(?:https?|ftp|file)://(?:\{[^{}\s]{1,80}\}|[^\s<>"'{}|\\^`])*(?:\}|[\w/=&\#~+-])
        | \bwww\.[\w-]+\.[^\s<>"'{}|\\^`]*[\w/])
    | (?P<path>(?<!\w)[A-Za-z]:\\[\w.\\-]*\w)
    | (?P<email>(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+)
    | (?P<tag>@TAG@)
    | (?P<comment><!--[^<>]*-->)
    | (?P<entity>&(?:[A-Za-z][A-Za-z0-9]{1,31}|\#\d{1,7}|\#[xX][0-9A-Fa-f]{1,6});)
    | (?P<braces>\{\{\{[^{}]{1,200}\}\}\} | \{\{[^{}]{0,200}\}\} | \{%[^{}]{1,200}%\}
        | [$\#%@]?\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})
    | (?P<percent>%% | (?:%[0-9A-F]{2}){2,}
        | %\([\w .-]{1,80}\)[-+\#0]*\d*(?:\.\d+)?[a-zA-Z]
        | %\d{1,2}\$[-+\#0]*\d*(?:\.\d+)?(?:hh|ll|[hlLqjzt])?[a-zA-Z@]
        | %[-+\#0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|ll|[hlLqjzt])?[diouxXeEfFgGaAcCsSpn@](?![A-Za-z])
        | (?<!\d)%[ds]
        | %[A-Za-z_]\w*% | %[A-Z][A-Z0-9_]{2,}(?![a-z]) | %L?\d{1,2})
    | (?P<dollar>\$[A-Z]{1,3}\$\d+ | \$\([\w.]{1,80}\) | \$[A-Za-z_]\w*\$? | \$\d{1,2}(?![\w.,]*\d) | \#\d{1,2}(?!\w))
    | (?P<weblate>\[X\d{1,6}X\])
    | (?P<escape>\\(?:[nrtbfv0\\"']|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}))""".replace("@TAG@", TAG),
    re.VERBOSE,
)
_HINT = re.compile(r"[<&{%$#@\\]|://|www\.|\[X\d")
"""Every built-in match holds one of these: most texts hold none, and are told from the others fast."""

Span = tuple[int, int]
"""Start and end of a part of a text."""


@dataclass(frozen=True)
class Marks:
    """How marks are written: `before`, a number from 0 to below `count`, `after`.

    No mark may begin as another one ends, so that marks and text never make up a mark together.
    """

    before: str
    after: str
    count: int

    def __getitem__(self, number: int) -> str:
        return f"{self.before}{number}{self.after}"

    @property
    def pattern(self) -> re.Pattern[str]:
        """Finds marks, those of higher numbers too."""
        return re.compile(rf"{re.escape(self.before)}\d+{re.escape(self.after)}")


PIECES = Marks("<ph", ">", 32)
"""The marks that the embedded base has in its vocabulary."""


@dataclass(frozen=True)
class Protected:
    """A text, or a part of one, with marks in place of what must survive."""

    text: str
    originals: Mapping[str, str]
    """What each mark stands for."""
    marks: Marks

    def restore(self, text: str) -> str:
        """`text` with the originals for its marks; a mark that stands for nothing is dropped."""
        return self.marks.pattern.sub(lambda mark: self.originals.get(mark[0], ""), text) if self.originals else text

    @property
    def plain(self) -> str:
        """The text as it was."""
        return self.restore(self.text)

    def part(self, text: str) -> Protected:
        """The same for a piece of the text, such as a sentence."""
        marks = self.marks.pattern.findall(text) if self.originals else []
        return Protected(text, {mark: self.originals[mark] for mark in marks}, self.marks)

    def runs(self, text: str) -> list[str]:
        """`text` cut at its marks: text, mark, text, ..., text."""
        return re.split(f"({self.marks.pattern.pattern})", text)

    def kept_in(self, text: str) -> bool:
        """Whether `text` has the marks that this text has, as often, and its tags are nested as they are here."""
        found, wanted = self.marks.pattern.findall(text), self.marks.pattern.findall(self.text)
        before, after = ([self.originals.get(mark, "") for mark in marks] for marks in (wanted, found))
        return same_tags(before, after)


class Protector:
    """Finds what must survive; `patterns` of the user's are found beside the built-in ones."""

    def __init__(self, marks: Marks = PIECES, patterns: Sequence[str] = ()) -> None:
        """Raises `ConfigError` for a pattern that is no regular expression."""
        self.marks = marks
        self._patterns = [_compiled(pattern) for pattern in patterns]

    def spans(self, text: str) -> list[Span]:
        """Where what must survive lies in `text`, in order; matches that overlap are one."""
        found = list[Span]()
        if _HINT.search(text):
            found = [match.span() for match in _BUILT_IN.finditer(text) if not _is_letter(match)]
        own = [self.marks.pattern] if self.marks.before in text else []
        for pattern in (*self._patterns, *own):
            found += [match.span() for match in pattern.finditer(text) if match[0].strip()]
        merged: list[Span] = []
        for start, end in sorted(found):
            if merged and start < merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return merged

    def found(self, text: str) -> list[str]:
        """What must survive, in order."""
        return [text[start:end] for start, end in self.spans(text)]

    def protect(self, text: str) -> list[Protected]:
        """`text` with marks, the same mark for the same string, counted in order of appearance.

        It is one part, or where it holds more different strings than there are marks several, which make up the text.
        """
        parts, pieces = list[Protected](), list[str]()
        numbers, done = dict[str, str](), 0
        for start, end in self.spans(text):
            pieces.append(text[done:start])
            original, done = text[start:end], end
            if original not in numbers and len(numbers) == self.marks.count:
                parts.append(self._part(pieces, numbers))
                pieces, numbers = [], {}
            pieces.append(numbers.setdefault(original, self.marks[len(numbers)]))
        return [*parts, self._part([*pieces, text[done:]], numbers)]

    def _part(self, pieces: list[str], numbers: dict[str, str]) -> Protected:
        return Protected("".join(pieces), {mark: original for original, mark in numbers.items()}, self.marks)

    def without(self, text: str) -> str:
        """`text` without anything that would be protected."""
        for start, end in reversed(self.spans(text)):
            text = text[:start] + text[end:]
        return text

    def kept(self, source: str, translation: str) -> bool:
        """Whether what must survive of `source` is in `translation`, as often, no more and no less, tags nested."""
        return same_tags(self.found(source), self.found(translation))


def _is_letter(match: re.Match[str]) -> bool:
    """Whether a match is an entity that stands for a letter, as in `Gr&uuml;n`: it belongs to a word."""
    return match.lastgroup == "entity" and html.unescape(match[0]).isalpha()


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"pattern {pattern!r}: no regular expression ({error}): see Python's module re") from error
