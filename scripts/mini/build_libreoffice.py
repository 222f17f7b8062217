"""Build German-English sentence pairs from the help of LibreOffice, as Debian packages it.

    apt-get download libreoffice-help-de libreoffice-help-en-us
    python scripts/mini/build_libreoffice.py libreoffice-help-de_*.deb libreoffice-help-en-us_*.deb -o FOLDER

The two languages are joined on file and paragraph identifier. FOLDER gets `train.tsv.gz`, `validation.tsv.gz` and
`test.tsv.gz`, each `German<TAB>English`; no sentence, whatever its case, is in two of them. Needs `dpkg-deb`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from build_tatoeba import Pair, split, write_splits
from lxml import html

HELD_OUT = 1000
SEED = 74
WORDS = range(3, 41)
MOST_TIMES_LONGER = 2.5

# A file below the help's text folder, a paragraph's identifier, and how many paragraphs before it in the file have the
# same: pages embed parts of one another.
Place = tuple[str, str, int]


def unpack(package: Path, language: str, folder: Path) -> Path:
    """Unpack a Debian package into `folder`; return the folder of its help pages, which must be in `language`."""
    if not package.is_file():
        raise SystemExit(f"{package}: no such file")
    try:
        result = subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit("dpkg-deb is not installed; it is part of Debian's and Ubuntu's package dpkg") from None
    if result.returncode:
        raise SystemExit(f"{package}: {' '.join(result.stderr.split()) or 'dpkg-deb cannot unpack it'}")
    pages = folder / "usr/share/libreoffice/help" / language / "text"
    if not pages.is_dir():
        raise SystemExit(f"{package}: holds no help in {language}; expected libreoffice-help-{language.lower()}")
    return pages


def paragraphs(pages: Path) -> dict[Place, str]:
    """The text of each paragraph and heading below `pages`, without markup and with single spaces, in a fixed order."""
    texts: dict[Place, str] = {}
    parser = html.HTMLParser(encoding="utf-8")
    for page in sorted(pages.rglob("*.html")):
        seen: Counter[str] = Counter()
        name = page.relative_to(pages).as_posix()
        tree = html.document_fromstring(page.read_bytes(), parser=parser)
        for element in tree.xpath("//*[starts-with(@id, 'par_id') or starts-with(@id, 'hd_id')]"):
            identifier = str(element.get("id"))
            texts[name, identifier, seen[identifier]] = " ".join(element.text_content().split())
            seen[identifier] += 1
    return texts


def objection(german: str, english: str) -> str | None:
    """Why a pair is no use for training, or None."""
    if german == english:
        return "both sides are the same"
    if len(german.split()) not in WORDS or len(english.split()) not in WORDS:
        return f"not {WORDS[0]} to {WORDS[-1]} words on both sides"
    if max(len(german), len(english)) > MOST_TIMES_LONGER * min(len(german), len(english)):
        return f"one side more than {MOST_TIMES_LONGER} times as long"
    if "not found]" in german + english or re.search(r"[{}]", german + english):
        return "a placeholder or code in braces"
    if not all(re.search(r"[a-zäöüß]{2}", text) for text in (german, english)):
        return "only names of functions"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("german", type=Path, help="libreoffice-help-de_*.deb")
    parser.add_argument("english", type=Path, help="libreoffice-help-en-us_*.deb")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the corpus's folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        german = paragraphs(unpack(arguments.german, "de", Path(folder, "de")))
        english = paragraphs(unpack(arguments.english, "en-US", Path(folder, "en-US")))

    dropped = Counter({"in one language only": len(german.keys() ^ english.keys())})
    kept: dict[Pair, None] = {}
    for place in (place for place in german if place in english):
        pair = german[place], english[place]
        reason = objection(*pair) or ("duplicate" if pair in kept else None)
        if reason:
            dropped[reason] += 1
        else:
            kept[pair] = None
    splits = split(list(kept), HELD_OUT, SEED, key=str.casefold)
    print(f"{len(german.keys() | english.keys()):>9,} paragraphs read")
    for reason, count in dropped.most_common():
        print(f"{count:>9,} dropped: {reason}")
    print(f"{len(kept):>9,} kept")
    write_splits(arguments.output, ["train.tsv.gz", "validation.tsv.gz", "test.tsv.gz"], splits)


if __name__ == "__main__":
    main()
