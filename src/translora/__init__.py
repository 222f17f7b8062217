"""Teach a T5-family model to translate your own texts, with LoRA, and know whether it worked.

    import translora
    run = translora.train(translora.load_config("my-corpus.yaml"))
    print(run.summary["bleu_before"], run.summary["bleu_after"])
    print(translora.translate_lines(run.folder, ["Guten Morgen!"]))

Importing this package loads no torch; the first call does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translora.config import Config
    from translora.config.load import load_config
    from translora.errors import TransloraError
    from translora.pipeline import train, translate_lines
    from translora.runs.folder import Run
    from translora.scoring.metrics import evaluate

__version__ = "0.1.0"

__all__ = ["Config", "Run", "TransloraError", "__version__", "evaluate", "load_config", "train", "translate_lines"]

_HOME = {
    "Config": "config",
    "Run": "runs.folder",
    "TransloraError": "errors",
    "evaluate": "scoring.metrics",
    "load_config": "config.load",
    "train": "pipeline",
    "translate_lines": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'translora' has no attribute {name!r}")
    value = getattr(import_module(f"translora.{_HOME[name]}"), name)
    globals()[name] = value
    return value
