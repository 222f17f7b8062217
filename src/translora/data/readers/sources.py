"""Read sentence pairs from files: TSV, CSV, JSON lines, Parquet, aligned text files and TMX, plain, .gz or .zst.

Each reader is a generator in file order; data sets are in `hub.py` beside this file. A line that cannot be read it
yields as a `DataError` that names file and line, in place of the pair: its caller stops there, or counts it. What
leaves unclear how the rest belongs together it raises. It never skips a line silently.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from translora import mini
from translora.config import SourceConfig
from translora.data.cleaning.rules import Item
from translora.data.pairs import Corpus, Pair
from translora.data.readers.lines import COMPRESSED, DAMAGED, LONGEST, open_binary, read_lines, text_lines
from translora.errors import DataError
from translora.languages import language_name, require_two


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
    """Stream what the lines of one source hold, each a pair or a `DataError`; see `read`."""
    require_two(source, target)
    items = _READERS[format_of(config)](config, source, target)
    return islice(items, config.limit) if config.limit else items


def format_of(config: SourceConfig) -> str:
    """The name of the format, by what the configuration says and the file is called; raises `DataError`."""
    if not config.path:
        raise DataError("no path: name a file, a folder, a hub data set, or mini")
    if config.format != "auto":
        return config.format
    if config.path == "mini":
        return "mini"
    path = Path(config.path)
    if path.is_dir():
        return "folder"
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix not in COMPRESSED]
    kind = {".tsv": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet", ".tmx": "tmx"}.get(
        suffixes[-1] if suffixes else ""
    )
    if kind and config.target_path:
        raise DataError(f"{config.path}: a {kind} file has both sides: leave out {config.target_path}")
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


def _pair(source: Any, target: Any, file: str, line: int) -> Item:
    for side, text in (("source", source), ("target", target)):
        if not isinstance(text, str):
            return DataError(f"{file}:{line}: the {side} is {type(text).__name__}, not text: give two text columns")
    return Pair(source.strip(), target.strip(), file, line)


Row = tuple[int, list[str] | DataError]


def _rows(rows: Iterator[Row], config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """Pairs out of rows of cells; the first row may be a header."""
    places: list[int] | None = None
    for line, cells in rows:
        if isinstance(cells, DataError):
            yield cells
        elif places is None:
            places, is_header = _places(line, cells, config, (source, target))
            if not is_header:
                yield _cells(line, cells, places, config.path)
        else:
            yield _cells(line, cells, places, config.path)


def _places(line: int, first: list[str], config: SourceConfig, languages: tuple[str, str]) -> tuple[list[int], bool]:
    """Where source and target are in a row, and whether the first one is a header."""
    wanted = config.columns or languages
    if len(set(wanted)) < len(wanted):
        raise DataError(f"{config.path}: columns names {wanted[0]} twice: name the source and the target column")
    headers = [{code.casefold(), language_name(code).casefold()} for code in languages]
    cells = [cell.strip().casefold() for cell in first]
    numbers = [int(column) - 1 for column in wanted if column.isdecimal() and int(column) > 0]
    if len(numbers) == len(wanted):
        named = max(numbers) < len(cells) and all(
            cells[place] in names for place, names in zip(numbers, headers, strict=True)
        )
        return numbers, named
    if set(wanted) <= set(first):
        return [first.index(column) for column in wanted], True
    found = [next((place for place, cell in enumerate(cells) if cell in names), None) for names in headers]
    if not config.columns and None not in found:
        return [place for place in found if place is not None], True
    if config.columns:
        raise DataError(
            f"{config.path}:{line}: no column {' and '.join(wanted)}: the first line has {', '.join(first)[:200]}"
        )
    return [0, 1], False


def _cells(line: int, cells: list[str], places: Sequence[int], file: str) -> Item:
    if max(places) >= len(cells):
        return DataError(
            f"{file}:{line}: {len(cells)} column(s) where {max(places) + 1} are needed: source and target belong "
            f"into two columns"
        )
    return _pair(cells[places[0]], cells[places[1]], file, line)


def _read_tsv(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    lines = read_lines(Path(config.path))
    rows = ((number, text if isinstance(text, DataError) else text.split("\t")) for number, text in lines)
    return _rows(rows, config, source, target)


def _read_csv(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    faults: list[Row] = []

    def texts() -> Iterator[str]:
        for number, text in read_lines(Path(config.path)):
            if isinstance(text, DataError):
                faults.append((number, text))
            else:
                yield text + "\n"

    def rows() -> Iterator[Row]:
        csv.field_size_limit(LONGEST)
        reader = csv.reader(texts(), strict=True)
        try:
            for cells in reader:
                yield from _taken(faults)
                if cells:  # csv gives an empty line no cells
                    yield reader.line_num, cells
        except csv.Error as error:
            line = reader.line_num
            raise DataError(f"{config.path}:{line}: not CSV ({error}): quote it, or use TSV") from error
        yield from _taken(faults)

    return _rows(rows(), config, source, target)


def _taken(rows: list[Row]) -> list[Row]:
    """What is in `rows`, which is empty afterwards."""
    taken = rows[:]
    rows.clear()
    return taken


def _record_pair(record: Any, config: SourceConfig, source: str, target: str, line: int) -> Item:
    """A pair out of a record: flat, or the `{"translation": {"de": ..., "en": ...}}` form of translation sets."""
    columns = config.columns or (source, target)
    if isinstance(record, dict) and isinstance(record.get("translation"), dict):
        record = record["translation"]
    if not isinstance(record, dict):
        return DataError(f"{config.path}:{line}: {type(record).__name__} instead of an object of two texts")
    missing = [column for column in columns if column not in record]
    if missing:
        return DataError(
            f"{config.path}:{line}: no field {' and '.join(missing)}; it has {', '.join(map(str, record))[:200]}: "
            f"name the two fields in columns"
        )
    return _pair(record[columns[0]], record[columns[1]], config.path, line)


def _read_jsonl(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    for number, line in read_lines(Path(config.path)):
        if isinstance(line, DataError):
            yield line
        elif line.strip():
            yield _json_pair(line, config, source, target, number)


def _json_pair(line: str, config: SourceConfig, source: str, target: str, number: int) -> Item:
    try:
        item = _record_pair(json.loads(line), config, source, target, number)
        if isinstance(item, Pair):
            (item.source + item.target).encode()
    except UnicodeEncodeError:
        return DataError(f"{config.path}:{number}: half a surrogate pair, which is no character: write the whole one")
    except (ValueError, RecursionError) as error:
        return DataError(f"{config.path}:{number}: not JSON ({error}): one object a line")
    return item


def _read_parquet(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = Path(config.path)
    try:
        plain: Any = io.BytesIO(open_binary(path).read()) if path.suffix in COMPRESSED else path
        file = parquet.ParquetFile(plain)
        names = file.schema_arrow.names
        nested = "translation" in names and pa.types.is_struct(file.schema_arrow.field("translation").type)
        columns = ["translation"] if nested else list(config.columns or (source, target))
        if missing := [column for column in columns if column not in names]:
            raise DataError(
                f"{path}: no column {' and '.join(missing)}; it has {', '.join(names)}: name the two in columns"
            )
        line = 0
        for batch in file.iter_batches(columns=columns):
            for record in batch.to_pylist():
                line += 1
                yield _record_pair(record, config, source, target, line)
    except (pa.ArrowException, ValueError, *DAMAGED) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error})") from error


def _read_text(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    if not config.target_path:
        raise DataError(f"{config.path}: text format needs target_path, the file of target lines")
    lines = zip_longest(read_lines(Path(config.path)), read_lines(Path(config.target_path)))
    for number, (left, right) in enumerate(lines, start=1):
        if left is None or right is None:
            short, long = (config.path, config.target_path) if left is None else (config.target_path, config.path)
            raise DataError(
                f"{short} ends before line {number}, but {long} goes on: the two files must be aligned line by line"
            )
        fault = next((text for _, text in (left, right) if isinstance(text, DataError)), None)
        yield fault or _pair(left[1], right[1], config.path, number)


def _read_tmx(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    """The translation units of a TMX file, one at a time.

    TMX 1.4b, https://www.gala-global.org/tmx-14b: the content of inline codes (`bpt`, `ept`, `it`, `ph`, `ut`) is no
    text, that of `hi` is. Entities that a file declares are not expanded.
    """
    from lxml import etree

    root = None
    with open_binary(Path(config.path)) as stream:
        try:
            events = etree.iterparse(
                stream, events=("start", "end"), resolve_entities=False, load_dtd=False, no_network=True
            )
            for event, element in events:
                if root is None:
                    root = element
                    _check_tmx(root, config.path)
                elif event == "end" and element.tag == "tu":
                    yield _unit_pair(element, config.path, source, target)
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
        except (etree.XMLSyntaxError, *DAMAGED) as error:
            raise DataError(f"{config.path}: not TMX, or cut short ({error}): export it again") from error


def _check_tmx(root: Any, file: str) -> None:
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise DataError(f"{file}: it declares XML entities, which are not expanded: remove its DTD")
    if root.tag != "tmx":
        raise DataError(f"{file}: not TMX (its root is {root.tag}): export it as TMX")


def _unit_pair(unit: Any, file: str, source: str, target: str) -> Item:
    texts = []
    for code in (source, target):
        segment = next(
            (tuv.find("seg") for tuv in unit.iterfind("tuv") if _same_language(_tuv_language(tuv), code)), None
        )
        if segment is None:
            return DataError(f"{file}:{unit.sourceline}: a translation unit without text in {code}")
        texts.append("".join(_segment_text(segment)))
    return _pair(texts[0], texts[1], file, unit.sourceline or 0)


def _segment_text(element: Any) -> Iterator[str]:
    yield element.text or ""
    for child in element:
        if child.tag == "hi":
            yield from _segment_text(child)
        yield child.tail or ""


def _tuv_language(node: Any) -> str:
    return node.get("{http://www.w3.org/XML/1998/namespace}lang") or node.get("lang") or ""


def _same_language(found: str, wanted: str) -> bool:
    """`de-DE` answers to `de`, but not the other way round."""
    found, wanted = found.lower().replace("_", "-"), wanted.lower()
    return found == wanted or found.startswith(wanted + "-")


def _read_folder(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    from translora.data.readers.hub import read_saved

    for number, record in enumerate(read_saved(config), start=1):
        yield _record_pair(record, config, source, target, number)


def _read_hub(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    from translora.data.readers.hub import read_hub

    for number, record in enumerate(read_hub(config), start=1):
        yield _record_pair(record, config, source, target, number)


def _read_mini(config: SourceConfig, source: str, target: str) -> Iterator[Item]:
    from translora.data.readers.hub import parse_split, slice_bounds

    split, start, stop = parse_split(config.split or "train")
    if split not in mini.SPLITS:
        raise DataError(f"mini has no split {split!r}: use {', '.join(mini.SPLITS)}")
    if {source, target} != {"de", "en"}:
        raise DataError(f"mini holds German and English (de, en), not {source} to {target}: give your own data")
    path = mini.CORPUS / f"{split}.tsv.gz"
    lines = text_lines(path)
    first, last = slice_bounds(start, stop, lambda: len(lines))
    for number, line in enumerate(lines[first:last], start=first + 1):
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
