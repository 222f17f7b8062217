"""The runs of a comparison: each a run folder of its own, trained in its own process, taken up where it stopped."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from translora.comparison.folder import delete
from translora.comparison.variants import UNTOUCHED, Variant
from translora.comparison.workers import Workers
from translora.config import Config, LoraConfig, TrainingConfig
from translora.config.load import changed_fields
from translora.errors import DataError, TrainingError
from translora.io import console
from translora.io.files import read_json
from translora.runs.folder import Run
from translora.runs.lifecycle import SAFE_TO_CHANGE, find_run

SAME_TIME = 0.03
"""Times that differ by less are the same: the run is not done again."""


@dataclass
class Outcome:
    """The runs of a variant, or the reason why there are none."""

    name: str
    method: str
    runs: list[Run] = field(default_factory=list)
    """The runs of the chosen rate, one a seed, all finished."""
    rates: dict[float, float | None] = field(default_factory=dict)
    """The best validation BLEU of each rate that was tried; None where its run failed."""
    failures: dict[float, str] = field(default_factory=dict)
    """Why the run of a rate failed, of those that did."""
    rate: float | None = None
    """The chosen one."""
    equal_time: Run | None = None
    """The run of the first seed that took as long as the others' do."""
    error: str = ""
    """Why there is nothing else; empty where there is."""


def check_runs(variants: Sequence[Variant], config: Config, folder: Path, seeds: int) -> None:
    """Raise `ConfigError` where something else lies in the place of a run, or `config` changed for all variants."""
    if config.init == "pretrained":
        find_run(_untouched_config(config, folder))
    for variant in variants:
        first = variant.config.seed
        for rate in variant.rates:
            for seed in range(first, first + seeds):
                find_run(variant.run_config(_folder(folder, variant, rate, seed), rate, seed), overwrite=True)


def run_untouched(config: Config, folder: Path, workers: Workers) -> Outcome:
    """Translate the test pairs with the model as it came.

    Raises the errors of a run, for without it no variant would do better.
    """
    untouched = _untouched_config(config, folder)
    run = find_run(untouched)
    if config.decoding.shortlist != untouched.decoding.shortlist:
        console.notice(f"{UNTOUCHED}: translates with the whole vocabulary, for a shortlist comes from a training")
    if not run.finished:
        workers.run(f"{UNTOUCHED}: translate", untouched, "score")
    return Outcome(UNTOUCHED, "none", [run])


def _untouched_config(config: Config, folder: Path) -> Config:
    decoding = dataclasses.replace(config.decoding, shortlist="off")
    variant = Variant(UNTOUCHED, dataclasses.replace(config, method="none", decoding=decoding), ())
    return variant.run_config(folder / UNTOUCHED, config.training.learning_rate, config.seed)


def run_variant(variant: Variant, folder: Path, seeds: int, untouched: Outcome | None, workers: Workers) -> Outcome:
    """Try the rates with the first seed, then train the best with every seed, and score these runs.

    A run that fails is recorded in the outcome; an interruption is raised as `InterruptedRunError`.
    """
    outcome = Outcome(variant.name, variant.config.method)
    first = variant.config.seed
    found = workers.each([partial(_best_score, variant, folder, rate, workers) for rate in variant.rates])
    for rate, score in zip(variant.rates, found, strict=True):
        if isinstance(score, TrainingError):
            outcome.rates[rate], outcome.failures[rate], outcome.error = None, str(score), str(score)
            console.notice(f"{variant.name}, rate {rate:g}: failed: {score}")
        else:
            outcome.rates[rate] = score
    tried = {rate: score for rate, score in outcome.rates.items() if score is not None}
    if not tried:
        return outcome
    outcome.rate, outcome.error = max(tried, key=lambda rate: tried[rate]), ""
    runs = workers.each(
        [
            partial(_scored, variant, folder, (outcome.rate, seed), untouched, workers)
            for seed in range(first, first + seeds)
        ]
    )
    errors = [run for run in runs if isinstance(run, TrainingError)]
    outcome.error = str(errors[0]) if errors else ""
    outcome.runs = [] if errors else [run for run in runs if isinstance(run, Run)]
    return outcome


def _best_score(variant: Variant, folder: Path, rate: float, workers: Workers) -> float:
    """The best validation BLEU of a run of the first seed."""
    seed = variant.config.seed
    config = variant.run_config(_folder(folder, variant, rate, seed), rate, seed)
    _train(f"{variant.name}, rate {rate:g}, seed {seed}", config, workers)
    return max(Run(Path(config.output)).validation_bleu())


def _scored(
    variant: Variant, folder: Path, rate_and_seed: tuple[float, int], untouched: Outcome | None, workers: Workers
) -> Run:
    """A run that is trained and scored."""
    rate, seed = rate_and_seed
    config = variant.run_config(_folder(folder, variant, rate, seed), rate, seed)
    _train(f"{variant.name}, rate {rate:g}, seed {seed}", config, workers)
    return _score(f"{variant.name}, seed {seed}", config, untouched, workers)


def run_equal_time(
    variant: Variant, outcome: Outcome, folder: Path, seconds: float, untouched: Outcome | None, workers: Workers
) -> None:
    """Train the variant's first seed for `seconds`, as its own speed has them, and note the run in `outcome`."""
    assert outcome.rate is not None
    figures = outcome.runs[0].summary
    share = seconds / figures.train_seconds
    if abs(share - 1) < SAME_TIME:
        outcome.equal_time = outcome.runs[0]
        return
    config = variant.run_config(folder / variant.name / "equal-time", outcome.rate, variant.config.seed)
    steps = max(1, round(share * figures.steps))
    training = dataclasses.replace(
        config.training, max_steps=steps, epochs=math.ceil(config.training.epochs * max(1.0, share)) + 1.0
    )
    config = dataclasses.replace(config, training=training)
    try:
        _train(f"{variant.name}, {seconds:.0f} s", config, workers)
        outcome.equal_time = _score(f"{variant.name}, {seconds:.0f} s", config, untouched, workers)
    except TrainingError as error:
        console.notice(f"{variant.name}: no run of equal time: {error}")


def _folder(folder: Path, variant: Variant, rate: float, seed: int) -> Path:
    return folder / variant.name / f"rate-{rate:g}" / f"seed-{seed}"


def _train(label: str, config: Config, workers: Workers) -> None:
    """Train without scoring, unless that is done; a run of another recipe makes way."""
    run = make_way(label, config)
    if not run.finished and not run.trained:
        workers.run(f"{label}: train", config, "train")


def make_way(label: str, config: Config) -> Run:
    """The run folder for `config`; a run in it that began with another recipe of the variant is deleted.

    The length of a run of equal time follows from the other runs: it changes where they do.
    """
    run = find_run(config, overwrite=True)
    if run.config_file.exists():
        changes = changed_fields(run.config, config).items()
        changed = [f"{name}: {old!r} before, {new!r} now" for name, (old, new) in changes if name not in SAFE_TO_CHANGE]
        if changed:
            console.notice(f"{label}: the run there is of another recipe ({'; '.join(changed)}): done again")
            delete(run)
            return Run(run.folder)
    return run


def _score(label: str, config: Config, untouched: Outcome | None, workers: Workers) -> Run:
    """Translate and score the test pairs, unless that is done; the untouched model's translations are taken over."""
    run = find_run(config)
    if not run.finished:
        done = untouched.runs[0] if untouched is not None else None
        if done and _same_base(done.config, config) and not _changed_inputs(done, run, ("base model", "test pairs")):
            run.write_translations("before", done.translated("before"), done.cut_lines("before"))
        workers.run(f"{label}: translate", config, "score")
    return run


def check_same_pairs(outcomes: Sequence[Outcome]) -> None:
    """Raise `DataError` where runs of the same recipe of data had other pairs: a file changed between two starts."""
    every = [run for outcome in outcomes for run in outcome.runs]
    trained = [run for run in every if run.config.method != "none"]
    for names, runs in ((("validation pairs", "test pairs"), every), (("train pairs",), trained)):
        for one in runs:
            first = next(run for run in runs if run.config.data == one.config.data)
            if changed := _changed_inputs(first, one, names):
                raise DataError(
                    f"{one.folder}: other {changed} than in {first.folder}: a file of the corpus has changed in "
                    f"between: --overwrite does the whole comparison again"
                )


def _changed_inputs(one: Run, other: Run, names: Sequence[str]) -> str:
    """The first of `names` that two runs had otherwise, or ""."""
    left, right = read_json(one.inputs), read_json(other.inputs)
    return next((name for name in names if left.get(name) != right.get(name)), "")


def _same_base(one: Config, other: Config) -> bool:
    """Whether two configurations have the same model before training, and translate the same with it."""

    def base(config: Config) -> Config:
        data = dataclasses.replace(config.data, train=one.data.train, join_share=0.0, join_most=2)
        return dataclasses.replace(
            config,
            data=data,
            fast="auto",
            method="none",
            lora=LoraConfig(),
            training=TrainingConfig(),
            seed=0,
            output=one.output,
        )

    return base(one) == base(other)
