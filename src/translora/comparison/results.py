"""The results of a comparison: the figures of each variant, the tests of their differences, ratios, a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from translora.comparison.jobs import Outcome
from translora.io.console import meter
from translora.runs.folder import Run
from translora.runs.summary import Summary
from translora.scoring.metrics import METRICS
from translora.scoring.significance import SIGNIFICANT, few_pairs, paired_test


def build(outcomes: Sequence[Outcome], recipe: str) -> dict[str, Any]:
    """The content of `compare.json`.

    `p_values[a][b][metric]` holds one p-value a seed, of the paired bootstrap between `a` and `b`; there are none
    between runs of different test pairs.
    """
    variants = [_figures(outcome) for outcome in outcomes]
    complete = [variant for variant in variants if variant["bleu"]]
    done = [outcome for outcome in outcomes if outcome.runs]
    p_values = _p_values(done)
    first = done[0].runs[0].summary if done else None
    return {
        "variants": variants,
        "p_values": p_values,
        "signatures": {key: getattr(first.scores_after, key).signature for key in METRICS} if first else {},
        "ratios": _ratios(complete),
        "verdict": verdict(complete, p_values) + (few_pairs(first.test_pairs) if first else ""),
        "hardware": first.hardware if first else "",
        "recipe": recipe,
        "test_pairs": first.test_pairs if first else 0,
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    """The figures of one variant; costs are means over the seeds, and null where nothing was trained."""
    summaries = [run.summary for run in outcome.runs]
    trained = [summary for summary in summaries if summary.steps]

    def mean(name: str) -> float | None:
        return fmean(getattr(summary, name) for summary in trained) if trained else None

    first = summaries[0] if summaries else None
    return {
        "name": outcome.name,
        "method": outcome.method,
        "error": outcome.error,
        "learning_rate": outcome.rate,
        "rates": {f"{rate:g}": score for rate, score in outcome.rates.items()},
        "failed_rates": {f"{rate:g}": reason for rate, reason in outcome.failures.items()},
        "seeds": [run.config.seed for run in outcome.runs],
        "total_parameters": first.total_parameters if first else None,
        "trainable_parameters": first.trainable_parameters if first else None,
        "adapter_bytes": _bytes_on_disk(outcome.runs[0]) if trained else None,
        "peak_memory_bytes": round(mean("peak_memory_bytes") or 0) or None,
        "train_seconds": mean("train_seconds"),
        "pairs_per_second": mean("pairs_per_second"),
        "epochs": trained[0].table[-1].epoch if trained else None,
        **{key: _scores(outcome.runs, key) for key in METRICS},
        "curve": _curve(trained[0]) if trained else [],
        "equal_time": _equal_time(outcome.equal_time) if outcome.equal_time else None,
    }


def _scores(runs: Sequence[Run], key: str) -> dict[str, Any] | None:
    """Mean, each seed's score, and the 95% interval, its ends averaged over the seeds."""
    if not runs:
        return None
    scores = [getattr(run.summary.scores_after, key) for run in runs]
    low, high = (fmean(score.interval[end] for score in scores) for end in (0, 1))
    per_seed = [score.score for score in scores]
    return {"mean": fmean(per_seed), "per_seed": per_seed, "interval": [low, high]}


def _curve(summary: Summary) -> list[dict[str, float]]:
    """Validation BLEU over the seconds of training, of the first seed."""
    seconds, points = 0.0, []
    for row in summary.table:
        seconds += row.seconds
        points.append({"seconds": seconds, "step": row.step, "validation_bleu": row.bleu})
    return points


def _equal_time(run: Run) -> dict[str, Any]:
    summary = run.summary
    scores = {key: getattr(summary.scores_after, key).score for key in METRICS}
    return {"train_seconds": summary.train_seconds, "epochs": summary.table[-1].epoch, **scores}


def _bytes_on_disk(run: Run) -> int:
    """The size of the trained weights: the adapter's, or the whole model's."""
    return sum(file.stat().st_size for file in run.trained_weights.glob("*.safetensors"))


def _p_values(outcomes: Sequence[Outcome]) -> dict[str, dict[str, dict[str, list[float]]]]:
    every = [
        (one.name, other.name, _matched(one.runs, other.runs))
        for number, one in enumerate(outcomes)
        for other in outcomes[number + 1 :]
    ]
    comparable = [found for found in every if all(_same_test(a, b) for a, b in found[2])]
    p_values: dict[str, dict[str, dict[str, list[float]]]] = {}
    with meter("test differences", sum(len(pairs) for *_, pairs in comparable), "pairs of runs") as progress:
        for one, other, pairs in comparable:
            tests = []
            for a, b in pairs:
                tests.append(_test(a, b))
                progress.advance()
            p_values.setdefault(one, {})[other] = {key: [test[key] for test in tests] for key in METRICS}
    return p_values


def _matched(one: Sequence[Run], other: Sequence[Run]) -> list[tuple[Run, Run]]:
    """The runs seed by seed; a variant with a single run meets each of the other's."""
    count = max(len(one), len(other))
    return list(zip(*(list(runs) * count if len(runs) == 1 else runs for runs in (one, other)), strict=False))


def _same_test(one: Run, other: Run) -> bool:
    same = all(one.translated(name) == other.translated(name) for name in ("source", "reference"))
    return same and one.config.target == other.config.target


def _test(one: Run, other: Run) -> dict[str, float]:
    references = [one.translated("reference")]
    differences = paired_test(one.final_translations(), other.final_translations(), references, one.config.target)
    return {key: difference.p_value for key, difference in differences.items()}


def _ratios(variants: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each adapter against full fine-tuning: shares of its BLEU and trained parameters, factors of time and memory.

    Of several variants that train every weight, the best counts.
    """
    wholes = [variant for variant in variants if variant["method"] == "full"]
    if not wholes:
        return {}
    full = max(wholes, key=lambda variant: float(variant["bleu"]["mean"]))
    return {
        variant["name"]: {
            "bleu": variant["bleu"]["mean"] / full["bleu"]["mean"] if full["bleu"]["mean"] else 0.0,
            "trainable_parameters": variant["trainable_parameters"] / full["trainable_parameters"],
            "times_faster": full["train_seconds"] / variant["train_seconds"],
            "times_less_memory": full["peak_memory_bytes"] / variant["peak_memory_bytes"],
        }
        for variant in variants
        if variant["method"] == "lora"
    }


def verdict(variants: Sequence[dict[str, Any]], p_values: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Which is better, by how much and at what cost: the best adapter and full fine-tuning, else the best two."""
    trained = sorted((v for v in variants if v["method"] != "none"), key=lambda v: -float(v["bleu"]["mean"]))
    adapters = [v for v in trained if v["method"] == "lora"]
    wholes = [v for v in trained if v["method"] == "full"]
    chosen = [adapters[0], wholes[0]] if adapters and wholes else trained[:2]
    if len(chosen) < 2:
        chosen = [v for v in variants if v["method"] == "none"][:1] + chosen
    if len(chosen) < 2:
        return "There is nothing to compare."
    better, worse = sorted(chosen, key=lambda v: -float(v["bleu"]["mean"]))
    found = p_values.get(better["name"], {}).get(worse["name"]) or p_values.get(worse["name"], {}).get(better["name"])
    if found is None:
        return "The test pairs differ: the scores cannot be compared."
    difference = better["bleu"]["mean"] - worse["bleu"]["mean"]
    words = _p_words(found["bleu"])
    if _is_significant(better, worse, found["bleu"]):
        return (
            f"{better['name']} is better than {worse['name']} by {difference:.1f} BLEU ({words}){_cost(better, worse)}."
        )
    return (
        f"No significant difference between {better['name']} ({better['bleu']['mean']:.1f} BLEU) and {worse['name']} "
        f"({worse['bleu']['mean']:.1f}): {words}{_cost(better, worse)}."
    )


def _is_significant(better: dict[str, Any], worse: dict[str, Any], p_values: Sequence[float]) -> bool:
    """A difference counts where every seed shows it, the same way round."""
    first, second = (variant["bleu"]["per_seed"] for variant in (better, worse))
    count = len(p_values)
    signs = [a > b for a, b in zip(*(s * count if len(s) == 1 else s for s in (first, second)), strict=False)]
    return all(signs[:count]) and max(p_values) < SIGNIFICANT


def _p_words(p_values: Sequence[float]) -> str:
    if len(p_values) == 1:
        return f"p = {p_values[0]:.3f}"
    return f"p = {max(p_values):.3f} at most, over {len(p_values)} seeds"


def _cost(better: dict[str, Any], worse: dict[str, Any]) -> str:
    """The costs of the better one, as multiples of the other's."""
    if not worse["train_seconds"] or not better["train_seconds"]:
        return ""
    share = better["trainable_parameters"] / worse["trainable_parameters"]
    parameters = f"{share:.3g} x" if share >= 1 else f"{share:.1%} of"
    memory = better["peak_memory_bytes"] / worse["peak_memory_bytes"]
    time = better["train_seconds"] / worse["train_seconds"]
    return f", with {parameters} the trained parameters, {memory:.1f} x the memory and {time:.1f} x the time"
