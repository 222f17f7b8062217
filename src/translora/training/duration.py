"""Say how long the rest of a run takes on this machine, and shorten a run that has a limit of minutes."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

from translora.config import Config
from translora.data.splits import Splits
from translora.data.tokens import TokenisedCorpus, encode
from translora.errors import DataError
from translora.io import console
from translora.models.budget import Budget
from translora.models.load import LoadedModel
from translora.runs.folder import Run
from translora.runs.summary import Shortened
from translora.training.checkpoint import steps_done
from translora.training.estimate import Size, Work, estimate, evenly, shortened
from translora.training.plan import Plan
from translora.training.probe import measure


@dataclass(frozen=True)
class Prepared:
    """A run that is ready for its first step."""

    translator: LoadedModel
    examples: TokenisedCorpus
    splits: Splits
    config: Config
    batch_tokens: int
    """Padded tokens to compute at a time."""
    scores: bool = True
    """Whether the test pairs are translated and scored in the end."""


def say_duration(prepared: Prepared, run: Run | None, started: float) -> Shortened | None:
    """Measure the machine for some seconds, and say in one line how long the rest of `run` takes (None: a new one).

    Returns what of it fits `config.minutes`, counted from `started` (by `time.monotonic`); None without such a limit.

    Raises `ConfigError` where the limit is too short.
    """
    config, examples = prepared.config, prepared.examples
    plan = Plan(examples.source_lengths, examples.target_lengths, config.training, config.seed)
    work = _work(prepared, plan, run)
    rates = Budget(prepared.batch_tokens).run(
        lambda most: measure(prepared.translator, examples, plan, prepared.splits.test, config, most)
    )
    if not config.minutes:
        _say(f"{estimate(work, rates, work.whole).words}")
        return None
    size = shortened(work, rates, 60 * config.minutes - (time.monotonic() - started))
    cut = Shortened(config.minutes, *_sides(size, work.whole))
    _say(f"{estimate(work, rates, size).words}; {cut.words}")
    return cut


def _say(words: str) -> None:
    console.notice(f"{words[0].upper()}{words[1:]}")


def _sides(part: Size, whole: Size) -> list[int]:
    """Each number of a part, followed by that of the whole."""
    return [number for both in zip(part, whole, strict=True) for number in both]


def cut_to(cut: Shortened, config: Config, splits: Splits) -> tuple[Config, Splits]:
    """The configuration and the pairs of a shortened run: its first steps, and pairs evenly spaced."""
    validation, test = (
        pairs.take(evenly(count, len(pairs)))
        for pairs, count in ((splits.validation, cut.validation_pairs), (splits.test, cut.test_pairs))
    )
    training = replace(config.training, max_steps=cut.steps)
    return replace(config, training=training), replace(splits, validation=validation, test=test)


def _work(prepared: Prepared, plan: Plan, run: Run | None) -> Work:
    """What of the run is left, as its folder shows it."""
    translator, splits, examples = prepared.translator, prepared.splits, prepared.examples
    done = min(steps_done(run.checkpoints) if run else 0, plan.total_steps)
    left = range(done, plan.total_steps)
    lengths = examples.source_lengths + examples.target_lengths
    scored = splits.validation.head(prepared.config.training.validation_pairs or len(splits.validation))
    labels = ["before", "after"] if prepared.config.init == "pretrained" else ["after"]
    untranslated = [label for label in labels if not (run and _is_translated(run, label, len(splits.test)))]
    return Work(
        steps=[int(lengths[plan.pairs(step)].sum()) for step in left],
        validates=[plan.validates_after(step + 1) for step in left],
        validation_sources=_tokens(translator, scored.sources, translator.prompt),
        validation_tokens=_tokens(translator, [*splits.validation.sources, *splits.validation.targets]),
        validation_pairs=len(splits.validation),
        test_sources=_tokens(translator, splits.test.sources, translator.prompt),
        test_pairs=len(splits.test),
        translations=len(untranslated) if prepared.scores else 0,
    )


def _tokens(translator: LoadedModel, texts: list[str], prompt: str = "") -> int:
    return sum(map(len, encode(texts, translator.tokenizer, prompt)))


def _is_translated(run: Run, label: str, pairs: int) -> bool:
    """Whether the test pairs are translated already."""
    with suppress(DataError):
        return len(run.translated(label)) == pairs
    return False
