"""Translations that keep what must survive: protected, checked, searched again, and at last put together from parts.

Which marks a model can copy is found out from its tokenizer. What translates is handed in as an `Engine`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from translora.config import DecodingConfig
from translora.data.placeholders import texts_of
from translora.data.tokens import encode
from translora.io.files import one_line
from translora.models.load import LoadedModel
from translora.models.t5.decode import Decoder
from translora.tags import edges_as_in
from translora.translation.decode import candidates, decode
from translora.translation.protect import PIECES, Marks, Protected, Protector, Span
from translora.translation.result import Placeholders, Translation
from translora.translation.segments import joined, sentences
from translora.translation.terms import TermMarks

_SPELLINGS = (("[X", "X]"), ("XX", "XX"), ("__", "__"))
"""Marks for models that were not taught any, the best first."""
_SPELT = 100
_TERM_SPELLINGS = (("[[", "]]"), ("((", "))"), ("**", "**"), ("##", "##"))
"""Marks around translations of terms, for vocabularies without pieces."""
_FEW = 8
"""A vocabulary of so few pieces has none to spare."""
_COPIED = 200
"""The longest original, in characters, that a model may copy which was taught no marks."""
_RETRY_BEAMS = 8
_ORDER: tuple[Placeholders, ...] = ("", "copied", "model", "retry", "repair")
_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)


Work = Callable[[Sequence[str], DecodingConfig, Callable[[int], None], bool], list[Translation]]
"""Translates texts as `translora.translation.decode.decode` does: texts, decoding, progress, scores."""
Candidates = Callable[[Sequence[str], DecodingConfig, bool], list[list[Translation]]]
"""Several translations of each text, the best first, or one where the engine gives no more: texts, decoding, scores."""


Cut = Callable[[str, Callable[[str], str]], list[list[str]]]
"""The sentences of a text, each in parts, of the text and what gives what the model reads of a part of it."""


class Engine(NamedTuple):
    """What translates texts."""

    work: Work
    candidates: Candidates


def engine_of(translator: LoadedModel, decoder: Decoder | None) -> Engine:
    """The engine that a model is, with the `decoder` that `make_decoder` gave for it."""
    return Engine(partial(decode, translator, decoder=decoder), partial(candidates, translator, decoder=decoder))


@dataclass(frozen=True)
class Reading:
    """How a line is read."""

    parts: int
    """How many parts it was cut into for want of marks; 1 for nearly every line."""
    sentences: int
    """How many sentences it was cut into, or 1; there are more pieces where a sentence has no end."""
    pieces: list[Protected]
    """The sentences, or parts of those without end, or the whole line."""
    text: str
    """What of it the model reads."""
    line: str = ""
    """The line itself, where the model reads something beside it."""

    @property
    def plain(self) -> str:
        """The line as it was."""
        return self.line or "".join(piece.plain for piece in self.pieces)


def with_context(reading: Reading, read: Callable[[str], str]) -> Reading:
    """A reading in which the model reads `read` of the line, if it is one piece without anything that must survive."""
    if len(reading.pieces) != 1 or reading.pieces[0].originals:
        return reading
    piece = reading.pieces[0]
    text = read(piece.text)
    return Reading(1, 1, [Protected(text, {}, piece.marks)], text, piece.text)


NOT_READ = Reading(1, 1, [], "")
"""The reading of a line that a translation memory has."""


class Guard:
    """Protects lines, and sees to it that what must survive is in their translations."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        language: str,
        patterns: Sequence[str] = (),
        on: bool = True,
        terms: bool = False,
    ) -> None:
        """With `on` false lines are as they are; `language` is the source's, `patterns` are the user's own.

        With `terms` the last two marks are left over for those of a glossary.

        Raises `ConfigError` for a pattern that is no regular expression.
        """
        self._tokenizer, self._language, self._on = tokenizer, language, on
        marks, self._trained = marks_of(tokenizer, terms) if on else (None, False)
        self._spelt = marks is not None and not self._trained
        self._protector = Protector(marks or PIECES, patterns)

    def spans(self, text: str) -> list[Span]:
        """Where what must survive lies in `text`, marks too; none where protection is off."""
        return self._protector.spans(text) if self._on else []

    def read(self, line: str, cut: Cut) -> Reading:
        """How `line` is read, cut by `cut`."""
        parts = self._protector.protect(line) if self._on else [Protected(line, {}, PIECES)]
        sentences = [(part, texts) for part in parts for texts in cut(part.text, partial(self._reads_of, part))]
        pieces = [part.part(text) for part, texts in sentences for text in texts]
        return Reading(len(parts), len(sentences), pieces, "".join(map(self._reads, pieces)))

    @property
    def mark(self) -> re.Pattern[str]:
        """Finds the marks in what is read."""
        return self._protector.marks.pattern

    def translate(
        self,
        pieces: Sequence[Protected],
        engine: Engine,
        decoding: DecodingConfig,
        progress: Callable[[int], None] = lambda lines: None,
        scores: bool = False,
    ) -> list[Translation]:
        """A translation of each of `pieces`, with everything in it that must survive."""
        texts = self.sent(pieces)
        first = engine.work(texts, decoding, progress, scores)
        progress(len(pieces) - len(texts))
        return self.checked(pieces, first, engine, decoding, scores)

    def sent(self, pieces: Sequence[Protected]) -> list[str]:
        """What the model reads of `pieces`: of those that hold nothing to translate, nothing."""
        return [self._reads(piece) for piece in pieces if not self._is_copied(piece)]

    def checked(
        self,
        pieces: Sequence[Protected],
        first: Sequence[Translation],
        engine: Engine,
        decoding: DecodingConfig,
        scores: bool = False,
    ) -> list[Translation]:
        """A translation of each of `pieces`, of those that the model gave `first` for what was `sent`.

        Where one lacks something that must survive, `engine` translates again.
        """
        rest = iter(first)
        found = [
            Translation(piece.restore(one_line(piece.text)), placeholders="copied" if piece.originals else "")
            if self._is_copied(piece)
            else self._checked(piece, next(rest))
            for piece in pieces
        ]
        results = dict(enumerate(found))
        for again in (self._again, self._by_sentence, self._repaired):
            lost = [i for i, one in results.items() if one is None]
            if lost:
                done = again([pieces[i] for i in lost], engine, decoding, scores)
                results |= dict(zip(lost, done, strict=True))
        return [one for one in results.values() if one is not None]

    def translate_lines(
        self, lines: Sequence[str], engine: Engine, decoding: DecodingConfig, progress: Callable[[int], None]
    ) -> list[Translation]:
        """A translation of each of `lines`, however long, as `translate` gives it."""
        readings = [self.read(line, lambda text, read: [[text]]) for line in lines]
        found = self.translate([piece for one in readings for piece in one.pieces], engine, decoding, progress)
        return self.together(readings, found)

    def together(self, readings: Sequence[Reading], found: Sequence[Translation]) -> list[Translation]:
        """One translation a line, of those of its pieces."""
        rest, results = iter(found), list[Translation]()
        for one in readings:
            group = list(islice(rest, len(one.pieces)))
            if len(group) > 1:
                text = joined([piece.text for piece in one.pieces], (part.text for part in group))
                group = [combined(text, group, self._tokenizer)]
            results += group
        return results

    def _is_copied(self, piece: Protected) -> bool:
        """Whether there is nothing to translate in `piece`: no letter beside what must survive."""
        return self._on and not _is_text(self._protector.marks.pattern.sub("", piece.text))

    def _reads(self, piece: Protected) -> str:
        """What the model reads first: a model that was taught no marks may copy short originals as they are."""
        return piece.text if self._marked(piece) else piece.plain

    def _reads_of(self, whole: Protected, text: str) -> str:
        """What the model reads of a part of `whole`."""
        return self._reads(whole.part(text))

    def _marked(self, piece: Protected) -> bool:
        """Whether the model reads marks in place of what must survive."""
        return self._trained or (self._spelt and any(len(one) > _COPIED for one in piece.originals.values()))

    def _checked(self, piece: Protected, one: Translation) -> Translation | None:
        """The translation with its originals, or None where one was lost; alternatives that lose one are left out."""
        if not piece.originals:
            return one
        best = self._whole(piece, one)
        if best is None:
            return None
        return replace(best, alternatives=tuple(filter(None, (self._whole(piece, next) for next in one.alternatives))))

    def _whole(self, piece: Protected, one: Translation) -> Translation | None:
        if self._marked(piece):
            return self._restored(piece, one, "model")
        return self._settled(piece, one, one.text, "model")

    def _restored(self, piece: Protected, one: Translation, how: Placeholders) -> Translation | None:
        """The translation with its originals, if all are in it, and none has grown together with what is beside it."""
        return self._settled(piece, one, piece.restore(one.text), how) if piece.kept_in(one.text) else None

    def _settled(self, piece: Protected, one: Translation, text: str, how: Placeholders) -> Translation | None:
        """`one` with `text`, its tags spaced as those of `piece`, if all that must survive is in it."""
        text = edges_as_in(piece.plain, text)
        return replace(one, text=text, placeholders=how) if self._protector.kept(piece.plain, text) else None

    def _again(
        self, pieces: Sequence[Protected], engine: Engine, decoding: DecodingConfig, scores: bool
    ) -> list[Translation | None]:
        """A wider search for the best translation that keeps all, with marks."""
        if not (self._trained or self._spelt):
            return [None] * len(pieces)
        wide = replace(decoding, beams=max(_RETRY_BEAMS, decoding.beams))
        every = engine.candidates([piece.text for piece in pieces], wide, scores)
        return [
            next(filter(None, (self._restored(piece, one, "retry") for one in several)), None)
            for piece, several in zip(pieces, every, strict=True)
        ]

    def _by_sentence(
        self, pieces: Sequence[Protected], engine: Engine, decoding: DecodingConfig, scores: bool
    ) -> list[Translation | None]:
        """The sentences of texts of several, each translated alone and kept whole as a text is; None for one sentence.

        Where each nests its tags as its source does, so does the whole.
        """
        results: list[Translation | None] = []
        for piece in pieces:
            parts = [piece.part(text) for text in sentences(piece.text, self._language, lambda text: True)]
            if len(parts) == 1:
                results.append(None)
                continue
            group = self.translate(parts, engine, decoding, scores=scores)
            text = joined([part.text for part in parts], (one.text for one in group))
            results.append(combined(text, group, self._tokenizer, "retry"))
        return results

    def _repaired(
        self, pieces: Sequence[Protected], engine: Engine, decoding: DecodingConfig, scores: bool
    ) -> list[Translation]:
        """The texts between what must survive translated apart, and put together in the order of the source."""
        runs = [piece.runs(piece.text) for piece in pieces]
        texts = [text for row in runs for text in row[::2] if _is_text(text)]
        found = iter(engine.work([text.strip() for text in texts], decoding, lambda lines: None, scores))
        results = []
        for piece, row in zip(pieces, runs, strict=True):
            parts, group = list[str](), list[Translation]()
            for i, text in enumerate(row):
                if i % 2 or not _is_text(text):
                    parts.append(piece.originals[text] if i % 2 else _spaced(text))
                    continue
                group.append(next(found))
                parts.append(_in_place(text, self._protector.without(group[-1].text)))
            results.append(combined("".join(parts).strip(), group, self._tokenizer, "repair"))
        return results


def marks_of(tokenizer: PreTrainedTokenizerBase, terms: bool = False) -> tuple[Marks | None, bool]:
    """The marks for texts of a model, and whether its vocabulary has them; None where no spelling survives.

    A spelling survives where encoding and decoding give the text back. Sentinels (`<extra_id_0>`) are never taken:
    they mean something else to the models that have them. With `terms` the last two pieces are those of `term_marks`.
    """
    known = _pieces(tokenizer)
    pieces = Marks(PIECES.before, PIECES.after, known - 2 if terms and known > _FEW else known)
    if pieces.count and survives(pieces, tokenizer):
        return pieces, True
    spelt = (Marks(before, after, _SPELT) for before, after in _SPELLINGS)
    return next((marks for marks in spelt if survives(marks, tokenizer)), None), False


def term_marks(tokenizer: PreTrainedTokenizerBase) -> TermMarks | None:
    """The marks around the translation of a term: the last two pieces of a vocabulary, else signs; None where none do.

    Signs do where encoding and decoding give them back.
    """
    known = _pieces(tokenizer)
    spelt = [TermMarks(PIECES[known - 2], PIECES[known - 1])] if known > _FEW else []
    for marks in [*spelt, *(TermMarks(before, after) for before, after in _TERM_SPELLINGS)]:
        texts = [f"a b {marks.before} c d {marks.after} e.", f"a {marks.before} b {marks.after}."]
        if texts_of(encode(texts, tokenizer), tokenizer) == texts:
            return marks
    return None


def _pieces(tokenizer: PreTrainedTokenizerBase) -> int:
    """How many pieces for placeholders a vocabulary has."""
    vocabulary = tokenizer.get_vocab()
    return next(i for i in count() if PIECES[i] not in vocabulary)


def survives(marks: Marks, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether texts with `marks` are the same after encoding and decoding."""
    first, last = marks[0], marks[marks.count - 1]
    texts = [f"a {first} b", f"a{last}b", f"{first}a {last}.", f'"{last}"', f"({first}, {last})"]
    return texts_of(encode(texts, tokenizer), tokenizer) == texts


def combined(
    text: str,
    group: Sequence[Translation],
    tokenizer: PreTrainedTokenizerBase,
    placeholders: Placeholders = "",
) -> Translation:
    """One translation, `text`, of the translations of its parts: the mean of their scores, weighted by their tokens."""
    scored = [(one.score, len(tokenizer(text_target=one.text)["input_ids"])) for one in group]
    known = [(score, tokens) for score, tokens in scored if score is not None]
    total = sum(tokens for _, tokens in known)
    score = sum(score * tokens for score, tokens in known) / total if total else None
    cut = next((one for one in group if one.cut), Translation("")).cut_by
    worst = max((placeholders, *(one.placeholders for one in group)), key=_ORDER.index)
    return Translation(text, score, cut, any(one.source_cut for one in group), placeholders=worst)


def _is_text(text: str) -> bool:
    return any(map(str.isalpha, text))


def _spaced(text: str) -> str:
    """`text` without line breaks, its spaces at the edges kept."""
    inner = one_line(f"|{text}|")
    return inner[1:-1]


def _in_place(source: str, translation: str) -> str:
    """The translation of a part of a sentence, with the spaces of the part, and without a full stop that it lacks.

    A part of which the model makes nothing stays as it is.
    """
    edges = _EDGES.fullmatch(source)
    assert edges is not None
    if edges[2][-1].isalnum() and translation.endswith(".") and not translation.endswith(".."):
        translation = translation[:-1]
    return _spaced(edges[1]) + (one_line(translation) or edges[2]) + _spaced(edges[3])
