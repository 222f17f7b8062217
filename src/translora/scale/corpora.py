"""`translora data check` and `data clean` in shards, with the result of one pass over the corpus.

A shard is judged alone, but for duplicates: it gives the hashes or the MinHash signatures of its pairs, and which of
them came before is told from those of all shards, in order.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import compress, count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from translora.config import CleaningConfig, SourceConfig
from translora.data.characters import CharacterCounts, UnknownCharacters
from translora.data.check import (
    DUPLICATES,
    SHOWN,
    Check,
    Extra,
    Finding,
    Findings,
    NearFindings,
    PairChecks,
    check_bytes,
    closing_remarks,
)
from translora.data.cleaning.corpus import CleanJob, KeptForm, Writer, writing
from translora.data.cleaning.hashes import Hashes, Mask, repeated
from translora.data.cleaning.leakage import HashList
from translora.data.cleaning.minhash import BANDS, Rows, signatures
from translora.data.cleaning.near import NearDuplicates
from translora.data.cleaning.rules import DUPLICATE, NEAR, Cleaner
from translora.data.pairs import Item, Pair, chunks
from translora.data.readers.sources import read_items
from translora.data.tokens import tokenizer_hash
from translora.errors import DataError
from translora.io.files import cache_folder
from translora.scale.shards import Engine, Function, Work, key_of, map_shards, read_shard, shard_folder

ROWS = 10_000
"""Pairs and unreadable lines of a shard."""
_FINDINGS = b"findings"
_SIGNATURE = pa.binary(4 * BANDS)


class _Chunks:
    """The items of a source in lists of `rows`; what ends the reading is kept until all before it is given."""

    def __init__(self, items: Iterable[Item], rows: int) -> None:
        self._items, self._rows = iter(items), rows
        self.fault: DataError | None = None

    def __iter__(self) -> Iterator[list[Item]]:
        while not self.fault:
            chunk: list[Item] = []
            try:
                for item in islice(self._items, self._rows):
                    chunk.append(item)
            except DataError as error:
                self.fault = error
            if not chunk:
                return
            yield chunk


def check_in_shards(
    config: SourceConfig,
    languages: tuple[str, str],
    rules: CleaningConfig,
    extra: Extra,
    engine: Engine,
    rows: int = ROWS,
) -> Findings:
    """The findings of `check_corpus`, with the same errors; results lie in the cache meanwhile.

    `languages` are the codes of source and target, and a shard has `rows` of the source.
    """
    extra = replace(extra, held_out=list(extra.held_out))
    checks = PairChecks(config.path, rules, languages, extra)
    check_bytes(config, checks.findings)
    request = repr((config, languages, rules, extra.languages, rows))
    vocabulary = tokenizer_hash(extra.tokenizer) if extra.tokenizer else ""
    key = key_of("check", request, pickle.dumps(extra.held_out), vocabulary)
    work = Work("check", "pairs", partial(_checker, config.path, languages, rules, extra), key)
    with closing_remarks(checks.findings):
        items = _Chunks(read_items(config, *languages), rows)
        with shard_folder(cache_folder() / "shards" / f"check-{key[:16]}") as folder:
            files = map_shards(work, items, folder, engine)
            checks.findings.unknown = _fold_checks(files, checks, NearFindings(checks.findings, rules))
        if items.fault:
            raise items.fault
    return checks.findings


def _checker(path: str, languages: tuple[str, str], rules: CleaningConfig, extra: Extra) -> Function:
    """Checks shards: a row with the hashes of each pair, and in the metadata the findings, duplicates apart."""
    checks = PairChecks(path, rules, languages, extra, HashList)

    def check(items: Sequence[Item]) -> pa.Table:
        checks.begin()
        for item in items:
            checks.add(item)
        rows = [(row, item) for row, item in enumerate(items) if isinstance(item, Pair)]
        columns: dict[str, Any] = {
            "row": pa.array([row for row, _ in rows], pa.int32()),
            **_origins([pair for _, pair in rows]),
            **{name: pa.array(one.values(), pa.uint64()) for name, one in checks.duplicates.items()},
            NEAR: _signed([pair for _, pair in rows]),
        }
        found = checks.findings
        problems = {name: vars(problem) for name, problem in found.problems.items()}
        counts = asdict(checks.vocabulary.counts) if checks.vocabulary else {}
        words = json.dumps({"rows": len(items), "pairs": found.pairs, "problems": problems, "counts": counts})
        return pa.table(columns).replace_schema_metadata({_FINDINGS: words.encode()})

    return check


def _origins(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The columns of where pairs came from. The names of files are bytes: the system allows any."""
    numbers: dict[str, int] = {}
    codes = pa.array([numbers.setdefault(pair.file, len(numbers)) for pair in pairs], pa.int32())
    names = pa.array([_bytes(name) for name in numbers], pa.binary())
    return {
        "file": pa.DictionaryArray.from_arrays(codes, names),
        "line": pa.array([pair.line for pair in pairs], pa.int64()),
    }


def _origin(table: pa.Table, row: int) -> Pair:
    """A pair without texts that has the origin of a row."""
    return Pair("", "", _text(table["file"][row]), table["line"][row].as_py())


def _pairs(table: pa.Table) -> list[Pair]:
    """A pair without texts for each row, with its origin."""
    files = table["file"].combine_chunks()
    names = [_text(name) for name in files.dictionary]
    return [
        Pair("", "", names[code], line)
        for code, line in zip(files.indices.to_pylist(), table["line"].to_pylist(), strict=True)
    ]


def _signed(pairs: Sequence[Pair]) -> pa.Array:
    """The column of the signatures of pairs."""
    return pa.FixedSizeBinaryArray.from_buffers(_SIGNATURE, len(pairs), [None, pa.py_buffer(signatures(pairs))])


def _signatures(column: pa.ChunkedArray) -> Rows:
    """The signatures of a column without nulls."""
    return np.frombuffer(b"".join(column.to_pylist()), dtype=np.uint32).reshape(-1, BANDS)


def _fold_checks(files: Sequence[Path], checks: PairChecks, near: NearFindings) -> UnknownCharacters | None:
    """Put the findings of all shards into those of `checks`; returns the characters that the vocabulary lacks."""
    counts, start = CharacterCounts(), 0
    starts: list[int] = []
    hashes: dict[str, list[Hashes]] = {name: [] for name in DUPLICATES}
    for file in files:
        table = read_shard(file)
        found = json.loads(table.schema.metadata[_FINDINGS])
        problems = {name: Finding(**{**one, "order": tuple(one["order"])}) for name, one in found["problems"].items()}
        checks.findings.merge(Findings("", found["pairs"], problems), start)
        if found["counts"]:
            counts.merge(CharacterCounts(**{**found["counts"], "characters": Counter(found["counts"]["characters"])}))
        for name, parts in hashes.items():
            parts.append(table[name].to_numpy())
        near.add_signatures([start + row for row in table["row"].to_pylist()], _pairs(table), _signatures(table[NEAR]))
        starts.append(start)
        start += found["rows"]
    for number, one in enumerate(checks.tests):
        if one.name in hashes:
            _add_duplicates(files, starts, repeated(hashes.pop(one.name)), (checks.findings, number, one))
    near.close()
    return counts.ranked() if checks.vocabulary else None


def _add_duplicates(
    files: Sequence[Path], starts: Sequence[int], masks: Sequence[Mask], to: tuple[Findings, int, Check]
) -> None:
    """Add the pairs that came before to findings, as the check of that number has them."""
    findings, number, check = to
    for file, start, mask in zip(files, starts, masks, strict=True):
        if count := int(mask.sum()):
            table = read_shard(file)
            first = mask.nonzero()[0][:SHOWN].tolist()
            places = [_origin(table, place).origin for place in first]
            order = table["row"][first[0]].as_py(), number
            one = {check.name: Finding(count, places, check.consequence, order)}
            findings.merge(Findings("", 0, one), start)


def clean_in_shards(job: CleanJob, engine: Engine, rows: int = ROWS) -> Cleaner:
    """The files and the counts of `clean_corpus`, with the same errors; results lie beside the output meanwhile.

    A shard has `rows` of the source.
    """
    job.check()
    held_out = list(job.read_held_out())
    cleaner = job.cleaner(())
    request = repr((job.config, job.source, job.target, job.rules, KeptForm(job).tsv, rows))
    work = Work("clean", "pairs", partial(_cleaner, job, held_out), key_of("clean", request, pickle.dumps(held_out)))
    with shard_folder(job.output.with_name(f"{job.output.name}.shards")) as folder:
        files = map_shards(
            work, chunks(cleaner.readable(read_items(job.config, job.source, job.target)), rows), folder, engine
        )
        near = job.rules.duplicates == "near"
        with writing(job, cleaner) as writer:
            for table, came_before in _near_duplicates(files) if near else _duplicates(files):
                _fold_cleaned(table, came_before, cleaner, writer)
    return cleaner


class _CameBefore(NamedTuple):
    """Which pairs of a shard came before, of those without another reason against them."""

    mask: Mask
    reason: str
    places: Sequence[str] = ()
    """The places of the earlier pairs, one for each of the mask's; empty where they are not named."""


def _duplicates(files: Sequence[Path]) -> Iterator[tuple[pa.Table, _CameBefore]]:
    """Each shard with its duplicates, told by the hashes of all."""
    hashes = [read_shard(file)["hash"].drop_null().to_numpy() for file in files]
    for file, mask in zip(files, repeated(hashes), strict=True):
        yield read_shard(file), _CameBefore(mask, DUPLICATE)


def _near_duplicates(files: Sequence[Path]) -> Iterator[tuple[pa.Table, _CameBefore]]:
    """Each shard with its near duplicates, told by the signatures of those before it."""
    near = NearDuplicates()
    for file in files:
        table = read_shard(file)
        signed = table.select(["hash", "file", "line"]).filter(table["hash"].is_valid())
        places = np.array(near.find(_signatures(signed["hash"]), _pairs(signed)), dtype=object)
        mask = (places != "").astype(np.bool_)
        yield table, _CameBefore(mask, NEAR, places[mask].tolist())


def _cleaner(job: CleanJob, held_out: Sequence[Pair]) -> Function:
    """Cleans shards: a row for each item with the reason against it, and of those without one the hash and the line.

    Where near duplicates are looked for, the signature is in place of the hash.
    """
    hashes = HashList(job.rules.duplicates == "normalised")
    near = job.rules.duplicates == "near"
    alone = replace(job, rules=replace(job.rules, duplicates="keep")) if near else job
    cleaner, form = alone.cleaner(held_out, hashes), KeptForm(job)

    def clean(items: Sequence[Item]) -> pa.Table:
        hashes.clear()
        judged = list(cleaner.sort(items))
        pairs = [item if isinstance(item, Pair) else Pair(str(item), "") for item, _ in judged]
        kept = [not reason for _, reason in judged]
        own = _signed(list(compress(pairs, kept))) if near else pa.array(hashes.values(), pa.uint64())
        number = count()
        texts = zip(*((_bytes(pair.source), _bytes(pair.target)) for pair in pairs), strict=True)
        columns = {
            "reason": pa.array([reason for _, reason in judged], pa.string()).dictionary_encode(),
            "readable": pa.array([isinstance(item, Pair) for item, _ in judged]),
            "hash": own.take(pa.array([next(number) if one and len(own) else None for one in kept], pa.int64())),
            **{
                name: pa.array(column, pa.large_binary())
                for name, column in zip(("source", "target"), texts, strict=True)
            },
            **_origins(pairs),
            "kept": pa.array(
                [form.encoded(pair) if one else None for pair, one in zip(pairs, kept, strict=True)], pa.large_binary()
            ),
            "breaks": pa.array([one and form.loses_breaks(pair) for pair, one in zip(pairs, kept, strict=True)]),
        }
        return pa.table(columns)

    return clean


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(value: pa.Scalar) -> str:
    """What `_bytes` made bytes of."""
    text: str = value.as_py().decode("utf-8", "surrogatepass")
    return text


def _fold_cleaned(table: pa.Table, came_before: _CameBefore, cleaner: Cleaner, writer: Writer) -> None:
    """Write the rows of a shard."""
    reasons = table["reason"].cast(pa.string()).to_numpy(zero_copy_only=False)
    earlier = np.full(len(reasons), "", dtype=object)
    if came_before.mask.any():
        repeats = np.flatnonzero(reasons == "")[came_before.mask]
        reasons[repeats] = came_before.reason
        earlier[repeats] = came_before.places or ""
    kept = reasons == ""
    broken = np.flatnonzero(kept & table["breaks"].to_numpy())
    cleaner.kept += int(kept.sum())
    lines = b"".join(table["kept"].filter(pa.array(kept)).to_pylist()).decode()
    writer.keep_lines(lines, _origin(table, int(broken[0])).origin if len(broken) else "", len(broken))
    left_out = np.flatnonzero(~kept)
    rows = table.take(pa.array(left_out))
    for place, (reason, like) in enumerate(zip(reasons[left_out], earlier[left_out], strict=True)):
        item = _item(rows, place)
        writer.drop(item, cleaner.leave_out(reason, item, like))


def _item(rows: pa.Table, place: int) -> Item:
    """A row as it was read."""
    source, target = (_text(rows[side][place]) for side in ("source", "target"))
    if not rows["readable"][place].as_py():
        return DataError(source)
    origin = _origin(rows, place)
    return Pair(source, target, origin.file, origin.line)
