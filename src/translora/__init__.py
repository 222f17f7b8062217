"""Teach a T5-family model to translate your own texts, with LoRA, and know whether it worked.

    import translora
    run = translora.train("my-corpus.yaml")
    print(run.summary.bleu_before, run.summary.bleu_after)
    print(run.translator().translate("Guten Morgen!"))

Importing this package loads no torch; the first call does.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translora.comparison.runner import compare
    from translora.config import (
        CleaningConfig,
        CompareConfig,
        Config,
        DataConfig,
        DecodingConfig,
        LoraConfig,
        RanksConfig,
        RateFactorsConfig,
        SourceConfig,
        TrainingConfig,
    )
    from translora.config.load import load_config
    from translora.errors import TransloraError
    from translora.pipeline import train
    from translora.runs.folder import Run
    from translora.runs.summary import Summary
    from translora.scoring.metrics import Score, Scores, evaluate
    from translora.translation.glossary import read_glossary
    from translora.translation.result import Translation
    from translora.translation.terms import Glossary
    from translora.translation.translator import Translator

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # PEFT imports it where it is installed, and then it warns

__version__ = "0.1.0"

__all__ = [
    "CleaningConfig",
    "CompareConfig",
    "Config",
    "DataConfig",
    "DecodingConfig",
    "Glossary",
    "LoraConfig",
    "RanksConfig",
    "RateFactorsConfig",
    "Run",
    "Score",
    "Scores",
    "SourceConfig",
    "Summary",
    "TrainingConfig",
    "Translation",
    "Translator",
    "TransloraError",
    "__version__",
    "compare",
    "evaluate",
    "load_config",
    "read_glossary",
    "train",
]

_HOME = {
    "CleaningConfig": "config",
    "CompareConfig": "config",
    "Config": "config",
    "DataConfig": "config",
    "DecodingConfig": "config",
    "Glossary": "translation.terms",
    "LoraConfig": "config",
    "RanksConfig": "config",
    "RateFactorsConfig": "config",
    "Run": "runs.folder",
    "Score": "scoring.metrics",
    "Scores": "scoring.metrics",
    "SourceConfig": "config",
    "Summary": "runs.summary",
    "TrainingConfig": "config",
    "TransloraError": "errors",
    "Translation": "translation.result",
    "Translator": "translation.translator",
    "compare": "comparison.runner",
    "evaluate": "scoring.metrics",
    "load_config": "config.load",
    "read_glossary": "translation.glossary",
    "train": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'translora' has no attribute {name!r}")
    value = getattr(import_module(f"translora.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
