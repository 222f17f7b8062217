"""Hypotheses and references to scores with signatures, by sacreBLEU (Post 2018). Knows texts only, no model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from translora.errors import DataError
from translora.io import console
from translora.languages import is_unspaced, require_code

METRICS = {"bleu": "BLEU", "chrf": "chrF2++", "ter": "TER"}
"""The metrics by the names of `Scores`, as they are written."""

_SAMPLES = 1000
_BATCH = 16
_LOOKED_AT = 200
"""References by which their script is told."""


@dataclass(frozen=True)
class Score:
    """One metric over a corpus."""

    score: float
    """On sacreBLEU's scale of 0 to 100 (TER: 0 is best, and it may pass 100)."""
    signature: str
    """sacreBLEU's signature: all that is needed to get the same figure again."""
    interval: tuple[float, float]
    """The 95% confidence interval, by bootstrap resampling of the pairs (1,000 samples)."""

    @classmethod
    def around(cls, score: Any, signature: str, middle: Any, half: Any) -> Score:
        """A score whose interval has the given middle and half width."""
        return cls(float(score), signature, (float(middle) - float(half), float(middle) + float(half)))


def with_interval(score: float, interval: Sequence[float]) -> str:
    """A score and half of its confidence interval, to show."""
    return f"{score:.1f} ± {(interval[1] - interval[0]) / 2:.1f}"


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


_BY_SCRIPT = {"Hans": "zh", "Hant": "zh", "Hani": "zh", "Jpan": "ja-mecab", "Kore": "ko-mecab"}
_BY_PIECES = {"Thai", "Laoo", "Khmr", "Mymr", "Tibt"}
_EXTRAS = {"ja-mecab": "ja", "ko-mecab": "ko"}


def bleu_tokenizer(target: str) -> str:
    """SacreBLEU's tokenizer for a target language, by its usual script: 13a for scripts that space their words.

    Thai, Lao, Khmer, Burmese and Tibetan take `flores200` where its model is on disk, else `char`, which is said.

    Raises `ConfigError` for a name that is no language code.
    """
    script = require_code(target).script
    return _pieces_or_characters() if script in _BY_PIECES else _BY_SCRIPT.get(script, "13a")


@cache
def _pieces_or_characters() -> str:
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    url = SPM_MODELS["flores200"]["url"]
    model = Path(SACREBLEU_DIR, "models", url.rpartition("/")[2])
    if model.is_file():
        return "flores200"
    console.notice(
        f"BLEU counts characters (tok:char): the model of sacreBLEU's tokenizer flores200 is not on disk; "
        f"to count its pieces, save {url} as {model}"
    )
    return "char"


def require_tokenizer(target: str) -> None:
    """Raise `DataError` where BLEU for a target language needs a tokenizer that is not installed."""
    from sacrebleu.metrics import BLEU

    tokenizer = bleu_tokenizer(target)
    try:
        BLEU(tokenize=tokenizer)
    except (ImportError, RuntimeError, OSError) as error:
        if tokenizer in _EXTRAS:
            way = f"needs MeCab to find words: pip install 'translora[{_EXTRAS[tokenizer]}]'"
        else:
            way = f"cannot load sacreBLEU's tokenizer {tokenizer} ({error}): delete its model"
        raise DataError(f"BLEU of {target} {way}") from error


def _warn_of_other_script(target: str, references: Sequence[str]) -> None:
    """Say so where the tokenizer looks for spaces that the references do not have."""
    if bleu_tokenizer(target) == "13a" and is_unspaced(" ".join(references[:_LOOKED_AT])):
        console.notice(
            f"BLEU: the references are in a script without spaces between words, but are counted as {target} "
            f"(tok:13a): name their language as the target, such as --target zh, ja or th"
        )


def metrics(target: str, references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """SacreBLEU's metrics with the settings that are used here, by the names of `Scores`, ready for `references`.

    `references` holds one list per set of references.
    """
    from sacrebleu.metrics import BLEU, CHRF, TER

    lists = [list(lines) for lines in references]
    require_tokenizer(target)
    _warn_of_other_script(target, lists[0])
    return {
        "bleu": BLEU(tokenize=bleu_tokenizer(target), references=lists),
        "chrf": CHRF(word_order=2, references=lists),
        "ter": TER(references=lists),
    }


def bleu(hypotheses: Sequence[str], references: Sequence[str], target: str) -> float:
    """Corpus BLEU on detokenised text; raises `DataError` where the two differ in length or are empty."""
    from sacrebleu.metrics import BLEU

    check_pairs(hypotheses, references)
    return float(BLEU(tokenize=bleu_tokenizer(target)).corpus_score(list(hypotheses), [list(references)]).score)


def evaluate(hypotheses: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]], target: str) -> Scores:
    """BLEU, chrF2++ and TER of `hypotheses`, detokenised texts in the language `target` (a code).

    `references` holds one reference per hypothesis, or, as sacreBLEU takes them, one list per set of references.

    Raises `DataError` where the lists differ in length or are empty.
    """
    from sacrebleu.significance import PairedTest

    sets = reference_sets(references)
    check_pairs(hypotheses, *sets)
    chosen = metrics(target, sets)
    signatures = [str(metric.get_signature()) for metric in chosen.values()]  # of the score, without the samples
    _, results = PairedTest([("system", list(hypotheses))], chosen, None, "bs", _SAMPLES)()
    found = [result for name, (result,) in results.items() if name != "System"]
    bleu, chrf, ter = (Score.around(a.score, name, a.mean, a.ci) for a, name in zip(found, signatures, strict=True))
    return Scores(bleu, chrf, ter, pairs=len(hypotheses))


def explain_bleu(hypotheses: Sequence[str], references: Sequence[str], target: str) -> list[tuple[float, str]]:
    """BLEU of the same translations by other ways of counting that are in use, each with its description.

    From corpus BLEU, step by step, to what the course lesson prints: the mean over one batch of 16 of sentence BLEU on
    words split at spaces.
    """
    from sacrebleu.metrics import BLEU

    check_pairs(hypotheses, references)
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)  # it warns of what is shown here on purpose
    words = BLEU(tokenize="none", smooth_method="none")
    sentences = [words.sentence_score(a, [b]).score for a, b in zip(hypotheses, references, strict=True)]
    return [
        (bleu(hypotheses, references, target), "corpus BLEU: n-grams counted over all pairs, sacreBLEU's tokens"),
        (float(words.corpus_score(list(hypotheses), [list(references)]).score), "the same on words split at spaces"),
        (sum(sentences) / len(sentences), "mean of sentence BLEU: a sentence without a common 4-gram counts 0"),
        (
            sum(sentences[:_BATCH]) / len(sentences[:_BATCH]),
            f"the same over the first {_BATCH} pairs only, as the lesson",
        ),
    ]


def reference_sets(references: Sequence[str] | Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """One list per set of references, out of one list of texts or of several lists."""
    if isinstance(references, str):
        raise DataError("references: a single text: give a list of texts, one per hypothesis")
    texts = [line for line in references if isinstance(line, str)]
    if texts and len(texts) < len(references):
        raise DataError("references: texts and lists are mixed: give one list of texts, or one list per set")
    return [texts] if texts or not references else [lines for lines in references if not isinstance(lines, str)]


def check_pairs(hypotheses: Sequence[str], *references: Sequence[str]) -> None:
    """Raise `DataError` where the lists differ in length or are empty."""
    for lines in (hypotheses, *references):
        if isinstance(lines, str) or not all(isinstance(line, str) for line in lines):
            raise DataError("hypotheses and references are lists of texts: one of them holds something else")
    for lines in references:
        if len(hypotheses) != len(lines):
            raise DataError(f"{len(hypotheses)} hypotheses for {len(lines)} references: they must pair up")
    if not hypotheses:
        raise DataError("nothing to score: there are no pairs")
