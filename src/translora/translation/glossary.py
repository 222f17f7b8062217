"""Glossaries as files: TSV, CSV and TBX, read into terms.

A table has a source and a target column, and where a header names them also `case` (`yes` or `no`) and `match` (`stem`
or `exact`). In both columns `|` separates forms: of a source term further forms, of its translation others that do as
well.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from translora.data.form import named_sides
from translora.data.readers.lines import read_lines
from translora.data.readers.markup import NO_CHARACTER, NO_TEXT, Exchange, elements, local_name, root_of
from translora.errors import DataError
from translora.io import console
from translora.io.files import one_line, write_text
from translora.languages import matching_languages
from translora.translation.terms import Glossary, Term, tokens_of

_SEPARATORS = ",;\t"
_YES, _NO = ("yes", "true", "1"), ("no", "false", "0", "")
_TBX_ENTRY, _TBX_LANGUAGE, _TBX_TERM = ("termEntry", "conceptEntry"), ("langSet", "langSec"), ("tig", "ntig", "termSec")
_PREFERRED, _BAD = ("preferred",), ("deprecated", "superseded", "notRecommended", "obsolete")
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"

_TBX = Exchange("TBX", ("martif", "tbx"), "TBX, TSV or CSV")

Row = tuple[int, list[str]]
"""A line's number and its cells."""


def read_glossary(path: str | Path, source: str, target: str) -> Glossary:
    """The glossary in the file `path`, for texts of `source` that are translated into `target`.

    Of two entries that translate a source term differently the first counts, and a notice says so.

    Raises `DataError`, with the line, for what cannot be read, and for a glossary without a term.
    """
    path = Path(path)
    if path.suffix.lower() in (".tbx", ".xml") or root_of(path) in ("martif", "tbx"):
        terms = list(_tbx_terms(path, source, target))
    else:
        terms = list(_table_terms(path, source, target))
    if not terms:
        raise DataError(f"{path}: no term in it: give one per line, source and target")
    return Glossary(without_conflicts(terms), source, target)


def without_conflicts(terms: Iterable[Term], say: bool = True) -> list[Term]:
    """`terms` without forms of a source that came before; with `say` a notice tells those of another translation."""
    first: dict[tuple[bool, tuple[str, ...]], Term] = {}
    kept, conflicts = list[Term](), list[tuple[str, Term, Term]]()
    for term in terms:
        keys = {form: (term.case, _key(form, term.case)) for form in term.source}
        known = {form: first[key] for form, key in keys.items() if key in first}
        new = tuple(form for form in term.source if form not in known)
        if new:
            first |= dict.fromkeys((keys[form] for form in new), term)
            kept.append(replace(term, source=new))
        conflict = next((form for form, before in known.items() if before.target[0] != term.target[0]), None)
        if conflict is not None:
            conflicts.append((conflict, term, known[conflict]))
    if conflicts and say:
        form, term, before = conflicts[0]
        more = f" (and {len(conflicts) - 1:,} more such terms)" if len(conflicts) > 1 else ""
        console.notice(
            f"{term.origin}: {form!r} is {term.target[0]!r} here and {before.target[0]!r} in "
            f"{before.origin}: the first counts{more}"
        )
    return kept


def write_terms(path: Path, terms: Sequence[Term]) -> None:
    """Write `terms` as a table that `read_glossary` reads."""
    rows = ["source\ttarget\tcase\tmatch"]
    for term in terms:
        case, match = "yes" if term.case else "no", "exact" if term.exact else "stem"
        rows.append("\t".join(("|".join(term.source), "|".join(term.target), case, match)))
    write_text(path, "".join(row + "\n" for row in rows))


def term_of(cells: Sequence[str], place: str) -> Term:
    """The term of a row of source, target and, where there are more, case and match; `place` is `file:line`.

    Raises `DataError` for a cell that is empty or says something else.
    """
    source, target, case, match = [one_line(cell).strip() for cell in (*cells, "", "")[:4]]
    sides = [tuple(form.strip() for form in cell.split("|")) for cell in (source, target)]
    for name, forms in zip(("source", "target"), sides, strict=True):
        if not all(tokens_of(form) for form in forms):
            raise DataError(f"{place}: the {name} term is empty: give a source and a target term")
    if case.lower() not in (*_YES, *_NO):
        raise DataError(f"{place}: case is {case!r}: write yes or no")
    if match.lower() not in ("stem", "exact", ""):
        raise DataError(f"{place}: match is {match!r}: write stem or exact")
    return Term(sides[0], sides[1], case.lower() in _YES, match.lower() == "exact", place)


def _key(form: str, case: bool) -> tuple[str, ...]:
    return tuple(token.text if case else token.text.casefold() for token in tokens_of(form))


def _table_terms(path: Path, source: str, target: str) -> Iterator[Term]:
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        return
    named = named_sides(first[1], (source, target))
    places = [0, 1]
    if named:
        names = [cell.strip().lower() for cell in first[1]]
        places = [*named, *(names.index(name) if name in names else -1 for name in ("case", "match"))]
    else:
        if len(first[1]) > 2:
            console.notice(
                f"{path}:{first[0]}: no header names the columns: the first is the source, the second the target, and "
                f"{len(first[1]) - 2} more are not read"
            )
        rows = _with(first, rows)
    for number, cells in rows:
        place = f"{path}:{number}"
        if max(places[:2]) >= len(cells):
            raise DataError(
                f"{place}: {len(cells)} column(s) where {max(places[:2]) + 1} are needed: source and target"
            )
        yield term_of([cells[i] if 0 <= i < len(cells) else "" for i in places], place)


def _with(first: Row, rest: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rest


def _rows(path: Path) -> Iterator[Row]:
    """The rows that are not empty; those of a file that ends in .tsv are not quoted."""
    lines = ((n, text) for n, text in read_lines(path) if isinstance(text, DataError) or text.strip())
    is_csv = ".csv" in [suffix.lower() for suffix in path.suffixes]
    mark = ""
    for number, text in lines:
        if isinstance(text, DataError):
            raise text
        mark = mark or (max(_SEPARATORS, key=text.count) if is_csv else "\t")
        if not is_csv:
            yield number, text.split(mark)
            continue
        try:
            yield number, next(csv.reader([text], delimiter=mark, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}:{number}: not CSV ({error}): close or double its quotes") from error


def _tbx_terms(path: Path, source: str, target: str) -> Iterator[Term]:
    """The entries of a TBX file (ISO 30042:2008 and 2019) that have a term in both languages."""
    lacking, languages = 0, set[str]()
    for entry in elements(path, _TBX_ENTRY, _TBX):
        sides = {
            code: element for element in entry if local_name(element) in _TBX_LANGUAGE and (code := _language(element))
        }
        languages |= sides.keys()
        found = [next(iter(matching_languages(code, list(sides))), None) for code in (source, target)]
        forms = [_tbx_forms(sides[code], n == 1) if code else () for n, code in enumerate(found)]
        if not all(forms):
            lacking += 1
            continue
        place = f"{path}:{entry.sourceline}"
        if any(mark in form for side in forms for form in side for mark in (NO_CHARACTER, NO_TEXT)):
            raise DataError(f"{place}: a character that XML forbids: remove it")
        yield Term(forms[0], forms[1], origin=place)
    if lacking:
        shown = ", ".join(sorted(languages)) or "none"
        console.notice(
            f"{path}: {lacking:,} entries have no term in {source} or none in {target} (languages: {shown}): left out"
        )


def _language(element: Any) -> str:
    return str(element.get(_LANG) or element.get("lang") or "")


def _tbx_forms(side: Any, is_target: bool) -> tuple[str, ...]:
    """The terms of one language of an entry: of the target not those that are not to be used, preferred ones first."""
    ranked = []
    for place, element in enumerate(one for one in side.iter() if local_name(one) in _TBX_TERM):
        if local_name(element) == "ntig" or local_name(element.getparent()) not in _TBX_TERM:
            texts = ["".join(one.itertext()) for one in element.iter() if local_name(one) == "term"]
            notes = " ".join("".join(one.itertext()) for one in element.iter() if local_name(one) == "termNote")
            if texts and tokens_of(texts[0]) and not (is_target and any(word in notes for word in _BAD)):
                ranked.append((not any(word in notes for word in _PREFERRED), place, one_line(texts[0]).strip()))
    return tuple(dict.fromkeys(text for _, _, text in sorted(ranked)))
