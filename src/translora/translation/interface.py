"""Interface strings: accelerators (`&Open`), and ICU messages with plural forms, whose branches are translated.

Knows texts; what translates is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from translora.translation.protect import Protector, Span
from translora.translation.result import Translation

_ACCELERATOR = re.compile(r"&(?=[^\W\d_])(?!\w{1,31};)")
_HEAD = re.compile(r"\{\s*[\w.-]+\s*,\s*(?:plural|select|selectordinal)\s*,\s*(?:offset:\s*\d+\s*)?")
_BRANCH = re.compile(r"\s*(?:=\d+|[\w-]+)\s*\{")
_QUOTED = re.compile(r"'[{}#|]")
_NUMBER, _NUMBER_MARK = re.compile(r"(?<!\{)#(?!\})"), "{#}"
"""The number in a branch of a plural, and the placeholder that stands for it meanwhile."""
_NAMES = [f"{{icu_message_{letter}}}" for letter in "abcdefghijklmnop"]
"""The placeholders that stand for messages meanwhile."""
_END = re.compile(r"[\s.:\u2026\u3002\uff1a]*\Z")
_PROTECTOR = Protector()


@dataclass(frozen=True)
class Message:
    """An ICU message inside a text."""

    start: int
    end: int
    branches: tuple[Span, ...]
    """Where the texts of its branches are."""


def messages(text: str) -> Iterator[Message]:
    """The ICU messages of a text, without those inside others; one with quoted braces is left as it is."""
    at = 0
    while head := _HEAD.search(text, at):
        found = _message(text, head)
        at = found.end if found else head.end()
        if found and found.branches and not _QUOTED.search(text, found.start, found.end):
            yield found


def skeleton(text: str) -> str:
    """A text whose messages lack the texts of their branches."""
    for message in reversed(list(messages(text))):
        for start, end in reversed(message.branches):
            text = text[:start] + text[end:]
    return text


def _message(text: str, head: re.Match[str]) -> Message | None:
    branches, at = [], head.end()
    while branch := _BRANCH.match(text, at):
        end = _closing(text, branch.end())
        if end < 0:
            return None
        branches.append((branch.end(), end))
        at = end + 1
    end = at + len(text[at:]) - len(text[at:].lstrip())
    return Message(head.start(), end + 1, tuple(branches)) if text[end : end + 1] == "}" else None


def _closing(text: str, start: int) -> int:
    """The place of the brace that closes what begins at `start`; -1 without one."""
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return place
    return -1


def accelerator(text: str) -> int:
    """The place of the `&` of an accelerator; -1 where a text has none, or any other `&`.

    It stands before a word, or before a small letter inside one: `AT&T` and `Q&A` have none.
    """
    if text.count("&") != 1:
        return -1
    found = _ACCELERATOR.search(text)
    if not found or any(start <= found.start() < end for start, end in _PROTECTOR.spans(text)):
        return -1
    inside, after = text[: found.start()][-1:].isalnum(), text[found.end()]
    return -1 if inside and not after.islower() else found.start()


def with_accelerator(text: str, letter: str) -> str:
    """`text` with a `&`: before `letter` where a word begins with it or holds it, else before its first letter.

    A text in a script without capitals gets it in brackets at its end, as is usual there: `ファイル(&F)`.
    """
    spans = _PROTECTOR.spans(text)
    free = [i for i, one in enumerate(text) if one.isalpha() and not any(start <= i < end for start, end in spans)]
    cased = [i for i in free if text[i].lower() != text[i].upper()]
    if not cased:
        end = _END.search(text)
        place = end.start() if end else len(text)
        return f"{text[:place]}(&{letter.upper()}){text[place:]}" if text else text
    same = [i for i in cased if text[i].casefold() == letter.casefold()]
    begins = [i for i in same if not text[:i][-1:].isalnum()]
    place = (begins or same or cased)[0]
    return f"{text[:place]}&{text[place:]}"


class Strings:
    """Lines as they are translated: without accelerators, which are put back, as are the branches of messages."""

    def __init__(self, lines: Sequence[str], on: bool = True) -> None:
        """With `on` false lines are as they are."""
        self._letters: dict[int, str] = {}
        self._messages: dict[int, tuple[str, list[Message]]] = {}
        self.texts = list(lines)
        """What is translated in place of each line."""
        for i, line in enumerate(lines if on else ()):
            if "&" in line and (place := accelerator(line)) >= 0:
                self._letters[i] = line[place + 1]
                self.texts[i] = line[:place] + line[place + 1 :]
            if "{" in line and (found := list(messages(self.texts[i]))) and len(found) <= len(_NAMES):
                self._messages[i] = self.texts[i], found
                self.texts[i] = _shortened(self.texts[i], found)

    def completed(
        self, found: Sequence[Translation], translate: Callable[[list[str]], list[Translation]]
    ) -> list[Translation]:
        """The translations of the lines, with what belongs in them; `translate` translates branches."""
        results = list(found)
        for i, letter in self._letters.items():
            if results[i].origin == "model" and "&" not in results[i].text:
                results[i] = replace(results[i], text=with_accelerator(results[i].text, letter))
        chosen = {i: self._messages[i] for i in self._messages if results[i].origin == "model"}
        spans = ((whole, span) for whole, every in chosen.values() for one in every for span in one.branches)
        wanted = [text for text in dict.fromkeys(_branch(*one) for one in spans) if any(map(str.isalpha, text))]
        known = dict(zip(wanted, translate(wanted), strict=True)) if wanted else {}
        for i, (whole, every) in chosen.items():
            results[i] = _rebuilt(whole, every, results[i], known)
        return results


def _shortened(text: str, every: Sequence[Message]) -> str:
    """`text` with a placeholder in place of each message."""
    for name, message in reversed(list(zip(_NAMES, every, strict=False))):
        text = text[: message.start] + name + text[message.end :]
    return text


def _branch(whole: str, span: Span) -> str:
    """What is translated of a branch."""
    return _NUMBER.sub(_NUMBER_MARK, whole[slice(*span)].strip())


def _rebuilt(whole: str, every: Sequence[Message], one: Translation, known: dict[str, Translation]) -> Translation:
    """A translation with its messages, of which the branches are translated and the skeletons stay."""
    text, scores = one.text, [one.score]
    for name, message in zip(_NAMES, every, strict=False):
        parts, at = [], message.start
        for start, end in message.branches:
            if found := known.get(_branch(whole, (start, end))):
                inner = whole[start:end]
                before, after = inner[: len(inner) - len(inner.lstrip())], inner[len(inner.rstrip()) :]
                parts += [whole[at:start], before, _unquoted(found.text), after]
                scores.append(found.score)
                at = end
        text = text.replace(name, "".join([*parts, whole[at : message.end]]))
    return replace(one, text=text, score=min((score for score in scores if score is not None), default=None))


def _unquoted(branch: str) -> str:
    """A translated branch, in which no apostrophe begins a quotation of ICU's."""
    text = branch.replace(_NUMBER_MARK, "#")
    return _QUOTED.sub(lambda found: "'" + found[0], text)
