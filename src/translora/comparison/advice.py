"""What LoRA would reach of full fine-tuning, told from short runs of both: `translora compare RECIPE --advise`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translora.comparison.folder import ADVICE, ADVICE_FILE, check_folder, delete_advice, mark
from translora.comparison.jobs import make_way
from translora.comparison.variants import Variant, read_variants, warn_of_edge
from translora.config import CompareConfig, Config
from translora.data.splits import read_splits
from translora.errors import ConfigError, InterruptedRunError, TrainingError, TransloraError
from translora.io import console
from translora.io.files import only_process, write_json
from translora.models.load import load
from translora.pipeline import make_trainable, train
from translora.runs.folder import Run
from translora.training.examples import tokenised
from translora.training.validation import corpus_loss

RANKS = (4, 8, 16, 32)
"""The ranks that are tried where a recipe names no variants."""
KEEPS_UP = 0.95
"""An adapter is said to keep up from this share of full fine-tuning's gain on."""
_LOSS_TOKENS = 4096


@dataclass
class _Probe:
    """The short runs of one variant."""

    variant: Variant
    losses: dict[float, float] = field(default_factory=dict)
    """Validation loss after the last step, in nats per target token, by learning rate."""
    trained: int = 0
    """Trained parameters."""
    error: str = ""
    """Why there is no loss; empty where there is one."""

    @property
    def rate(self) -> float:
        """The best rate."""
        return min(self.losses, key=lambda rate: self.losses[rate])

    @property
    def loss(self) -> float:
        """The validation loss with the best rate."""
        return self.losses[self.rate]


def advise(
    config: Config, comparison: CompareConfig, steps: int, recipe: str = "", overwrite: bool = False
) -> dict[str, Any]:
    """Train each variant for `steps` steps, and return the content of `advice.json`: what LoRA gains of full's gain.

    The variants are the recipe's; where it names none, full fine-tuning and the recipe's adapter with each rank of
    `RANKS`, of which the first tries the rates for all. Each run is a run folder below `advice/` of `config.output`,
    with the whole schedule of the rate in its few steps; runs of an earlier call are not done again. `recipe` is the
    command that the result names; `overwrite` deletes an earlier advice first.

    The share of a variant is its fall of the validation loss over that of the best full fine-tuning. It is
    that of the short run: docs/when-lora.md says how far whole runs came out otherwise.

    Raises `ConfigError` before anything is trained, `InterruptedRunError` after Ctrl-C or SIGTERM, and `TrainingError`
    where no adapter or no full fine-tuning could be trained.
    """
    if steps < 1:
        raise ConfigError(f"--steps: must be at least 1, not {steps}")
    variants = _variants(config, comparison)
    folder = Path(config.output)
    check_folder(folder)
    with only_process(folder):
        if overwrite:
            delete_advice(folder)
        mark(folder)
        before = _untouched_loss(config)
        probes = _probes(variants, folder / ADVICE, steps, ladder=_names_none(comparison))
        result = _built(probes, before, steps, recipe)
        write_json(folder / ADVICE_FILE, result)
    show(result)
    console.results.print(f"advice: {folder / ADVICE_FILE}", soft_wrap=True)
    return result


def _names_none(comparison: CompareConfig) -> bool:
    return comparison.variants == CompareConfig().variants


def _variants(config: Config, comparison: CompareConfig) -> list[Variant]:
    """The variants to try; raises `ConfigError` without an adapter or without full fine-tuning among them."""
    if _names_none(comparison):
        ranks = sorted({*RANKS, config.lora.rank}, key=lambda rank: (rank != config.lora.rank, rank))
        adapters = {f"lora-{rank}": {"lora": {"rank": rank}} for rank in ranks}
        comparison = dataclasses.replace(comparison, variants={"full": {"method": "full"}, **adapters})
    variants = read_variants(config, comparison)
    for method, name in (("full", "full fine-tuning"), ("lora", "an adapter")):
        if not any(variant.config.method == method for variant in variants):
            raise ConfigError(f"compare.variants: --advise compares with {name}: add a variant of method {method}")
    return variants


def _untouched_loss(config: Config) -> float:
    """The validation loss of the model as it came, in nats per target token."""
    validation = read_splits(config).validation
    model = load(config)
    return corpus_loss(model, tokenised(model, validation, config), _LOSS_TOKENS)


def _probes(variants: Sequence[Variant], folder: Path, steps: int, ladder: bool) -> list[_Probe]:
    """The short runs of all variants; of a `ladder` of ranks the first adapter's best rate is that of the others."""
    found: list[_Probe] = []
    for variant in variants:
        adapters = [probe for probe in found if probe.variant.config.method == "lora" and probe.losses]
        if ladder and adapters:
            variant = dataclasses.replace(variant, rates=(adapters[0].rate,))
        found.append(_probe(variant, folder, steps))
        if found[-1].losses:
            warn_of_edge(variant.name, variant.rates, found[-1].rate)
    return found


def _probe(variant: Variant, folder: Path, steps: int) -> _Probe:
    probe = _Probe(variant)
    for rate in variant.rates:
        config = _short(variant.run_config(folder / variant.name / f"rate-{rate:g}", rate, variant.config.seed), steps)
        label = f"{variant.name}, rate {rate:g}, {steps} steps"
        try:
            if not make_way(label, config).trained:
                console.notice(label)
                train(config, score=False)
        except InterruptedRunError:
            raise
        except TransloraError as error:
            probe.error = str(error)
            console.notice(f"{label}: failed: {error}")
            continue
        probe.losses[rate] = _last_loss(Run(Path(config.output)))
    if probe.losses:
        probe.trained, probe.error = _trained(variant.config), ""
    return probe


def _short(config: Config, steps: int) -> Config:
    """The configuration of a run of `steps` steps that measures the loss at its end and translates next to nothing."""
    training = dataclasses.replace(
        config.training,
        max_steps=steps,
        warmup_steps=min(config.training.warmup_steps, math.ceil(steps / 5)),
        evaluate_every=steps,
        validation_pairs=1,
        patience=0,
        tensorboard=False,
    )
    return dataclasses.replace(config, training=training)


def _last_loss(run: Run) -> float:
    return float([figure["validation_loss"] for figure in run.figures() if "validation_loss" in figure][-1])


def _trained(config: Config) -> int:
    with console.quiet():
        return make_trainable(load(config), config).trainable


def _built(probes: Sequence[_Probe], before: float, steps: int, recipe: str) -> dict[str, Any]:
    """The content of `advice.json`; raises `TrainingError` where one of the two sides could not be trained."""
    done = [probe for probe in probes if probe.losses]
    wholes = [probe for probe in done if probe.variant.config.method == "full"]
    if not wholes or len(wholes) == len(done):
        raise TrainingError("; ".join(f"{probe.variant.name}: {probe.error}" for probe in probes if probe.error))
    full = min(wholes, key=lambda probe: probe.loss)
    gain = before - full.loss
    variants = [
        {
            "name": probe.variant.name,
            "method": probe.variant.config.method,
            "error": probe.error,
            "learning_rate": probe.rate if probe.losses else None,
            "rates": {f"{rate:g}": loss for rate, loss in probe.losses.items()},
            "trainable_parameters": probe.trained or None,
            "validation_loss": probe.loss if probe.losses else None,
            "share_of_gain": (before - probe.loss) / gain if probe.losses and gain > 0 else None,
        }
        for probe in probes
    ]
    return {
        "recipe": recipe,
        "steps": steps,
        "untouched_validation_loss": before,
        "full": full.variant.name,
        "variants": variants,
        "verdict": verdict(variants, full.variant.name, steps),
    }


def verdict(variants: Sequence[dict[str, Any]], full: str, steps: int) -> str:
    """What to do, in one or two sentences, by the shares of full fine-tuning's gain in `variants`."""
    adapters = [one for one in variants if one["method"] == "lora" and one["share_of_gain"] is not None]
    if not adapters:
        return f"{full} does not lower the validation loss in {steps} steps: take more steps, or other rates."
    best = max(adapters, key=lambda one: float(one["share_of_gain"]))
    level = [one for one in adapters if one["share_of_gain"] >= KEEPS_UP]
    if not level:
        return (
            f"The best adapter, {best['name']}, gains {best['share_of_gain']:.0%} of what {full} gains in {steps} "
            "steps: try higher ranks or more layers, or train in full."
        )
    least = min(level, key=lambda one: int(one["trainable_parameters"]))
    whole = max(int(one["trainable_parameters"] or 0) for one in variants)
    return (
        f"{least['name']} keeps up for {steps} steps: with {least['trainable_parameters'] / whole:.1%} of the trained "
        f"parameters it gains {least['share_of_gain']:.0%} of what {full} gains. That is no forecast of a longer run, "
        "in which full fine-tuning mostly gets ahead: --steps with a third of the run's steps tells more."
    )


def show(result: dict[str, Any]) -> None:
    """The table of the short runs, and the verdict."""
    whole = max(variant["trainable_parameters"] or 0 for variant in result["variants"])
    console.show_table(
        f"After {result['steps']} steps (untouched: {result['untouched_validation_loss']:.3f} nats per token)",
        ["", "rate", "trained", "of most", "validation loss", "of the gain of full"],
        [_cells(variant, whole) for variant in result["variants"]],
    )
    console.results.print(f"\n{result['verdict']}\n", soft_wrap=True)


def _cells(variant: dict[str, Any], whole: int) -> list[str]:
    if variant["error"]:
        return [variant["name"], "failed", *("-" for _ in range(4))]
    share = variant["share_of_gain"]
    return [
        variant["name"],
        f"{variant['learning_rate']:g}",
        f"{variant['trainable_parameters']:,}",
        f"{variant['trainable_parameters'] / whole:.1%}",
        f"{variant['validation_loss']:.3f}",
        "-" if share is None else f"{share:.0%}",
    ]
