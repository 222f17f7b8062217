"""A file of pairs, by its format; and folders of such files, read in the order of their names."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from translora.config import SourceConfig
from translora.data.pairs import Item
from translora.data.readers.delimited import read_csv, read_tsv
from translora.data.readers.hub import read_saved_set
from translora.data.readers.jsonl import read_json, read_jsonl
from translora.data.readers.lines import COMPRESSED
from translora.data.readers.markup import root_of
from translora.data.readers.parquet import read_parquet
from translora.data.readers.po import read_po
from translora.data.readers.slices import parse_split, sliced
from translora.data.readers.text import read_text
from translora.data.readers.tmx import read_tmx
from translora.data.readers.wmt import ROOTS, read_sgm
from translora.data.readers.xliff import read_xliff
from translora.errors import DataError
from translora.io import console
from translora.languages import names_of

Reader = Callable[[SourceConfig, str, str], Iterator[Item]]

READERS: dict[str, Reader] = {
    "tsv": read_tsv,
    "csv": read_csv,
    "json": read_json,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
    "text": read_text,
    "tmx": read_tmx,
    "po": read_po,
    "xliff": read_xliff,
    "sgm": read_sgm,
}
"""The readers of single files, by format."""

ENDINGS = {
    ".tsv": "tsv", ".tab": "tsv", ".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".tmx": "tmx", ".po": "po", ".xlf": "xliff", ".xliff": "xliff", ".sdlxliff": "xliff",
}  # fmt: skip
"""The formats by the endings of names; each may be followed by .gz or .zst."""

_SPLIT_NAMES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation",
                "dev": "validation", "test": "test"}  # fmt: skip


def kind_of(path: Path) -> str:
    """The format that a file's name tells; empty where it tells none."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix not in COMPRESSED]
    return ENDINGS.get(suffixes[-1], "") if suffixes else ""


def markup_kind(path: Path) -> str:
    """The format that the root of an XML or SGML file tells, whatever its name; empty for other files."""
    root = root_of(path)
    return "sgm" if root in ROOTS else root if root in ("tmx", "xliff") else ""


def read_file(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The pairs of one file, or the part of them that `config.split` takes."""
    path = Path(config.path)
    kind = config.format if config.format != "auto" else kind_of(path) or markup_kind(path) or "text"
    if not config.split:
        return READERS[kind](config, source, target)
    whole = dataclasses.replace(config, split="")
    return sliced(lambda: READERS[kind](whole, source, target), config.split, config.path)


def read_folder(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The pairs of a folder: a saved data set, files of pairs, or aligned text files such as OPUS's.

    Files named for splits (`train.tsv`, `test-00000.parquet`) are those of `config.split` alone, by default `train`.

    Raises `DataError` where the folder holds no such files, or files of several formats.
    """
    folder = Path(config.path)
    if config.name or _is_saved(folder):
        return read_saved_set(config, source, target)
    chosen = list(_chosen(folder, config, (source, target)))
    if not config.split or "[" not in config.split:
        return _one_after_the_other(chosen, source, target)
    return sliced(lambda: _one_after_the_other(chosen, source, target), config.split, config.path)


def has_splits(folder: Path) -> bool:
    """Whether a folder is in parts such as `train` and `test`."""
    if _is_saved(folder):
        return True
    files = [path for path in folder.rglob("*") if path.is_file()]
    sides = Counter(map(_without_language, files))  # aligned files are two of one name
    tables = [path for path in files if kind_of(path)]
    return any(map(_split_of, tables or [path for path in files if sides[_without_language(path)] > 1]))


def _is_saved(folder: Path) -> bool:
    """Whether `datasets` saved the folder, or a card in the hub's form says how its files belong together."""
    if any((folder / name).exists() for name in ("state.json", "dataset_dict.json")):
        return True
    card = folder / "README.md"
    return (
        card.is_file() and re.search(r"^configs:", card.read_text(encoding="utf-8", errors="replace"), re.M) is not None
    )


def _one_after_the_other(sources: list[SourceConfig], source: str, target: str) -> Iterator[Item]:
    for one in sources:
        yield from read_file(one, source, target)


def _chosen(folder: Path, config: SourceConfig, languages: tuple[str, str]) -> Iterator[SourceConfig]:
    """The files of a folder, each as a source of its own."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    tables = [path for path in files if kind_of(path)]
    split = parse_split(config.split, unnamed="")[0]
    if tables:
        kinds = {kind_of(path) for path in tables}
        if len(kinds) > 1:
            shown = ", ".join(path.name for path in tables[:4])
            raise DataError(
                f"{folder}: files of several formats ({shown}): name one of them, or put them in folders of their own"
            )
        for path in _of_split(tables, split, folder):
            yield dataclasses.replace(config, path=str(path), split="", limit=0)
        return
    aligned = list(_aligned(files, languages))
    if not aligned:
        shown = ", ".join(path.name for path in files[:6]) or "nothing"
        raise DataError(f"{folder}: no files of pairs in it (it holds {shown}): give the path of a file")
    chosen = _of_split([left for left, _ in aligned], split, folder)
    for left, right in aligned:
        if left not in chosen:
            continue
        console.notice(f"{left}: aligned with {right}, line by line")
        yield dataclasses.replace(config, path=str(left), target_path=str(right), format="text", split="", limit=0)


def _of_split(files: list[Path], split: str, folder: Path) -> list[Path]:
    """Those of `files` whose names say that they are of `split`; all, where none is named for a split."""
    named = {path: _split_of(path) for path in files}
    if not any(named.values()):
        if split:
            raise DataError(f"{folder}: no file in it is named for a split {split!r}: leave split out, or take a slice")
        return files
    wanted = _SPLIT_NAMES.get(split or "train", split)
    found = [path for path, name in named.items() if name == wanted]
    if not found:
        shown = ", ".join(sorted({name for name in named.values() if name}))
        raise DataError(f"{folder}: no split {wanted!r}; it has {shown}: name one in split")
    left_out = [path.name for path, name in named.items() if not name]
    if left_out:
        raise DataError(f"{folder}: {left_out[0]} belongs to no split, unlike {found[0].name}: name a file")
    return found


def _split_of(path: Path) -> str:
    words = re.split(r"[\W_]+", path.name.lower())
    return next((_SPLIT_NAMES[word] for word in words if word in _SPLIT_NAMES), "")


def _aligned(files: list[Path], languages: tuple[str, str]) -> Iterator[tuple[Path, Path]]:
    """Files that differ in the language alone, such as `demo.de-en.de` and `demo.de-en.en`."""
    codes = [names_of(code) for code in languages]
    for left in files:
        if _plain(left).suffix[1:].lower() in codes[0]:
            for right in files:
                if _plain(right).suffix[1:].lower() in codes[1] and _without_language(right) == _without_language(left):
                    yield left, right


def _plain(path: Path) -> Path:
    """The path without the ending of a compressed file."""
    return path.with_suffix("") if path.suffix in COMPRESSED else path


def _without_language(path: Path) -> Path:
    return _plain(path).with_suffix("")
