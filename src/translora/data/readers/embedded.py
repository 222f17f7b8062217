"""The embedded corpus."""

from __future__ import annotations

from collections.abc import Iterator

from translora import mini
from translora.config import SourceConfig
from translora.data.pairs import Item, Pair
from translora.data.readers.lines import text_lines
from translora.data.readers.slices import parse_split, slice_bounds
from translora.errors import DataError
from translora.languages import subtags


def read_mini(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The pairs of the embedded corpus, in either direction."""
    split, start, stop = parse_split(config.split)
    if split not in mini.SPLITS:
        raise DataError(f"mini has no split {split!r}: use {', '.join(mini.SPLITS)}")
    languages = [subtags(code).language for code in (source, target)]
    if sorted(languages) != ["de", "en"]:
        raise DataError(f"mini holds German and English (de, en), not {source} to {target}: give your own data")
    path = mini.CORPUS / f"{split}.tsv.gz"
    lines = text_lines(path)
    first, last = slice_bounds(start, stop, lambda: len(lines))
    for number, line in enumerate(lines[first:last], start=first + 1):
        german, english = line.split("\t")
        texts = (german, english) if languages[0] == "de" else (english, german)
        yield Pair(*texts, f"mini/{path.name}", number)
