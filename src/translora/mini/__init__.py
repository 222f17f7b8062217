"""The embedded base model and corpus: German to English, small, offline. Cards and licences lie beside the data."""

from __future__ import annotations

from pathlib import Path

from translora.errors import ConfigError
from translora.languages import same_language

MODEL = Path(__file__).parent / "model"
"""A T5-shaped model of everyday German and English, in transformers' format (README.md beside it is its card)."""

CORPUS = Path(__file__).parent / "corpus"
"""The LibreOffice help pairs, German and English (MPL-2.0: see NOTICE.md beside them)."""

SPLITS = ("train", "validation", "test")
"""The files of `CORPUS`, each `SPLIT.tsv.gz`."""


def require_languages(source: str, target: str) -> None:
    """Raise `ConfigError` for any but German to English: the model has learnt nothing else."""
    if not (same_language(source, ["de"]) and same_language(target, ["en"])):
        raise ConfigError(
            f"mini translates German to English only (source de, target en), not {source} to {target}: "
            f"name another model, such as google/flan-t5-small"
        )
