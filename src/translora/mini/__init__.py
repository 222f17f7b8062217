"""The embedded base model and corpus: German to English, small, offline. Cards and licences lie beside the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from translora.errors import DataError

if TYPE_CHECKING:
    from translora.data.pairs import Pair

MODEL = Path(__file__).parent / "model"
"""A T5 1.1 shaped model of everyday German and English (CC BY 2.0 data: see MODEL_CARD.md)."""

CORPUS = Path(__file__).parent / "corpus"
"""The LibreOffice help pairs, German and English (MPL-2.0: see NOTICE.md)."""

SPLITS = ("train", "validation", "test")


def read_pairs(split: str, source: str, target: str) -> Iterator[Pair]:
    """Stream one split of the embedded corpus, in either direction.

    Raises `DataError` for a split or a language that it does not have.
    """
    from translora.data.pairs import Pair
    from translora.data.sources import read_lines

    if split not in SPLITS:
        raise DataError(f"mini has no split {split!r}: use {', '.join(SPLITS)}")
    if {source, target} != {"de", "en"}:
        raise DataError(f"mini holds German and English (de, en), not {source} to {target}: give your own data")
    path = CORPUS / f"{split}.tsv.gz"
    for number, line in read_lines(path):
        german, english = line.split("\t")
        texts = (german, english) if source == "de" else (english, german)
        yield Pair(*texts, f"mini/{path.name}", number)
