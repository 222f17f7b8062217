"""The form of a file of pairs: its separator, its header, and which columns hold the source and the target.

One mechanism for every command and format. A header that names the two sides wins over positions; a guess that nothing
supports is refused with the columns shown.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from translora.config import SourceConfig
from translora.errors import DataError
from translora.languages import known_language, names_of, same_language

_SIDES = (
    frozenset({"source", "src", "input", "original"}),
    frozenset({"target", "tgt", "trg", "output", "translation"}),
)
_FILLERS = frozenset({"text", "texts", "sentence", "sentences", "segment", "string", "line", "lang", "language"})
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_WORDS = re.compile(r"[\W_]+")
_REGIONAL = re.compile(r"[a-z]{2,3}(?:[-_][a-z]{4})?[-_](?:[a-z]{2}|[0-9]{3})")
_NO_TEXT = re.compile(r"\s*(?:[-+]?[\d.,:/ ]+(?:[eE][-+]?\d+)?|(?:https?|ftp|file)://\S+|www\.\S+)\s*")
_SHOWN = 40


@dataclass(frozen=True)
class Form:
    """How the rows of one file are read."""

    places: tuple[int, int]
    """The source and the target column, from 0."""
    names: tuple[str, str]
    """Their names in the header; empty without a header."""
    header: bool
    first: str = ""
    """The first pair, where no header was seen: it shows how the columns were read."""

    def words(self, path: str, kind: str) -> str:
        """The form in one line, such as `a.csv: semicolon, header, source = column 2 'de', target = column 3 'en'`."""
        sides = (
            f"{side} = column {place + 1}" + (f" {name!r}" if name else "")
            for side, place, name in zip(("source", "target"), self.places, self.names, strict=True)
        )
        return f"{path}: {kind}, {'header' if self.header else 'no header'}, {', '.join(sides)}{self.first}"


def find_form(rows: Sequence[Sequence[str]], config: SourceConfig, languages: tuple[str, str], line: int = 1) -> Form:
    """The form of a table that begins with `rows`, the first of which is line `line` of its file.

    Raises `DataError` where nothing says which columns are meant, or header and settings contradict each other.
    """
    first = rows[0]
    named = named_sides(first, languages)
    place = f"{config.path}:{line}"
    wanted = config.columns
    if len(set(wanted)) < len(wanted):
        raise DataError(f"{config.path}: columns names {wanted[0]} twice: name the source and the target column")
    by_name = set(wanted) <= set(first) and not all(column.isdecimal() for column in wanted)
    if wanted and by_name:
        return Form((first.index(wanted[0]), first.index(wanted[1])), (wanted[0], wanted[1]), header=True)
    if wanted:
        return _numbered(first, config, named, place)
    if named and config.header != "no":
        return Form(named, (first[named[0]], first[named[1]]), header=True)
    return _guessed(rows, config, languages, place)


def _numbered(first: Sequence[str], config: SourceConfig, named: tuple[int, int] | None, place: str) -> Form:
    """Columns by number; a header that names the two sides must agree with them."""
    numbers = [int(column) - 1 for column in config.columns if column.isdecimal() and int(column) > 0]
    if len(numbers) < 2:
        missing = " and ".join(column for column in config.columns if column not in first)
        raise DataError(f"{place}: no column {missing}: the first row has {_shown(first)}: {_remedy(first)}")
    places = (numbers[0], numbers[1])
    if max(places) >= len(first):
        raise DataError(f"{place}: {len(first)} column(s) where {max(places) + 1} are needed: {_shown(first)}")
    if named and config.header != "no" and places != named:
        says = f"column {named[0] + 1} is the source and column {named[1] + 1} the target"
        raise DataError(
            f"{place}: the header says that {says}, but columns is {places[0] + 1}, {places[1] + 1}: {_shown(first)}: "
            f"leave columns out, or set header to no if the first row is a pair"
        )
    header = named is not None if config.header == "auto" else config.header == "yes"
    names = (first[places[0]], first[places[1]]) if header else ("", "")
    return Form(places, names, header)


def _guessed(rows: Sequence[Sequence[str]], config: SourceConfig, languages: tuple[str, str], place: str) -> Form:
    """The first two columns of a table that has no others and whose first row is no header of something else."""
    first = rows[0]
    filled = [column for column in range(len(first)) if any(column < len(row) and row[column].strip() for row in rows)]
    if len(first) < 2:
        raise DataError(
            f"{place}: 1 column(s) where 2 are needed: source and target belong in two columns: {_shown(first)}"
        )
    if len(filled) > 2:
        raise DataError(
            f"{place}: {len(first)} columns and no header that names the two: {_shown(first)}: {_remedy(first)}"
        )
    if others := _other_languages(first):
        raise DataError(
            f"{place}: the header names {others}, not {languages[0]} and {languages[1]}: {_shown(first)}: "
            f"set source and target to the file's languages, or {_remedy(first)}"
        )
    for column in (0, 1):
        cells = [row[column] for row in rows if column < len(row) and row[column].strip()]
        if len(cells) > 1 and all(map(_NO_TEXT.fullmatch, cells[1:])):
            raise DataError(f"{place}: column {column + 1} holds no sentences: {_shown(first)}: {_remedy(first)}")
    header = config.header == "yes"
    shown = "" if header else f" (first pair: {first[0][:_SHOWN]!r}, {first[1][:_SHOWN]!r})"
    return Form((0, 1), (first[0], first[1]) if header else ("", ""), header, shown)


def find_fields(record: Iterable[str], config: SourceConfig, languages: tuple[str, str], place: str) -> tuple[str, str]:
    """The names of the fields of records (JSON objects, Parquet columns) that hold the source and the target.

    Raises `DataError` where the fields do not say.
    """
    names = list(record)
    if config.columns:
        if missing := [column for column in config.columns if column not in names]:
            raise DataError(
                f"{place}: no field {' and '.join(missing)}; it has {', '.join(names)[:200]}: {_by_name(names)}"
            )
        return config.columns[0], config.columns[1]
    named = named_sides(names, languages)
    if named is None:
        missing = [code for code in languages if not any(_names_language(name, code) for name in names)]
        lacks, has = " and ".join(missing or languages), ", ".join(names)[:200]
        raise DataError(f"{place}: no field {lacks}; it has {has}: {_by_name(names)}")
    return names[named[0]], names[named[1]]


def find_separator(lines: Sequence[str], config: SourceConfig, languages: tuple[str, str]) -> str:
    """The separator of a CSV file that begins with `lines`: as it states (`sep=;`), else the one that fits its rows.

    Raises `DataError` where two fit equally well.
    """
    if config.separator:
        return given_separator(config)
    tables = {mark: _cells(lines, mark) for mark in _SEPARATORS}
    for mark, rows in tables.items():
        if rows and named_sides(rows[0], languages):
            return mark
    widths = {mark: {len(row) for row in rows} for mark, rows in tables.items()}
    even = [mark for mark, found in widths.items() if len(found) == 1 and min(found) > 1]
    two = [mark for mark in even if widths[mark] == {2}] or even
    if len(two) > 1:
        marks = " and ".join(_SEPARATORS[mark] for mark in two)
        raise DataError(f"{config.path}: {marks} both separate its rows evenly: set separator, such as --separator ';'")
    if two:
        return two[0]
    return max(_SEPARATORS, key=lambda mark: sum(len(row) > 1 for row in tables[mark]))


def given_separator(config: SourceConfig) -> str:
    """The separator that the configuration names."""
    return "\t" if config.separator in ("tab", "\\t") else config.separator


def separator_name(mark: str) -> str:
    """The separator in words."""
    return _SEPARATORS.get(mark, repr(mark))


def _cells(lines: Sequence[str], mark: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader((line + "\n" for line in lines), delimiter=mark) if row]
    except csv.Error:
        return []


def named_sides(cells: Sequence[str], languages: tuple[str, str]) -> tuple[int, int] | None:
    """The one column that each side's names stand for; None where either is not there, or two are."""
    found = []
    for code, generic in zip(languages, _SIDES, strict=True):  # a language's own name goes before words such as target
        own = [place for place, cell in enumerate(cells) if _names_language(cell, code)]
        found.append(own or [place for place, cell in enumerate(cells) if _is(cell, generic)])
    if any(len(places) != 1 for places in found) or found[0] == found[1]:
        return None
    return found[0][0], found[1][0]


def _names_language(cell: str, code: str) -> bool:
    """Whether a header cell names the language `code`, by a name or by a code such as `de-DE` or `en_US`."""
    plain = cell.strip().strip("\ufeff")
    if _REGIONAL.fullmatch(plain.casefold()):
        return same_language(code, [plain]) is not None
    return _is(cell, names_of(code))


def _is(cell: str, names: frozenset[str]) -> bool:
    """Whether a header cell is one of `names`, with or without words such as `text` beside it."""
    whole = cell.strip().strip("\ufeff").casefold()
    words = [word for word in _WORDS.split(whole) if word]
    return whole in names or bool(words and set(words) <= names | _FILLERS and set(words) & names)


def _other_languages(first: Sequence[str]) -> str:
    """The languages that a first row of codes or names alone names, empty for another row."""
    cells = [cell.strip() for cell in first if cell.strip()]
    if len(cells) > 1 and all(known_language(cell) for cell in cells):
        return " and ".join(cells)
    return ""


def _shown(first: Sequence[str]) -> str:
    """The first row with the numbers of its columns."""
    cells = (f"{number}: {cell.strip()[:_SHOWN]!r}" for number, cell in enumerate(first[:8], start=1))
    return ", ".join(cells) + (", ..." if len(first) > 8 else "")


def _remedy(first: Sequence[str]) -> str:
    texts = [str(number) for number, cell in enumerate(first, start=1) if not _NO_TEXT.fullmatch(cell)][:2]
    one, two = texts if len(texts) == 2 else ("1", "2")
    return f"name the source and the target column{_flags(one, two)}"


def _by_name(names: Sequence[str]) -> str:
    one, two = (*names, "source", "target")[:2]
    return f"name the two fields in columns{_flags(one, two)}"


def _flags(one: str, two: str) -> str:
    return f', such as --columns {one} {two} (train: --data.train.columns=\'["{one}", "{two}"]\')'
