"""Opens translated documents in LibreOffice: `python scripts/open_in_office.py FOLDER ... [--most 200] [--every 5]`.

Each DOCX, PPTX, XLSX and OpenDocument file in the folders is written with a word before each of its texts. LibreOffice
converts the original and the result to PDF, many files per process. The table counts, by format, the documents that
LibreOffice converts before and after, and names those that it converts before only. The program `soffice` must be in
the path; its settings go into a folder of their own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from round_trip import documents, with_marks

from translora.documents.document import Options
from translora.documents.formats import read
from translora.errors import TransloraError

OFFICE = ("docx", "odf", "pptx", "xlsx")
BATCH = 20
SECONDS = 120


def convert(files: list[Path], target: Path, settings: Path) -> set[str]:
    """Stems of the files that LibreOffice writes as PDF. What a batch leaves out is tried alone."""
    target.mkdir(exist_ok=True)
    for start in range(0, len(files), BATCH):
        run(files[start : start + BATCH], target, settings)
    for path in files:
        if not (target / f"{path.stem}.pdf").exists():
            run([path], target, settings)
    return {path.stem for path in target.glob("*.pdf")}


def run(files: list[Path], target: Path, settings: Path) -> None:
    command = ["soffice", f"-env:UserInstallation={settings.as_uri()}", "--headless", "--convert-to", "pdf"]
    try:
        subprocess.run(
            [*command, "--outdir", str(target), *map(str, files)], capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{len(files)} files took over {SECONDS} s", file=sys.stderr)


def prepare(folders: list[Path], most: int, every: int, work: Path) -> dict[str, dict[str, str]]:
    """Writes originals and results into `before` and `after` of the work folder; name of each stem by format."""
    (work / "before").mkdir()
    (work / "after").mkdir()
    names: dict[str, dict[str, str]] = defaultdict(dict)
    met: Counter[str] = Counter()
    for name, kind, data in documents(folders):
        met[kind] += 1
        if kind not in OFFICE or met[kind] % every or len(names[kind]) >= most:
            continue
        try:
            document = read(data, name, kind, Options("en", "de"))
            result = with_marks(document)
        except TransloraError:
            continue
        stem = f"{kind}{len(names[kind]):04}"
        names[kind][stem] = name
        (work / "before" / f"{stem}{Path(name).suffix}").write_bytes(data)
        (work / "after" / f"{stem}{Path(name).suffix}").write_bytes(result)
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--most", type=int, default=200, help="documents of each format")
    parser.add_argument("--every", type=int, default=1, help="take each n-th document")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        names = prepare(arguments.folders, arguments.most, arguments.every, work)
        opened = {
            side: convert(sorted((work / side).iterdir()), work / f"{side}-pdf", work / "settings")
            for side in ("before", "after")
        }
    print(f"{'format':8}{'files':>8}{'before':>8}{'after':>8}")
    for kind, by_stem in sorted(names.items()):
        before, after = (opened[side] & by_stem.keys() for side in ("before", "after"))
        print(f"{kind:8}{len(by_stem):>8,}{len(before):>8,}{len(after):>8,}")
        for stem in sorted(before - after):
            print(f"  before only: {by_stem[stem]}")
        for stem in sorted(after - before):
            print(f"  after only: {by_stem[stem]}")


if __name__ == "__main__":
    main()
