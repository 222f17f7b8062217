"""The embedded base model and corpus: German to English, small, offline. Cards and licences lie beside the data."""

from __future__ import annotations

from pathlib import Path

from translora.errors import ConfigError
from translora.languages import language_name, same_language

MODEL = Path(__file__).parent / "model"
"""A T5-shaped model of everyday German and English and of interface strings, in transformers' format.

README.md beside it is its card.
"""

CORPUS = Path(__file__).parent / "corpus"
"""The LibreOffice help pairs, German and English (MPL-2.0: see NOTICE.md beside them)."""

SPLITS = ("train", "validation", "test")
"""The files of `CORPUS`, each `SPLIT.tsv.gz`."""


DIRECTIONS = (("de", "en"), ("en", "de"))
"""The source and target language of each direction that `MODEL` was trained in."""


def require_languages(source: str, target: str) -> None:
    """Raise `ConfigError` for a direction that the model has not learnt."""
    if not any(same_language(source, [ours]) and same_language(target, [theirs]) for ours, theirs in DIRECTIONS):
        known = " and ".join(f"{language_name(ours)} to {language_name(theirs)}" for ours, theirs in DIRECTIONS)
        codes = " or ".join(f"source {ours}, target {theirs}" for ours, theirs in DIRECTIONS)
        raise ConfigError(
            f"mini translates {known} only ({codes}), not {source} to {target}: "
            f"name another model, such as google/flan-t5-small"
        )
