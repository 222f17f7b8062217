"""What a run says of itself: the lines at its start, `summary.json`, and the tables at its end."""

from __future__ import annotations

import random
from dataclasses import asdict
from typing import Any, NamedTuple

from translora import __version__
from translora.config import Config
from translora.data.splits import Splits
from translora.data.tokens import TokenisedCorpus
from translora.io import console
from translora.models import hardware
from translora.models.load import LoadedModel
from translora.models.lora import ParameterCount
from translora.runs.folder import Run
from translora.scoring.metrics import METRICS, Scores, with_interval
from translora.scoring.significance import SIGNIFICANT
from translora.training.checkpoint import TrainingState, ValidationRow
from translora.training.memory import Preflight

_EXAMPLES = 5


class Results(NamedTuple):
    """The scores of the test pairs."""

    before: Scores | None
    """Of the base model; None for a fresh one."""
    after: Scores
    p_values: dict[str, float] | None
    """Of the difference, by metric; None where there is none."""


def show_start(translator: LoadedModel, parameters: ParameterCount, splits: Splits, config: Config) -> None:
    """Model, data and what is trained, before anything is computed."""
    console.notice(
        f"model: {translator.name} ({translator.family.name} family, {str(translator.dtype)[6:]}, "
        f"{hardware.describe(translator.device)}), prompt {translator.prompt!r}"
    )
    console.notice(
        f"data: {len(splits.train):,} training, {len(splits.validation):,} validation, {len(splits.test):,} test pairs"
    )
    for reason, dropped in splits.dropped.items():
        console.notice(f"data: left out {dropped.count:,} training pairs ({reason}), such as {dropped.examples[0]}")
    if config.method != "none":
        console.notice(
            f"{config.method}: trains {parameters.trainable:,} of {parameters.total:,} parameters "
            f"({parameters.share:.2%})" + (f", {_lora_words(config)}" if config.method == "lora" else "")
        )
        console.notice(f"forward pass: {_path_words(translator)}")


def _path_words(translator: LoadedModel) -> str:
    words = {
        "fast": "fast",
        "generic": "the model's own, with translora's head and loss",
        "own": "the model's own",
    }[translator.path]
    return f"{words} ({translator.slow_because})" if translator.slow_because else words


def show_memory(needs: Preflight, config: Config) -> None:
    """What training will take."""
    if config.method != "none":
        console.notice(
            f"memory: about {needs.peak_bytes / 2**30:.1f} GiB at the peak of training, "
            f"with up to {needs.batch_tokens:,} padded tokens at a time"
        )


def _lora_words(config: Config) -> str:
    lora = config.lora
    return f"rank {lora.rank}, alpha {lora.alpha or 2 * lora.rank:g}, on {lora.targets}"


def build(
    config: Config,
    translator: LoadedModel,
    parameters: ParameterCount,
    splits: Splits,
    examples: TokenisedCorpus,
    needs: Preflight,
    state: TrainingState,
    results: Results,
) -> dict[str, Any]:
    """The content of `summary.json`; scores are null where nothing was scored (a fresh model before training)."""
    before, after = results.before, results.after
    return {
        "base_model": config.model,
        "method": config.method,
        "bleu_before": before.bleu.score if before else None,
        "bleu_after": after.bleu.score,
        "chrf_before": before.chrf.score if before else None,
        "chrf_after": after.chrf.score,
        "signature": after.bleu.signature,
        "scores_before": before.as_dict() if before else None,
        "scores_after": after.as_dict(),
        "p_values": results.p_values,
        "total_parameters": parameters.total,
        "trainable_parameters": parameters.trainable,
        "train_pairs": len(splits.train),
        "validation_pairs": len(splits.validation),
        "test_pairs": len(splits.test),
        "dropped": {reason: asdict(dropped) for reason, dropped in splits.dropped.items()},
        "truncated_sources": examples.truncated_sources,
        "truncated_targets": examples.truncated_targets,
        "steps": state.step,
        "best_step": state.best_step,
        "train_seconds": state.seconds,
        "pairs_per_second": state.pairs / state.seconds if state.seconds else None,
        "batch_tokens": state.batch_tokens,
        "predicted_memory_bytes": needs.peak_bytes,
        "peak_memory_bytes": state.peak_memory_bytes or hardware.peak_memory_bytes(translator.device),
        "hardware": hardware.describe(translator.device),
        "dtype": str(translator.dtype)[6:],
        "table": [asdict(row) for row in state.rows],
        "version": __version__,
    }


def show_end(run: Run) -> None:
    """The table an epoch, the scores before and after, and some examples of each."""
    figures = run.summary
    rows = [ValidationRow(**row) for row in figures["table"]]
    if rows:
        console.show_table(
            "Training (loss: nats a target token; seconds: training alone)",
            ["epoch", "step", "training loss", "validation loss", "validation BLEU", "seconds"],
            [
                [f"{row.epoch:.2f}", str(row.step), f"{row.training_loss:.3f}", f"{row.validation_loss:.3f}",
                 f"{row.bleu:.1f}", f"{row.seconds:.1f}"]
                for row in rows
            ],
        )  # fmt: skip
        console.results.print(
            f"best at step {figures['best_step']}; {figures['pairs_per_second']:.0f} pairs/s, "
            f"{figures['train_seconds']:.0f} s of training, "
            f"peak memory {figures['peak_memory_bytes'] / 2**30:.2f} GiB\n"
        )
    _show_scores(figures)
    _show_examples(run)
    console.results.print(f"run folder: {run.folder}, report: {run.report}", soft_wrap=True)


def _show_scores(figures: dict[str, Any]) -> None:
    before, after, p_values = figures["scores_before"], figures["scores_after"], figures["p_values"]
    rows = []
    for key, name in METRICS.items():
        change = f"{after[key]['score'] - before[key]['score']:+.1f}" if before else "-"
        p_value = f"{p_values[key]:.3f}" if p_values else "-"
        found = (scores and scores[key] for scores in (before, after))
        words = [with_interval(score["score"], score["interval"]) if score else "-" for score in found]
        rows.append([f"{name} (lower is better)" if key == "ter" else name, *words, change, p_value])
    title = f"Scores on {figures['test_pairs']:,} test pairs (±: 95% confidence)"
    console.show_table(title, ["", "before", "after", "change", "p"], rows)
    for key, name in METRICS.items():
        console.results.print(f"{name}: {after[key]['signature']}", soft_wrap=True)
    console.results.print(f"\n{verdict(figures)}\n", soft_wrap=True)


def verdict(figures: dict[str, Any]) -> str:
    """Whether training helped, in one sentence."""
    if not figures["p_values"]:
        return f"BLEU is {figures['bleu_after']:.1f}: there is nothing to compare it with."
    change, p_value = figures["bleu_after"] - figures["bleu_before"], figures["p_values"]["bleu"]
    words = f"p = {p_value:.3f}, paired bootstrap on {figures['test_pairs']:,} pairs"
    if p_value >= SIGNIFICANT:
        return f"No significant difference: BLEU changed by {change:+.1f} ({words})."
    return f"Training {'helped' if change > 0 else 'did harm'}: BLEU changed by {change:+.1f} ({words})."


def _show_examples(run: Run) -> None:
    texts = {label: run.translated(label) for label in ("source", "reference", *run.labels)}
    total = len(texts["source"])
    chosen = random.Random(run.config.seed).sample(range(total), min(_EXAMPLES, total))
    groups = [[(label, lines[i]) for label, lines in texts.items()] for i in sorted(chosen)]
    console.show_texts(f"{len(groups)} test pairs drawn by seed {run.config.seed}", groups)
