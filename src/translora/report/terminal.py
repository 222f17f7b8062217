"""What a run prints: notices at its start, tables at its end."""

from __future__ import annotations

import dataclasses
import random

from transformers import PreTrainedTokenizerBase

from translora.config import Config
from translora.data.placeholders import loses_spaces, text_tokens
from translora.data.splits import Splits
from translora.io import console
from translora.models import hardware
from translora.models.load import LoadedModel
from translora.models.lora import ParameterCount
from translora.runs.folder import Run
from translora.runs.summary import Summary
from translora.scoring.metrics import METRICS, with_interval
from translora.training.memory import Preflight

_EXAMPLES = 5
_TOKENS = 8


def show_start(translator: LoadedModel, parameters: ParameterCount, splits: Splits, config: Config) -> None:
    """Model, data and what is trained, before anything is computed."""
    console.notice(
        f"model: {translator.name} ({translator.family.name} family, {str(translator.dtype)[6:]}, "
        f"{hardware.describe(translator.device)}), prompt {translator.prompt!r}"
    )
    _show_text_tokens(translator.tokenizer)
    ways = ", the training pairs in both directions" if config.data.both_directions else ""
    console.notice(
        f"data: {len(splits.train):,} training, {len(splits.validation):,} validation, {len(splits.test):,} test pairs"
        f"{ways}"
    )
    for reason, dropped in splits.dropped.items():
        console.notice(f"data: left out {dropped.count:,} training pairs ({reason}), such as {dropped.examples[0]}")
    if config.method != "none":
        console.notice(
            f"{config.method}: trains {parameters.trainable:,} of {parameters.total:,} parameters "
            f"({parameters.share:.2%})" + (f", {_lora_words(config)}" if config.method == "lora" else "")
        )
        console.notice(f"forward pass: {_path_words(translator)}")


def _show_text_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    """Name the tokens that the model's owner added."""
    if tokens := text_tokens(tokenizer):
        shown = ", ".join(tokens[:_TOKENS]) + (", ..." if len(tokens) > _TOKENS else "")
        lost = "; this tokenizer loses the spaces around them" if loses_spaces(tokenizer) else ""
        console.notice(f"added tokens: {shown} are read and written as text{lost}")


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
    ranks = [f"{kind.replace('_', '-')} {rank}" for kind, rank in dataclasses.asdict(lora.ranks).items() if rank]
    own = f" ({', '.join(ranks)})" if ranks else ""
    alpha = "twice the rank" if ranks and not lora.alpha else f"{lora.alpha or 2 * lora.rank:g}"
    also = f", and {' and '.join(lora.also_train)}" if lora.also_train else ""
    return f"rank {lora.rank}{own}, alpha {alpha}, on {lora.targets}{also}"


def show_end(run: Run) -> None:
    """The table of validations, the scores before and after, and some examples of each."""
    summary = run.summary
    if summary.table:
        console.show_table(
            "Training (loss: nats per target token; validation BLEU: greedy; seconds: training alone)",
            ["epoch", "step", "training loss", "validation loss", "validation BLEU", "seconds"],
            [
                [f"{row.epoch:.2f}", str(row.step), f"{row.training_loss:.3f}", f"{row.validation_loss:.3f}",
                 f"{row.bleu:.1f}", f"{row.seconds:.1f}"]
                for row in summary.table
            ],
        )  # fmt: skip
        console.results.print(
            f"best at step {summary.best_step}; {summary.pairs_per_second or 0:.0f} pairs/s, "
            f"{summary.train_seconds:.0f} s of training, "
            f"peak memory {summary.peak_memory_bytes / 2**30:.2f} GiB\n"
        )
    if summary.shortened:
        console.results.print(f"This run was {summary.shortened.words}.\n", soft_wrap=True)
    _show_scores(summary, run.config.decoding.search)
    _show_examples(run)
    console.results.print(f"run folder: {run.folder}, report: {run.report}", soft_wrap=True)


def _show_scores(summary: Summary, search: str) -> None:
    rows = []
    for key, name in METRICS.items():
        before = getattr(summary.scores_before, key) if summary.scores_before else None
        after = getattr(summary.scores_after, key)
        words = [with_interval(score.score, score.interval) if score else "-" for score in (before, after)]
        change = f"{after.score - before.score:+.1f}" if before else "-"
        p_value = f"{summary.p_values[key]:.3f}" if summary.p_values else "-"
        rows.append([f"{name} (lower is better)" if key == "ter" else name, *words, change, p_value])
    title = f"Scores on {summary.test_pairs:,} test pairs, {search} (±: 95% confidence)"
    console.show_table(title, ["", "before", "after", "change", "p"], rows)
    for key, name in METRICS.items():
        console.results.print(f"{name}: {getattr(summary.scores_after, key).signature}", soft_wrap=True)
    console.results.print(f"\n{summary.verdict}\n", soft_wrap=True)


def _show_examples(run: Run) -> None:
    texts = {label: run.translated(label) for label in ("source", "reference", *run.labels)}
    total = len(texts["source"])
    chosen = random.Random(run.config.seed).sample(range(total), min(_EXAMPLES, total))
    groups = [[(label, lines[i]) for label, lines in texts.items()] for i in sorted(chosen)]
    console.show_texts(f"{len(groups)} test pairs drawn by seed {run.config.seed}", groups)
