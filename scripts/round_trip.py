"""Round trips of the documents in folders: `python scripts/round_trip.py FOLDER ... [--most 200] [--list]`.

Each document is read, given to an engine that returns each text as it is, and written: the table says how many come
back byte for byte, by format. A second pass puts a word before each text and reads the result again: `marked` counts
the documents whose texts are then the old ones with the mark. PO, XLIFF and TMX, which hold both languages, come back
byte for byte where no segment is translated; their second pass fills in all, and each must then be translated.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from translora.documents.document import Document, Options
from translora.documents.formats import FORMATS, format_of, read
from translora.errors import TransloraError

BILINGUAL = {"po", "xliff", "tmx"}
MARK = "Q "


def documents(folders: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    """Name, format and content of each document, those in .zip, .jar, .xpi and .whl files too."""
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if not path.is_file() or path.is_symlink():
                continue
            if path.suffix in (".zip", ".jar", ".ja", ".xpi", ".whl"):
                yield from members(path)
            elif path.suffix == ".gz" and kind_of(path.with_suffix("")) != "text":
                yield str(path), kind_of(path.with_suffix("")), gzip.decompress(path.read_bytes())
            elif (kind := kind_of(path)) != "text":
                yield str(path), kind, path.read_bytes()


def members(path: Path) -> Iterator[tuple[str, str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if (kind := kind_of(Path(name))) != "text":
                    yield f"{path}!{name}", kind, archive.read(name)
    except zipfile.BadZipFile:
        return


def kind_of(path: Path) -> str:
    kind = format_of(path)
    return "paragraphs" if kind == "text" and path.suffix == ".txt" else kind


def round_trip(name: str, kind: str, data: bytes) -> tuple[bool, bool, int]:
    """Whether the bytes are the same, whether the marks come back, and the number of segments."""
    options = Options("en", "de")
    document = read(data, name, kind, options)
    segments = document.segments
    if kind in BILINGUAL:
        same = document.filled([None] * len(segments)) == data
    else:
        same = document.filled([one.text for one in segments]) == data
    return same, marked(document, name, kind, options), len(segments)


def marked(document: Document, name: str, kind: str, options: Options) -> bool:
    """Whether the texts with a mark before each come back as they are, and every unit of two languages is then done."""
    segments = document.segments
    texts = [MARK + one.text for one in segments]
    again = read(with_marks(document), name, kind, options).segments
    if kind in BILINGUAL:
        return [one.text for one in again] == [one.text for one in segments] and all(one.translated for one in again)
    return [one.text.split() for one in again] == [text.split() for text in texts]


def with_marks(document: Document) -> bytes:
    """The document with the mark before each of its texts."""
    return document.filled([MARK + one.text for one in document.segments])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--most", type=int, default=200, help="documents of each format")
    parser.add_argument("--only", choices=FORMATS, help="one format")
    parser.add_argument("--list", action="store_true", help="name each document that does not come back, and why")
    arguments = parser.parse_args()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, kind, data in documents(arguments.folders):
        count = counts[kind]
        if count["files"] >= arguments.most or (arguments.only and kind != arguments.only):
            continue
        count["files"] += 1
        try:
            same, marks, segments = round_trip(name, kind, data)
        except TransloraError as error:
            count["refused"] += 1
            if arguments.list:
                print(f"refused: {error}", file=sys.stderr)
            continue
        count["same"] += same
        count["marked"] += marks
        count["segments"] += segments
        if arguments.list and not (same and marks):
            print(f"{'marks' if same else 'bytes'}: {kind} {name}", file=sys.stderr)
    print(f"{'format':12}{'files':>8}{'read':>8}{'same bytes':>12}{'marked':>8}{'segments':>10}")
    for kind in sorted(counts):
        count = counts[kind]
        if count["files"]:
            read_files = count["files"] - count["refused"]
            cells = (count["files"], read_files, count["same"], count["marked"], count["segments"])
            print(
                f"{kind:12}"
                + "".join(f"{cell:>{width},}" for cell, width in zip(cells, (8, 8, 12, 8, 10), strict=True))
            )


if __name__ == "__main__":
    main()
