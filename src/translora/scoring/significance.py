"""Whether a difference of scores is more than chance: sacreBLEU's paired tests. Knows texts only, no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from translora.scoring.metrics import Score, Scores, check_pairs, metrics

Method = Literal["bootstrap", "randomisation"]
_SACREBLEU_NAME = {"bootstrap": "bs", "randomisation": "ar"}
SIGNIFICANT = 0.05
"""The p-value below which a difference is called one."""
_FEW_PAIRS = 50
"""With few pairs resampling finds chance significant more often than the p-value says, and with one always."""


def few_pairs(pairs: int) -> str:
    """A sentence that follows a verdict on so many pairs; empty where they are enough."""
    return f" So few test pairs ({pairs}) show little: take {_FEW_PAIRS} or more." if pairs < _FEW_PAIRS else ""


@dataclass(frozen=True)
class Difference:
    """One metric of two systems on the same test set."""

    baseline: Score
    """The score of the first system."""
    system: Score
    """The score of the second system."""
    p_value: float
    """How probable a difference as large is if the two are equally good."""
    signature: str
    """SacreBLEU's signature, the test's settings included."""

    @property
    def significant(self) -> bool:
        """Whether the difference is more than chance, at the usual 5%."""
        return self.p_value < SIGNIFICANT


def paired_test(
    baseline: Sequence[str],
    system: Sequence[str],
    references: Sequence[Sequence[str]],
    target: str,
    method: Method = "bootstrap",
    samples: int = 0,
) -> dict[str, Difference]:
    """Compare two lists of translations by BLEU, chrF2++ and TER (`bleu`, `chrf`, `ter`).

    `references` holds one list per set of references. The test is paired bootstrap resampling (Koehn 2004) with 1,000
    samples or approximate randomisation (Riezler & Maxwell 2005) with 10,000 trials, unless `samples` says otherwise.

    Raises `DataError` where the lists differ in length or are empty.
    """
    from sacrebleu.significance import PairedTest

    for hypotheses in (baseline, system):
        check_pairs(hypotheses, *references)
    chosen = metrics(target, references)
    plain = {key: str(metric.get_signature()) for key, metric in chosen.items()}
    systems = [("baseline", list(baseline)), ("system", list(system))]
    for_intervals = 0 if method == "randomisation" else -1  # 0: as many as sacreBLEU takes; bootstrap has its own
    test = PairedTest(systems, chosen, None, _SACREBLEU_NAME[method], samples, for_intervals)
    signatures, results = test()
    by_name = dict(zip(chosen, (name for name in results if name != "System"), strict=True))
    return {key: _difference(results[name], plain[key], str(signatures[name])) for key, name in by_name.items()}


def _difference(results: Sequence[Any], plain: str, signature: str) -> Difference:
    first, second = (Score.around(result.score, plain, result.mean, result.ci) for result in results)
    same = first.score == second.score  # sacreBLEU counts larger differences only: of equal texts it finds none
    return Difference(first, second, 1.0 if same else float(results[1].p_value), signature)


def compared_scores(differences: Mapping[str, Difference], pairs: int) -> tuple[Scores, Scores]:
    """The scores of the first and the second system, from the result of `paired_test` on `pairs` pairs."""
    return (
        Scores(**{key: difference.baseline for key, difference in differences.items()}, pairs=pairs),
        Scores(**{key: difference.system for key, difference in differences.items()}, pairs=pairs),
    )
