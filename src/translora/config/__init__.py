"""The configuration of a run: the sections of a recipe, and the loader of YAML files and flags. Loads no torch."""

from translora.config.data import CleaningConfig, DataConfig, SourceConfig
from translora.config.schema import (
    CompareConfig,
    Config,
    DecodingConfig,
    LoraConfig,
    RanksConfig,
    RateFactorsConfig,
    Recipe,
    TrainingConfig,
)

__all__ = [
    "CleaningConfig",
    "CompareConfig",
    "Config",
    "DataConfig",
    "DecodingConfig",
    "LoraConfig",
    "RanksConfig",
    "RateFactorsConfig",
    "Recipe",
    "SourceConfig",
    "TrainingConfig",
]
