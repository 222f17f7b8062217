"""Build a small Vietnamese-English corpus of interface strings, for the recipe `my-corpus-vi`.

    mkdir packages && cd packages
    apt-get download libreoffice-l10n-vi firefox-esr firefox-esr-l10n-vi thunderbird thunderbird-l10n-vi
    cd .. && python scripts/mini/build_vietnamese.py --packages packages -o vi-en.tsv

Works on Debian and Ubuntu, or with the packages from packages.debian.org. All strings are under the MPL-2.0. Each pair
is written once, Vietnamese first; placeholders stay as they are, and Vietnamese letters are composed (NFC), for a
decomposed reference counts as wrong though it looks the same. Needs `dpkg-deb`.
"""

from __future__ import annotations

import argparse
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from build_base import objection, unpack
from build_tatoeba import Pair, write_pairs
from interface_strings import read_libreoffice, read_mozilla
from placeholders import plain

ARCHIVES = {"*.xpi": ("firefox-esr-l10n-vi", "thunderbird-l10n-vi"), "omni.ja": ("firefox-esr", "thunderbird")}
"""The archives that hold the Vietnamese strings, then the English ones, and the packages that install them."""


def strings(packages: Path, folder: Path) -> Iterator[tuple[str, Pair]]:
    """The plain pairs of every package, each with its source's name; packages are unpacked below `folder`."""
    mozilla = [
        sorted(file for name in names for file in unpack(packages, name, folder).rglob(kind))
        for kind, names in ARCHIVES.items()
    ]
    sources = {
        "LibreOffice": (read_libreoffice(unpack(packages, "libreoffice-l10n-vi", folder), "vi"), "_~"),
        "Firefox and Thunderbird": (read_mozilla(*mozilla, locale="vi"), ""),
    }
    for name, (pairs, accelerators) in sources.items():
        for vietnamese, english in pairs:
            composed = unicodedata.normalize("NFC", vietnamese)
            yield name, (plain(composed, accelerators), plain(english, accelerators))


def clean(pairs: Iterator[tuple[str, Pair]]) -> tuple[list[Pair], Counter[str]]:
    """The pairs that are of use, each once, and how many were kept and dropped, by source and by reason."""
    counts: Counter[str] = Counter()
    kept: dict[Pair, None] = {}
    for source, pair in pairs:
        reason = "duplicate" if pair in kept else "not translated" if pair[0] == pair[1] else objection(*pair)
        if any(unicodedata.category(character) in ("Cc", "Cf") for text in pair for character in text):
            reason = "control characters"
        counts[f"dropped: {reason}" if reason else f"kept of {source}"] += 1
        if not reason:
            kept[pair] = None
    return list(kept), counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="the folder of the Debian packages")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the corpus: a TSV file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pairs, counts = clean(strings(arguments.packages, Path(folder)))
    for line, count in sorted(counts.items()):
        print(f"{count:>9,} {line}")
    write_pairs(arguments.output, pairs)
    print(f"{len(pairs):>9,} pairs in {arguments.output}")


if __name__ == "__main__":
    main()
