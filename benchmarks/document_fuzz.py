"""Damaged and hostile documents of every format: each is written whole or refused in one clear line, within limits.

    python benchmarks/document_fuzz.py --cases 5000 --seed 0

The documents are drawn by seed from the small ones of the tests: cut, with other bits, bytes or encodings, nested
deeply, spliced, and XML and ZIP bombs. Each is read, its texts are given to an engine that returns them (of every
second document with a word before), and the result is written to a folder. A fault is: any error that is not
translora's own, a message of several lines or of more than 1,000 characters, a file anywhere but at the output's
path, a result that cannot be read again or that lost what was translated, more than `--memory` of address space above
the start, or more than `--seconds` of processor time. `--only NUMBER` runs one case again, `--keep FOLDER` keeps the
faulty files. It ends with 1 for any fault.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hostile_documents import Case, drawn  # type: ignore[import-not-found]
from translora.documents.document import Document, Options
from translora.documents.fill import translate_segments
from translora.documents.formats import format_of, read, read_file
from translora.errors import TransloraError
from translora.io import console
from translora.io.files import atomic_file, write_json

OPTIONS = Options("en", "de")
BILINGUAL = ("po", "xliff", "tmx")
LONGEST = 1_000
"""Characters of a message."""
WORD = "Q"


class TooLong(BaseException):
    """The time of a case is over; not an `Exception`, so that nothing takes it for a fault of the document."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    number: int
    kind: str
    name: str
    how: str
    """`written`, `refused` or `fault`."""
    words: str
    """The message of a refusal, or the fault."""
    seconds: float
    """Processor time."""
    peak: int
    """Bytes of resident memory at most, above what was there before."""
    size: int
    """Bytes of the document."""


def identity(lines: Sequence[str]) -> list[str]:
    """Each line as it is."""
    return list(lines)


def marking(lines: Sequence[str]) -> list[str]:
    """Each line with a word before it."""
    return [f"{WORD} {line}" for line in lines]


def translated(path: Path, output: Path, kind: str, marked: bool) -> None:
    """Translate the document at `path` as `translora translate` does, but for the model."""
    document, _ = read_file(path, kind, OPTIONS)
    found, _ = translate_segments(document.segments, marking if marked else identity, again=True)
    data = document.filled(found)
    with atomic_file(output) as temporary:
        temporary.write_bytes(data)
    checked(document, path.read_bytes(), output.read_bytes(), kind, marked)


def checked(document: Document, before: bytes, after: bytes, kind: str, marked: bool) -> None:
    """Raises `AssertionError` where the result is not the document with its translations."""
    if not marked and kind not in BILINGUAL:
        assert after == before, "other bytes, though no text was translated"
        return
    segments, again = document.segments, read(after, "the result", kind, OPTIONS).segments
    if kind in BILINGUAL:
        assert [one.text for one in again] == [one.text for one in segments], "other texts in the source language"
        assert all(one.translated for one in again if one.text.strip()), "a text is left untranslated"
    elif kind not in ("srt", "vtt", "markdown", "html"):
        marks = sum(one.text.count(WORD) for one in again) - sum(one.text.count(WORD) for one in segments)
        assert marks >= len(again) // 2, "translations are lost"


def peak_memory(reset: bool = False) -> int:
    """The most resident memory since the last reset, in bytes; 0 where the system does not tell (it is Linux's)."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        rows = Path("/proc/self/status").read_text().splitlines()
        return next(int(row.split()[1]) << 10 for row in rows if row.startswith("VmHWM"))
    except OSError:
        return 0


@contextmanager
def limits(memory: int, seconds: float) -> Iterator[None]:
    """Limit address space, in bytes above what is used now, and processor time while the block runs."""

    def over(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"more than {seconds:g} s")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGPROF, over)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        signal.signal(signal.SIGPROF, before)


def result_of(case: Case, number: int, folder: Path, arguments: argparse.Namespace) -> tuple[str, str]:
    """How a case went, and in which words."""
    source, output = folder / "in" / f"case{case.ending}", folder / "out" / f"case{case.ending}"
    output.unlink(missing_ok=True)
    source.write_bytes(case.data)
    how, words = "written", ""
    try:
        with limits(arguments.memory << 20, arguments.seconds):
            asked = format_of(source)  # reads the root of XML
            kind = case.kind if asked == "text" else asked
            translated(source, output, kind, marked=number % 2 == 1)
    except TransloraError as error:
        how, words = "refused", str(error)
        if "\n" in words or len(words) > LONGEST:
            how, words = "fault", f"a message of {len(words)} characters: {words[:200]}"
        elif output.exists() and "the result" in words:
            how, words = "fault", f"the result cannot be read: {words}"
    except (Exception, TooLong) as error:
        where = traceback.extract_tb(error.__traceback__)
        own = next((frame for frame in reversed(where) if "translora" in frame.filename), where[-1])
        how, words = "fault", f"{type(error).__name__} {str(error)[:200]} in {Path(own.filename).name}:{own.lineno}"
    there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    wanted = sorted([f"in/case{case.ending}", *([f"out/case{case.ending}"] if output.exists() else [])])
    if there != wanted or (how == "written") > output.exists():
        how, words = "fault", f"files: {', '.join(there)}"
    source.unlink()
    output.unlink(missing_ok=True)
    return how, words


def outcome_of(number: int, folder: Path, arguments: argparse.Namespace) -> Outcome:
    case = drawn(arguments.seed, number)
    before, begun = peak_memory(reset=True), time.process_time()
    how, words = result_of(case, number, folder, arguments)
    seconds, peak = time.process_time() - begun, max(0, peak_memory() - before)
    if how == "fault" and arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        (arguments.keep / f"{number}{case.ending}").write_bytes(case.data)
    return Outcome(number, case.kind, case.name, how, words, seconds, peak, len(case.data))


def show(found: Sequence[Outcome]) -> None:
    by_kind: dict[str, list[Outcome]] = defaultdict(list)
    for one in found:
        by_kind[one.kind].append(one)
    rows = []
    for kind, group in [*sorted(by_kind.items()), ("all", list(found))]:
        counts = Counter(one.how for one in group)
        slowest, largest = max(one.seconds for one in group), max(one.peak for one in group)
        shown = [str(counts[how]) for how in ("written", "refused", "fault")]
        rows.append([kind, str(len(group)), *shown, f"{slowest:.1f} s", f"{largest / 2**20:.0f} MiB"])
    console.show_table(
        f"{len(found):,} damaged documents",
        ["format", "files", "written", "refused", "faults", "slowest", "most memory"],
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--only", type=int, help="the number of one case, to run it alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20, help="processor time of a case, at most")
    parser.add_argument("--memory", type=int, default=1_024, help="MiB of address space of a case, at most")
    parser.add_argument("--keep", type=Path, help="a folder for the faulty documents")
    parser.add_argument("--json", default="", help="also write the outcomes to this file")
    arguments = parser.parse_args()
    first, count = (arguments.only, 1) if arguments.only is not None else (arguments.first, arguments.cases)
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name, console.meter("documents", count, "files") as meter:
        folder = Path(name)
        for part in ("in", "out"):
            (folder / part).mkdir()
        for number in range(first, first + count):
            found.append(outcome_of(number, folder, arguments))
            if found[-1].how == "fault":
                console.notice(f"{found[-1].name}: {found[-1].words}")
            meter.advance(1)
    show(found)
    if arguments.json:
        figures: list[dict[str, Any]] = [asdict(one) for one in found]
        write_json(Path(arguments.json), figures)
    if any(one.how == "fault" for one in found):
        sys.exit(1)


if __name__ == "__main__":
    main()
