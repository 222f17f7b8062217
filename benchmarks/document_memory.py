"""How much memory and time `translora translate` takes for documents of several lengths.

    python benchmarks/document_memory.py --model MODEL --entries 50 1000 10000 50000 --pages 300

The texts are those of the embedded corpus, each once or with a number in front. PO catalogues have `--entries`
entries; DOCX documents `--pages` pages of ten paragraphs, a third of them with bold words. Each is translated by a
process of its own, whose peak of resident memory is that of the operating system. `--stop-after SECONDS` interrupts the
longest document once and resumes it.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from translora.config import SourceConfig
from translora.data.readers.sources import read_corpus
from translora.io import console
from translora.io.files import write_json

PARAGRAPHS = 10
"""Paragraphs per page, of about 12 words."""
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="xml" ContentType="application/xml"/></Types>',
    "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"/>',
}


def texts() -> Iterator[str]:
    """Different German sentences without end."""
    corpus = read_corpus(SourceConfig(path="mini", split="train"), "de", "en")
    for turn in count():
        yield from (f"{turn}. {text}" if turn else text for text in dict.fromkeys(corpus.sources))


def catalogue(entries: int) -> bytes:
    """A PO file."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in islice(texts(), entries))
    head = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n'
    return (
        head + "".join(f'\n#: file.c:{i}\nmsgid "{text}"\nmsgstr ""\n' for i, text in enumerate(quoted, 1))
    ).encode()


def book(pages: int) -> bytes:
    """A DOCX file."""
    body = []
    for i, text in enumerate(islice(texts(), pages * PARAGRAPHS)):
        words, bold = text.split(" "), i % 3 == 0
        runs = [(" ".join(words[:2]), False), (" " + " ".join(words[2:4]), bold), (" " + " ".join(words[4:]), False)]
        body.append(f"<w:p>{''.join(_run(*run) for run in runs if run[0].strip())}</w:p>")
    document = f'<w:document xmlns:w="{_WORD}"><w:body>{"".join(body)}</w:body></w:document>'
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (_PARTS | {"word/document.xml": document}).items():
            archive.writestr(name, content)
    return written.getvalue()


def _run(text: str, bold: bool) -> str:
    style = "<w:rPr><w:b/></w:rPr>" if bold else ""
    return f'<w:r>{style}<w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def measured(arguments: argparse.Namespace, source: Path, stop_after: float = 0.0) -> dict[str, Any]:
    """Translate a document; with `stop_after` it is interrupted after so many seconds, and resumed."""
    output = source.with_name(f"translated-{source.name}")
    command = [sys.executable, "-m", "translora", "translate", arguments.model, str(source), "-o", str(output)]
    command += ["--source", arguments.source, "--target", arguments.target, *arguments.options]
    found: dict[str, Any] = {"document": source.name, "bytes": source.stat().st_size}
    if stop_after:
        process = subprocess.Popen(command)
        time.sleep(stop_after)
        process.send_signal(signal.SIGINT)
        process.wait()
        kept = output.with_name(f"{output.name}.partial")
        found["kept_lines"] = kept.read_bytes().count(b"\n") if kept.exists() else 0
        command.append("--resume")
    started = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{source}: translate failed ({status})")
    return found | {"seconds": time.monotonic() - started, "peak_bytes": usage.ru_maxrss * 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--source", default="de")
    parser.add_argument("--target", default="en")
    parser.add_argument("--entries", type=int, nargs="*", default=[50, 1000])
    parser.add_argument("--pages", type=int, nargs="*", default=[])
    parser.add_argument("--stop-after", type=float, default=0.0, help="interrupt and resume the last document")
    parser.add_argument("--json", default="", help="also write the figures to this file")
    arguments, arguments.options = parser.parse_known_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        documents = [(f"{entries}.po", catalogue(entries)) for entries in arguments.entries]
        documents += [(f"{pages}-pages.docx", book(pages)) for pages in arguments.pages]
        for i, (name, data) in enumerate(documents, 1):
            path = Path(folder, name)
            path.write_bytes(data)
            found.append(measured(arguments, path, arguments.stop_after if i == len(documents) else 0.0))
    rows = [
        [
            row["document"],
            f"{row['bytes'] / 1e6:.1f} MB",
            f"{row['seconds']:.0f}",
            f"{row['peak_bytes'] / 2**20:.0f} MiB",
        ]
        for row in found
    ]
    console.show_table(f"Documents translated by {arguments.model}", ["document", "size", "seconds", "peak"], rows)
    kept = found[-1].get("kept_lines")
    if kept is not None:
        print(f"{found[-1]['document']}: resumed with {kept:,} lines in the partial file")
    if arguments.json:
        write_json(Path(arguments.json), found)


if __name__ == "__main__":
    main()
