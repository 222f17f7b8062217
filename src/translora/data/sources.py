"""Read sentence pairs from files: TSV, CSV, JSON lines, Parquet, aligned text files and TMX, plain, .gz or .zst.

Each reader is a generator of `Pair`, in file order; data sets are in `datasets.py` beside this file. A reader raises
`DataError`, naming file and line, for what it cannot read; it never skips a line silently.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, BinaryIO

from translora import mini
from translora.config import SourceConfig
from translora.data.pairs import Corpus, Pair
from translora.errors import DataError

_COMPRESSED = (".gz", ".zst")


def read_corpus(config: SourceConfig, source: str, target: str) -> Corpus:
    """All pairs of one source as a corpus; raises `DataError` where there are none."""
    corpus = Corpus.of(read(config, source, target))
    if not len(corpus):
        raise DataError(f"{config.path}: no sentence pairs in it")
    return corpus


def read(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    """Stream the pairs of one source; `source` and `target` are language codes, which name the columns."""
    pairs = _READERS[_format_of(config)](config, source, target)
    return islice(pairs, config.limit) if config.limit else pairs


def open_binary(path: Path) -> BinaryIO:
    """Open a plain, .gz or .zst file for reading."""
    if path.is_dir():
        raise DataError(f"{path}: a folder, where a file is needed")
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rb")  # type: ignore[return-value]
        if path.suffix == ".zst":
            import zstandard

            return io.BufferedReader(zstandard.open(path, "rb"))
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}: give the path of a file that exists") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of each line of a UTF-8 file, plain or compressed; see `decode_lines`."""
    with open_binary(path) as stream:
        yield from decode_lines(stream, str(path))


def decode_lines(stream: Iterable[bytes], name: str) -> Iterator[tuple[int, str]]:
    r"""Line number and text of each line of a binary stream of UTF-8; `name` stands for it in messages.

    Only `\n` and `\r\n` end a line: the characters that `str.splitlines` also breaks at (U+2028, form feed) occur
    inside real sentences, and breaking there shifts every pair that follows.
    """
    number = 0
    try:
        for number, line in enumerate(stream, start=1):
            bare = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            yield number, bare.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}:{number}: not UTF-8 (byte {error.start + 1} is 0x{error.object[error.start]:02x}): "
            f"convert the file, for example with iconv -f latin1 -t utf-8"
        ) from error
    except (OSError, EOFError, _zstd_error()) as error:
        raise DataError(f"{name}: damaged or cut short after line {number} ({error}): copy it again") from error


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _format_of(config: SourceConfig) -> str:
    if config.format != "auto":
        return config.format
    if config.path == "mini":
        return "mini"
    path = Path(config.path)
    if path.is_dir():
        return "folder"
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix not in _COMPRESSED]
    kind = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".tmx": "tmx"}.get(
        suffixes[-1] if suffixes else ""
    )
    if kind:
        return kind
    if config.target_path:
        return "text"
    if path.exists():
        raise DataError(
            f"{path}: the name does not tell the format: set format to tsv, csv, jsonl, parquet or tmx, "
            f"or give target_path for two aligned text files"
        )
    if path.is_absolute() or path.suffix or config.path.count("/") > 1 or config.path.startswith("."):
        raise DataError(f"{path}: no such file or folder: check the path (it is relative to where you run translora)")
    return "hub"


def clean_cell(text: str) -> str:
    """A cell without outer white space."""
    return text.strip()


def _pair(source: Any, target: Any, file: str, line: int) -> Pair:
    for side, text in (("source", source), ("target", target)):
        if not isinstance(text, str):
            raise DataError(f"{file}:{line}: the {side} is {type(text).__name__}, not text: give two text columns")
    return Pair(clean_cell(source), clean_cell(target), file, line)


def _rows(rows: Iterator[tuple[int, list[str]]], config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    """Pairs out of rows of cells; the first row may be a header."""
    file = config.path
    first = next(rows, None)
    if first is None:
        return
    wanted = config.columns or (source, target)
    numbers = [int(column) - 1 if column.isdigit() else None for column in wanted]
    if any(number is None for number in numbers) and set(wanted) <= set(first[1]):
        numbers = [first[1].index(column) for column in wanted]
    elif not config.columns:
        numbers = [0, 1]
        yield _cells(first, (0, 1), file)
    elif all(number is not None for number in numbers):
        yield _cells(first, [n for n in numbers if n is not None], file)
    else:
        raise DataError(f"{file}:1: no column {' and '.join(wanted)}: the first line has {', '.join(first[1])}")
    places = [n for n in numbers if n is not None]
    for row in rows:
        yield _cells(row, places, file)


def _cells(row: tuple[int, list[str]], places: Sequence[int], file: str) -> Pair:
    line, cells = row
    if max(places) >= len(cells):
        raise DataError(
            f"{file}:{line}: {len(cells)} column(s) where {max(places) + 1} are needed: source and target belong "
            f"into two columns"
        )
    return _pair(cells[places[0]], cells[places[1]], file, line)


def _read_tsv(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    rows = ((number, line.split("\t")) for number, line in read_lines(Path(config.path)))
    return _rows(rows, config, source, target)


def _read_csv(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    def rows() -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader((line + "\n" for _, line in read_lines(Path(config.path))), strict=True)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except csv.Error as error:
            raise DataError(f"{config.path}:{reader.line_num}: not CSV ({error}): quote it, or use TSV") from error

    return _rows(rows(), config, source, target)


def _record_pair(record: Any, config: SourceConfig, source: str, target: str, line: int) -> Pair:
    """A pair out of a record: flat, or the `{"translation": {"de": ..., "en": ...}}` form of translation sets."""
    columns = config.columns or (source, target)
    if isinstance(record, dict) and isinstance(record.get("translation"), dict):
        record = record["translation"]
    if not isinstance(record, dict):
        raise DataError(f"{config.path}:{line}: {type(record).__name__} instead of an object of two texts")
    missing = [column for column in columns if column not in record]
    if missing:
        raise DataError(
            f"{config.path}:{line}: no field {' and '.join(missing)}; it has {', '.join(map(str, record))}: "
            f"name the two fields in columns"
        )
    return _pair(record[columns[0]], record[columns[1]], config.path, line)


def _read_jsonl(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    for number, line in read_lines(Path(config.path)):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{config.path}:{number}: not JSON ({error}): one object a line") from error
        yield _record_pair(record, config, source, target, number)


def _read_parquet(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = Path(config.path)
    try:
        plain: Any = io.BytesIO(open_binary(path).read()) if path.suffix in _COMPRESSED else path
        file = parquet.ParquetFile(plain)
        names = file.schema_arrow.names
        columns = ["translation"] if "translation" in names else list(config.columns or (source, target))
        if missing := [column for column in columns if column not in names]:
            raise DataError(
                f"{path}: no column {' and '.join(missing)}; it has {', '.join(names)}: name the two in columns"
            )
        line = 0
        for batch in file.iter_batches(columns=columns):
            for record in batch.to_pylist():
                line += 1
                yield _record_pair(record, config, source, target, line)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def _read_text(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    if not config.target_path:
        raise DataError(f"{config.path}: text format needs target_path, the file of target lines")
    lines = zip_longest(read_lines(Path(config.path)), read_lines(Path(config.target_path)))
    for number, (left, right) in enumerate(lines, start=1):
        if left is None or right is None:
            short, long = (config.path, config.target_path) if left is None else (config.target_path, config.path)
            raise DataError(
                f"{short} ends before line {number}, but {long} goes on: the two files must be aligned line by line"
            )
        yield _pair(left[1], right[1], config.path, number)


def _read_tmx(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    from lxml import etree
    from translate.storage.tmx import tmxfile

    with open_binary(Path(config.path)) as stream:
        data = stream.read()
    if b"<!ENTITY" in data[:65536]:
        raise DataError(f"{config.path}: it declares XML entities, which are not expanded: remove its DTD")
    try:
        units = tmxfile.parsestring(data).units
    except (etree.XMLSyntaxError, ValueError) as error:
        raise DataError(f"{config.path}: not TMX ({error})") from error
    for number, unit in enumerate(units, start=1):
        texts = {}
        for code in (source, target):
            node = next((n for n in unit.getlanguageNodes() if _same_language(_tuv_language(n), code)), None)
            if node is None:
                raise DataError(f"{config.path}: translation unit {number} has no text in {code}")
            texts[code] = unit.getNodeText(node) or ""
        yield _pair(texts[source], texts[target], config.path, number)


def _tuv_language(node: Any) -> str:
    return node.get("{http://www.w3.org/XML/1998/namespace}lang") or node.get("lang") or ""


def _same_language(found: str, wanted: str) -> bool:
    """`de-DE` answers to `de`, but not the other way round."""
    found, wanted = found.lower().replace("_", "-"), wanted.lower()
    return found == wanted or found.startswith(wanted + "-")


def _read_folder(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    from translora.data.hub import read_saved

    for number, record in enumerate(read_saved(config), start=1):
        yield _record_pair(record, config, source, target, number)


def _read_hub(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    from translora.data.hub import read_hub

    for number, record in enumerate(read_hub(config), start=1):
        yield _record_pair(record, config, source, target, number)


def _read_mini(config: SourceConfig, source: str, target: str) -> Iterator[Pair]:
    split = config.split or "train"
    if split not in mini.SPLITS:
        raise DataError(f"mini has no split {split!r}: use {', '.join(mini.SPLITS)}")
    if {source, target} != {"de", "en"}:
        raise DataError(f"mini holds German and English (de, en), not {source} to {target}: give your own data")
    path = mini.CORPUS / f"{split}.tsv.gz"
    for number, line in read_lines(path):
        german, english = line.split("\t")
        texts = (german, english) if source == "de" else (english, german)
        yield Pair(*texts, f"mini/{path.name}", number)


_READERS = {
    "tsv": _read_tsv,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
    "text": _read_text,
    "tmx": _read_tmx,
    "folder": _read_folder,
    "hub": _read_hub,
    "mini": _read_mini,
}
