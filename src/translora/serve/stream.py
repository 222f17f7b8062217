"""Long texts as a stream: each line, and of a long line each sentence, as soon as it is translated, in order.

Knows the order of the parts; knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

from translora.serve.engines import Options
from translora.serve.models import Pair, Served
from translora.serve.service import Service
from translora.serve.texts import Piece, pieces_of, written
from translora.translation.result import Translation
from translora.translation.segments import gap

WINDOW = 32
"""How many parts of one stream wait or are translated at a time: a reader that is slow holds no more than these."""


@dataclass(frozen=True)
class Part:
    """The next part of the translation of a text; the parts of a text put together are its whole translation."""

    index: int
    """The number of the text, from 0."""
    text: str
    score: float | None = None
    """The mean log-probability per token, where it was asked for and the part has a translated sentence."""
    cut: bool = False
    """Whether the translation of the sentence reached its limit."""


class _Line:
    """The sentences of one piece of a text, put together one at a time as `translation.segments.joined` does it."""

    def __init__(self, piece: Piece, sentences: Sequence[str]) -> None:
        self._piece, self._alone = piece, len(sentences) == 1
        self._tags = Counter(piece.tags)
        self._spaces, self._begun = "", False
        self._before, self._last = "", ""

    def next(self, sentence: str, translation: str) -> str:
        """What the translation of the next sentence adds to the text."""
        if not self._alone:
            whole = self._spaces + gap(self._before, self._last, translation) + translation
            self._before, self._last = sentence, translation.rstrip()[-1:] or self._last
            translation = whole.rstrip() if self._begun else whole.strip()
            self._spaces = whole[len(whole.rstrip()) :]
            self._begun = self._begun or bool(translation)
        return written(self._piece, self._tags, translation)


@dataclass(frozen=True)
class _Unit:
    """A sentence to translate, or where `line` is None the end of a text."""

    index: int
    before: str
    """The text before it that stays."""
    sentence: str = ""
    line: _Line | None = None


async def parts(
    service: Service, chosen: tuple[Served, Pair], texts: Sequence[str], options: Options, markup: bool
) -> AsyncGenerator[Part, None]:
    """The translations of `texts`, which were checked before, part by part; closed, it gives up what is under way.

    Raises `RefusalError` where the server is too busy, or takes too long.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + service.settings.limits.seconds
    waiting: deque[tuple[_Unit, asyncio.Task[list[Translation]]]] = deque()
    units = _units(await _cut(service, chosen, [pieces_of(text, markup) for text in texts]))
    try:
        while True:
            for unit in units:
                lines = [unit.sentence] if unit.line else []
                waiting.append((unit, asyncio.create_task(service.work(chosen, lines, options, until - loop.time()))))
                if len(waiting) == WINDOW:
                    break
            if not waiting:
                return
            unit, task = waiting[0]
            found = await task
            waiting.popleft()
            if unit.line:
                (one,) = found
                text = unit.before + unit.line.next(unit.sentence, one.text)
                yield Part(unit.index, text, one.score if options.scores else None, one.cut)
            elif unit.before:
                yield Part(unit.index, unit.before)
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)


_Cut = list[tuple[Piece, list[str]]]
"""The pieces of a text, each with its sentences where it is to be translated."""


async def _cut(service: Service, chosen: tuple[Served, Pair], texts: Sequence[Sequence[Piece]]) -> list[_Cut]:
    """The pieces of all texts with their sentences, as the translator cuts them."""
    served, pair = chosen
    translator = served.translators[pair]

    def cut() -> list[_Cut]:
        guard = translator.guard()
        lines = [piece.text for pieces in texts for piece in pieces if piece.translated]
        found = iter(translator.read(lines, guard))
        return [
            [(one, [part.plain for part in next(found).pieces] if one.translated else []) for one in pieces]
            for pieces in texts
        ]

    if served.shared:
        return await asyncio.to_thread(cut)
    return await asyncio.to_thread(service.batcher.exclusive, cut)  # tokenizers of language codes bear one thread


def _units(texts: Sequence[_Cut]) -> Iterator[_Unit]:
    """The sentences of all texts, each with the text before it that stays."""
    for index, pieces in enumerate(texts):
        before = ""
        for piece, sentences in pieces:
            if not piece.translated:
                before += piece.text
                continue
            line = _Line(piece, sentences)
            for sentence in sentences:
                yield _Unit(index, before, sentence, line)
                before = ""
        yield _Unit(index, before)
