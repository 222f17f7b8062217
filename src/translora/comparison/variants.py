"""The variants of a comparison: the configuration of each, checked before anything is trained."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translora.config import CompareConfig, Config
from translora.config.load import changed, leaves
from translora.errors import ConfigError
from translora.io import console

UNTOUCHED = "untouched"
_NAME = re.compile(r"\w[\w.+-]*")
_KEPT = ("source", "target", "seed", "output", "decoding", "data.test", "data.validation", "data.seed")
"""The fields that a variant cannot change: evaluation and random draws are the same for all."""


@dataclass(frozen=True)
class Variant:
    """One way of training."""

    name: str
    config: Config
    """All fields; of these, the rate, the seed and the output are set for each run."""
    rates: tuple[float, ...]
    """The learning rates to try."""

    def run_config(self, folder: Path, rate: float, seed: int) -> Config:
        """The configuration of one run. The seed decides the adapter and the order, not the pairs cut from train."""
        data = dataclasses.replace(self.config.data, seed=self.config.data.seed or self.config.seed)
        training = dataclasses.replace(self.config.training, learning_rate=rate)
        return dataclasses.replace(self.config, data=data, training=training, seed=seed, output=str(folder))


def read_variants(config: Config, comparison: CompareConfig) -> list[Variant]:
    """The variants of a comparison, without the untouched model.

    Raises `ConfigError`, naming the variant, for one that cannot be compared: unknown fields, fields without effect
    or of the evaluation, and variants that are the same.
    """
    variants = [_variant(name, fields, config, comparison.rates) for name, fields in comparison.variants.items()]
    for number, one in enumerate(variants):
        for other in variants[:number]:
            if one.config == other.config and one.rates == other.rates:
                raise ConfigError(f"compare.variants.{one.name}: the same as {other.name}: give it a field of its own")
    return variants


def warn_of_edge(name: str, rates: Collection[float], best: float | None) -> None:
    """Say so where the best of several rates is at the end of them: the grid is too small."""
    if len(rates) > 1 and best in (min(rates), max(rates)):
        console.notice(f"{name}: the best rate, {best:g}, is at the end of those tried: try more")


def _variant(name: str, fields: dict[str, Any], config: Config, rates: tuple[float, ...]) -> Variant:
    place = f"compare.variants.{name}"
    if not _NAME.fullmatch(name) or name == UNTOUCHED:
        raise ConfigError(f"{place}: a name has letters, digits, and . + - _ inside, and is not {UNTOUCHED!r}")
    own = {key: value for key, value in fields.items() if key != "rates"}
    try:
        chosen = changed(config, own)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    for fault in _faults([field for field, _ in leaves(fields)], chosen):
        raise ConfigError(f"{place}: {fault}")
    return Variant(name, chosen, _rates(fields.get("rates", rates), place))


def _faults(fields: list[str], config: Config) -> Iterator[str]:
    """The faults of the fields that a variant changes, where it trains as `config` says."""
    if config.method == "none":
        yield f"it trains nothing: the untouched model is compared anyway, as {UNTOUCHED}"
    if config.minutes:
        yield "minutes: would shorten each variant, and the test set, by another measure: leave it out"
    for name in fields:
        section = next((kept for kept in _KEPT if name == kept or name.startswith(f"{kept}.")), None)
        if section:
            yield f"{name}: a comparison has the same {section} for all: set it in the recipe itself"
        if name.startswith("data.train.") and not (config.data.test.path and config.data.validation.path):
            yield f"{name}: would change the pairs cut from it: name data.test and data.validation in the recipe"
        if name == "training.learning_rate":
            yield "training.learning_rate: name the rates to try as rates: [...]"
        if name.startswith("lora.") and config.method != "lora":
            yield f"{name} has no effect with method {config.method}: leave it out"


def _rates(values: Any, place: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{place}.rates: must be a list of numbers, such as [1e-4, 1e-3], not {values!r}") from error
    if not rates or any(not 0 < rate < float("inf") for rate in rates):
        raise ConfigError(f"{place}.rates: name at least one rate, all above 0, not {values!r}")
    return tuple(dict.fromkeys(rates))
