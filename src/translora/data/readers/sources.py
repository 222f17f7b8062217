"""Read sentence pairs from files: TSV, CSV, JSON lines, Parquet, aligned texts, TMX, PO, XLIFF, plain, .gz or .zst.

Each reader is a generator in file order; data sets are in `hub.py` beside this file. A reader yields a `DataError`
that names file and line for a line that cannot be read, in place of the pair; its caller stops there, or counts it. It
raises one where the rest of the file cannot be told apart any more. It never skips a line silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from translora.config import SourceConfig
from translora.data.pairs import Corpus, Item, Pair
from translora.data.readers.embedded import read_mini
from translora.data.readers.files import Reader, has_splits, kind_of, markup_kind, read_file, read_folder
from translora.data.readers.hub import read_hub_set
from translora.data.readers.slices import pairs_only
from translora.errors import DataError
from translora.languages import require_two


def read_corpus(config: SourceConfig, source: str, target: str) -> Corpus:
    """All pairs of one source as a corpus; raises `DataError` where there are none."""
    corpus = Corpus.of(read(config, source, target))
    if not len(corpus):
        raise DataError(f"{config.path}: no sentence pairs in it")
    return corpus


def read(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    """Stream the pairs of one source; `source` and `target` are language codes, which name the columns.

    Raises `DataError` at the first line that cannot be read.
    """
    for item in read_items(config, source, target):
        if isinstance(item, DataError):
            raise item
        yield item


def read_each(configs: Iterable[SourceConfig], source: str, target: str) -> Iterator[Pair]:
    """Stream the pairs of several sources, one after the other; see `read`."""
    return (pair for config in configs for pair in read(config, source, target))


def read_items(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """Stream the lines of one source, each as a pair or a `DataError`; see `read`."""
    require_two(source, target)
    items = _READERS.get(format_of(config), read_file)(config, source, target)
    return pairs_only(items, config.limit) if config.limit else items


def default_split(config: SourceConfig, wanted: str) -> str:
    """`wanted` for a source that has splits; empty for a file, or a folder of files that belong to none."""
    kind = format_of(config)
    return wanted if kind in ("mini", "hub") or (kind == "folder" and has_splits(Path(config.path))) else ""


def format_of(config: SourceConfig) -> str:
    """The name of the format, by the configuration and the name of the file; raises `DataError`."""
    if not config.path:
        raise DataError("no path: name a file, a folder, a hub data set, or mini")
    if config.format != "auto":
        return config.format
    if config.path == "mini":
        return "mini"
    path = Path(config.path)
    if path.is_dir():
        return "folder"
    kind = kind_of(path) or markup_kind(path)
    if kind and kind != "sgm" and config.target_path:
        raise DataError(f"{config.path}: a {kind} file has both sides: leave out {config.target_path}")
    if kind:
        return kind
    if config.target_path:
        return "text"
    if path.exists():
        raise DataError(
            f"{path}: the name does not tell the format: set format to tsv, csv, json, jsonl, parquet, "
            f"tmx, po or xliff, or give target_path (--target-file) for two aligned text files"
        )
    if path.is_absolute() or path.suffix or config.path.count("/") > 1 or config.path.startswith("."):
        raise DataError(f"{path}: no such file or folder: check the path (it is relative to where you run translora)")
    return "hub"


_READERS: dict[str, Reader] = {"folder": read_folder, "hub": read_hub_set, "mini": read_mini}
