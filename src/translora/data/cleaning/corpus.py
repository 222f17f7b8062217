"""Write a cleaned corpus, and beside it the pairs left out and why: `translora data clean`. One streaming pass."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from translora.config import CleaningConfig, SourceConfig
from translora.data.cleaning.rules import Cleaner
from translora.data.pairs import Item, Pair
from translora.data.readers.sources import read_each, read_items
from translora.errors import ConfigError, DataError
from translora.io import console
from translora.io.files import atomic_file

_FORMATS = (".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz")
_BREAKS = re.compile("[\\t\\r\\n]+")
"""Characters that cannot stand inside the text of a TSV file; every other white space is kept as it is."""
_TOLD_EVERY = 500_000


def clean_corpus(
    config: SourceConfig,
    source: str,
    target: str,
    rules: CleaningConfig,
    output: Path,
    held_out: Sequence[SourceConfig] = (),
    overwrite: bool = False,
) -> Cleaner:
    """Write the kept pairs to `output` (.tsv or .jsonl, also .gz), and the others to `dropped_file(output)`.

    Raises `ConfigError` for another kind of file, one that exists or is read from, `StorageError` where it cannot be
    written, and `DataError` where the source cannot be read or nothing is kept; nothing is then written.
    """
    files = output, dropped_file(output)
    _check_output(
        files, [Path(path) for one in (config, *held_out) for path in (one.path, one.target_path) if path], overwrite
    )
    cleaner = Cleaner(rules, source, target, read_each(held_out, source, target))
    tsv = ".jsonl" not in output.name
    line_of = _tsv_line if tsv else _json_line(source, target)
    broken: list[Pair] = []
    breaks = 0
    with ExitStack() as stack:
        kept, dropped = (stack.enter_context(_text_file(file)) for file in files)
        for number, (item, reason) in enumerate(cleaner.sort(read_items(config, source, target)), start=1):
            if not reason and isinstance(item, Pair):
                kept.write(line_of(item))
                if tsv and any(_BREAKS.search(text) for text in item[:2]):
                    breaks, broken = breaks + 1, broken or [item]
            else:
                dropped.write(_dropped_line(item, reason))
            if number % _TOLD_EVERY == 0:
                console.notice(f"clean: {number:,} pairs read, {cleaner.kept:,} kept")
        if not cleaner.kept:
            raise DataError(f"{config.path}: no pairs are left (left out: {cleaner.reasons}); nothing is written")
    if broken:
        console.notice(
            f"{output}: tabs and line ends inside {breaks:,} pairs became spaces (the first: {broken[0].origin}): "
            f"write .jsonl to keep them"
        )
    return cleaner


def _check_output(files: tuple[Path, Path], inputs: list[Path], overwrite: bool) -> None:
    output = files[0]
    if not output.name.endswith(_FORMATS):
        raise ConfigError(f"{output}: the name must end in one of {', '.join(_FORMATS)}")
    for file in filter(Path.exists, files):
        if file.is_dir():
            raise ConfigError(f"{file} is a folder: choose another --output")
        if any(path.exists() and path.samefile(file) for path in inputs):
            raise ConfigError(f"{file} is read from: choose another --output")
        if not overwrite:
            raise ConfigError(f"{file} exists: choose another --output, or add --overwrite")


def dropped_file(output: Path) -> Path:
    """The file of the pairs left out: reason, place, source and target in columns."""
    ending = next((end for end in _FORMATS if output.name.endswith(end)), "")
    return output.with_name(f"{output.name.removesuffix(ending)}.dropped.tsv{'.gz' if ending.endswith('.gz') else ''}")


@contextmanager
def _text_file(path: Path) -> Iterator[TextIO]:
    """A text file, compressed where its name says so, which is there once it is whole."""
    with atomic_file(path) as temporary, open(temporary, "wb") as binary, ExitStack() as stack:
        raw = stack.enter_context(gzip.GzipFile("", "wb", mtime=0, fileobj=binary)) if path.suffix == ".gz" else binary
        text = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline="\n", errors="backslashreplace"))
        yield text


def _tsv_line(pair: Pair) -> str:
    return f"{_one_line(pair.source)}\t{_one_line(pair.target)}\n"


def _json_line(source: str, target: str) -> Callable[[Pair], str]:
    return lambda pair: json.dumps({source: pair.source, target: pair.target}, ensure_ascii=False) + "\n"


def _dropped_line(item: Item, reason: str) -> str:
    if isinstance(item, Pair):
        return f"{reason}\t{item.origin}\t{_tsv_line(item)}"
    return f"{reason}\t{_one_line(str(item))}\t\t\n"


def _one_line(text: str) -> str:
    return _BREAKS.sub(" ", text)
