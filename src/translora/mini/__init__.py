"""The embedded base model and corpus: German to English, small, offline. Cards and licences lie beside the data."""

from __future__ import annotations

from pathlib import Path

MODEL = Path(__file__).parent / "model"
"""A T5-shaped model of everyday German and English, in transformers' format (README.md beside it is its card)."""

CORPUS = Path(__file__).parent / "corpus"
"""The LibreOffice help pairs, German and English (MPL-2.0: see NOTICE.md beside them)."""

SPLITS = ("train", "validation", "test")
"""The files of `CORPUS`, each `SPLIT.tsv.gz`."""
