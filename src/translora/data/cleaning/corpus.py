"""Write a cleaned corpus, and beside it the pairs left out and why: `translora data clean`. One streaming pass."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from translora.config import CleaningConfig, SourceConfig
from translora.data.cleaning.leakage import Duplicates
from translora.data.cleaning.rules import Cleaner
from translora.data.pairs import Item, Pair
from translora.data.readers.sources import read_each, read_items
from translora.errors import ConfigError, DataError
from translora.io import console
from translora.io.files import atomic_file

_FORMATS = (".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz")
_BREAKS = re.compile("[\\t\\r\\n]+")
"""Characters that cannot stand inside the text of a TSV file; every other white space is kept as it is."""
_ERRORS = "backslashreplace"
_TOLD_EVERY = 500_000


@dataclass(frozen=True)
class CleanJob:
    """A corpus to clean; `check` looks whether it can be."""

    config: SourceConfig
    source: str
    """A language code, as `target` is."""
    target: str
    rules: CleaningConfig
    output: Path
    """The file of the kept pairs, .tsv or .jsonl, also .gz."""
    held_out: Sequence[SourceConfig] = ()
    """Files whose pairs must not occur in it."""
    overwrite: bool = False

    def check(self) -> None:
        """Raise `ConfigError` for another kind of output, and for one that exists or is read from."""
        inputs = [Path(path) for one in (self.config, *self.held_out) for path in (one.path, one.target_path) if path]
        _check_output((self.output, dropped_file(self.output)), inputs, self.overwrite)

    def cleaner(self, held_out: Iterable[Pair], duplicates: Duplicates | None = None) -> Cleaner:
        """The rules."""
        return Cleaner(self.rules, self.source, self.target, held_out, duplicates)

    def run(self) -> Cleaner:
        """Clean it; see `clean_corpus`."""
        self.check()
        cleaner = self.cleaner(self.read_held_out())
        with writing(self, cleaner) as writer:
            items = cleaner.sort(read_items(self.config, self.source, self.target))
            for number, (item, reason) in enumerate(items, start=1):
                if not reason and isinstance(item, Pair):
                    writer.keep(item)
                else:
                    writer.drop(item, reason)
                if number % _TOLD_EVERY == 0:
                    console.notice(f"clean: {number:,} pairs read, {cleaner.kept:,} kept")
        return cleaner

    def read_held_out(self) -> Iterator[Pair]:
        """The pairs that must not occur in the corpus."""
        return read_each(self.held_out, self.source, self.target)


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
    return CleanJob(config, source, target, rules, output, held_out, overwrite).run()


@contextmanager
def writing(job: CleanJob, cleaner: Cleaner) -> Iterator[Writer]:
    """What writes the two files of a job, which are there at the end of the block.

    Raises `StorageError` where they cannot be written, and `DataError` where `cleaner` has kept nothing.
    """
    with ExitStack() as stack:
        files = (job.output, dropped_file(job.output))
        writer = Writer(KeptForm(job), *(stack.enter_context(_text_file(file)) for file in files))
        yield writer
        if not cleaner.kept:
            raise DataError(f"{job.config.path}: no pairs are left (left out: {cleaner.reasons}); nothing is written")
    if writer.breaks:
        console.notice(
            f"{job.output}: tabs and line ends inside {writer.breaks:,} pairs became spaces (the first: "
            f"{writer.first_break}): write .jsonl to keep them"
        )


class KeptForm:
    """How a pair that is kept is written."""

    def __init__(self, job: CleanJob) -> None:
        self.tsv = ".jsonl" not in job.output.name
        self.line: Callable[[Pair], str] = _tsv_line if self.tsv else _json_line(job.source, job.target)
        """The line of a pair."""

    def encoded(self, pair: Pair) -> bytes:
        """The line as it is in the file."""
        return self.line(pair).encode("utf-8", _ERRORS)

    def loses_breaks(self, pair: Pair) -> bool:
        """Whether tabs or line ends inside the pair become spaces."""
        return self.tsv and any(_BREAKS.search(text) for text in pair[:2])


class Writer:
    """Writes the pairs that are kept and those that are left out, as lines of their files."""

    def __init__(self, form: KeptForm, kept: TextIO, dropped: TextIO) -> None:
        self._form, self._kept, self._dropped = form, kept, dropped
        self.breaks = 0
        """The kept pairs that have tabs or line ends inside, which a TSV file cannot hold."""
        self.first_break = ""

    def keep(self, pair: Pair) -> None:
        """Write a pair that is kept."""
        self.keep_lines(self._form.line(pair), pair.origin if self._form.loses_breaks(pair) else "")

    def keep_lines(self, lines: str, first_break: str = "", breaks: int = 1) -> None:
        """Write lines of pairs that are kept; of `breaks` of them, if any, the first came from `first_break`."""
        self._kept.write(lines)
        if first_break:
            self.breaks += breaks
            self.first_break = self.first_break or first_break

    def drop(self, item: Item, reason: str) -> None:
        """Write an item that is left out."""
        self._dropped.write(_dropped_line(item, reason))


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
        text = stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline="\n", errors=_ERRORS))
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
