"""Hypotheses and references to scores with signatures, by sacreBLEU (Post 2018). Knows texts only, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from translora.errors import DataError


@dataclass(frozen=True)
class Score:
    """One metric over a corpus."""

    score: float
    """On sacreBLEU's scale of 0 to 100 (TER: 0 is best, and it may pass 100)."""
    signature: str
    """sacreBLEU's signature: what another must do to get the same figure."""


@dataclass(frozen=True)
class Scores:
    """Corpus BLEU (Papineni et al. 2002), chrF2++ (Popović 2017) and TER (Snover et al. 2006)."""

    bleu: Score
    chrf: Score
    ter: Score
    pairs: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def bleu_tokenizer(target: str) -> str:
    """SacreBLEU's tokenizer for a target language: 13a, except where words are not set apart by spaces."""
    return {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}.get(target.split("-")[0].lower(), "13a")


def bleu(hypotheses: Sequence[str], references: Sequence[str], target: str) -> Score:
    """Corpus BLEU on detokenised text; raises `DataError` where the two differ in length or are empty."""
    from sacrebleu.metrics import BLEU

    _check(hypotheses, references)
    return _score(BLEU(tokenize=bleu_tokenizer(target)), hypotheses, references)


def evaluate(hypotheses: Sequence[str], references: Sequence[str], target: str) -> Scores:
    """All three metrics; raises `DataError` where the two differ in length or are empty."""
    from sacrebleu.metrics import CHRF, TER

    first = bleu(hypotheses, references, target)
    chrf = _score(CHRF(word_order=2), hypotheses, references)
    return Scores(first, chrf, _score(TER(), hypotheses, references), len(hypotheses))


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise DataError(f"{len(hypotheses)} hypotheses for {len(references)} references: they must pair up")
    if not hypotheses:
        raise DataError("nothing to score: there are no pairs")


def _score(metric: Any, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    result = metric.corpus_score(list(hypotheses), [list(references)])
    return Score(float(result.score), str(metric.get_signature()))
