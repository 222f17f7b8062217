"""Build German-English sentence pairs from the help of LibreOffice, as Debian packages it.

    apt-get download libreoffice-help-de libreoffice-help-en-us
    python scripts/mini/build_libreoffice.py libreoffice-help-de_*.deb libreoffice-help-en-us_*.deb -o FOLDER

The two languages are joined on file and paragraph identifier. Of texts that the pages hold in variants, by system or by
program, the default one is taken, which is that of Linux and Windows. FOLDER gets `train.tsv.gz`, `validation.tsv.gz`
and `test.tsv.gz`, each `German<TAB>English`; no sentence, whatever its case and outer punctuation, is in two of them.
The paragraphs of validation and test are those that `libreoffice_held_out.tsv` beside this script lists (split, file,
identifier, which of the file's paragraphs with it), drawn for the first edition of the corpus. Needs `dpkg-deb`.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from build_tatoeba import Pair, write_splits
from lxml import html

from translora.data.cleaning.leakage import normalised

HELD_OUT = Path(__file__).with_name("libreoffice_held_out.tsv")
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


@dataclass(frozen=True)
class Paragraph:
    """A paragraph or heading without markup, with single spaces."""

    all_variants: str
    """With the variants of switched texts one after the other, as the file holds them."""
    text: str
    """With the default variant of each, and a space at line breaks."""


def paragraphs(pages: Path) -> dict[Place, Paragraph]:
    """Each paragraph and heading below `pages`, in a fixed order."""
    found: dict[Place, Paragraph] = {}
    parser = html.HTMLParser(encoding="utf-8")
    for page in sorted(pages.rglob("*.html")):
        seen: Counter[str] = Counter()
        name = page.relative_to(pages).as_posix()
        tree = html.document_fromstring(page.read_bytes(), parser=parser)
        elements = tree.xpath("//*[starts-with(@id, 'par_id') or starts-with(@id, 'hd_id')]")
        texts = [_text(element) for element in elements]
        _mend(tree)
        for element, text in zip(elements, texts, strict=True):
            identifier = str(element.get("id"))
            found[name, identifier, seen[identifier]] = Paragraph(text, _text(element))
            seen[identifier] += 1
    return found


def _text(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def _mend(tree: html.HtmlElement) -> None:
    """Keep the default variant of each switched text (the first where none is the default); part lines by a space."""
    for line_break in tree.iter("br"):
        line_break.tail = f" {line_break.tail or ''}"
    for switch in tree.xpath("//span[@class='switchinline']"):
        variants = list(switch)
        defaults = [variant for variant in variants if str(variant.get("id", "")).startswith("default")]
        for variant in variants:
            if variant is not (defaults or variants)[0]:
                variant.drop_tree()


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


def held_out() -> dict[Place, str]:
    """The paragraphs of validation and test, and which of them each belongs to."""
    rows = (line.split("\t") for line in HELD_OUT.read_text(encoding="utf-8").splitlines())
    return {(file, identifier, int(number)): split for split, file, identifier, number in rows}


def divided(pairs: dict[Place, Pair]) -> tuple[list[list[Pair]], Counter[str]]:
    """Train, validation and test, each in random order, and how many training pairs are left out, by reason."""
    places = held_out()
    parts: dict[str, list[Pair]] = {"validation": [], "test": []}
    for place, split in places.items():
        if place in pairs:
            parts[split].append(pairs[place])
    rest = [pair for place, pair in pairs.items() if place not in places]
    random.Random(SEED).shuffle(rest)
    taken = {normalised(side) for part in parts.values() for pair in part for side in pair}
    train: dict[Pair, None] = {}
    dropped: Counter[str] = Counter()
    for pair in rest:
        reason = objection(*pair) or ("duplicate" if pair in train else None)
        if not reason and any(normalised(side) in taken for side in pair):
            reason = "a side is in validation or test"
        if reason:
            dropped[reason] += 1
        else:
            train[pair] = None
    return [list(train), parts["validation"], parts["test"]], dropped


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
    seen: set[Pair] = set()
    kept: dict[Place, Pair] = {}
    for place in (place for place in german if place in english):
        glued = german[place].all_variants, english[place].all_variants
        reason = objection(*glued) or ("duplicate" if glued in seen else None)
        if reason:
            dropped[reason] += 1
        else:
            seen.add(glued)
            kept[place] = german[place].text, english[place].text
    changed = sum(pair not in seen for pair in kept.values())
    splits, unused = divided(kept)
    print(f"{len(german.keys() | english.keys()):>9,} paragraphs read")
    for reason, count in dropped.most_common():
        print(f"{count:>9,} dropped: {reason}")
    print(f"{len(kept):>9,} kept, of which {changed:,} without other variants or with lines parted")
    for reason, count in unused.most_common():
        print(f"{count:>9,} of these not used in training: {reason}")
    write_splits(arguments.output, ["train.tsv.gz", "validation.tsv.gz", "test.tsv.gz"], splits)


if __name__ == "__main__":
    main()
