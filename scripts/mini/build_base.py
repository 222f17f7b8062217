"""Build the corpus that the embedded base model is trained on: everyday sentences and strings of programs' interfaces.

    python scripts/mini/build_tatoeba.py deu-eng.zip -o tatoeba
    mkdir packages && cd packages
    apt-get download libreoffice-l10n-de chromium-common chromium-l10n firefox-esr firefox-esr-l10n-de \
        thunderbird thunderbird-l10n-de
    pip download --no-deps --ignore-requires-python homeassistant==2025.4.4
    cd .. && python scripts/mini/build_base.py --tatoeba tatoeba --packages packages -o base

Debian 12 and Home Assistant 2025.4.4 gave the figures in the model's card. The folder gets `train.tsv.gz`, Tatoeba's
training pairs and the interface strings together; `valid.tsv`, half of each; and `interface-test.tsv`. No training pair
is nearly one of the interface strings held out, nor one of the embedded help corpus's validation and test pairs
(translora's `leakage: near`). Placeholders are pieces `<ph0>` to `<ph31>`: see `placeholders.py`. Needs `dpkg-deb`.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from build_tatoeba import Pair, split, write_pairs
from interface_strings import read_chromium, read_home_assistant, read_libreoffice, read_mozilla
from placeholders import PIECES, plain, protected

from translora.config import SourceConfig
from translora.data.cleaning.leakage import Leakage, normalised
from translora.data.pairs import Pair as CorpusPair
from translora.data.readers.sources import read_corpus

HELD_OUT = 1000
SEED = 13
MOST_WORDS = 80
MOST_TIMES_LONGER = 3
LEAST_HELD_OUT_WORDS = 3
NUMBERS, NAMES = 0.3, 0.15
VALIDATION = 500
MOZILLA = {"*.xpi": ("firefox-esr-l10n-de", "thunderbird-l10n-de"), "omni.ja": ("firefox-esr", "thunderbird")}
"""The archives that hold the German strings, then the English ones, and the packages that install them."""


def unpack(packages: Path, name: str, folder: Path) -> Path:
    """Unpack the Debian package `name` of the folder `packages` below `folder` and return where."""
    found = sorted(packages.glob(f"{name}_*.deb"))
    if len(found) != 1:
        raise SystemExit(f"{packages}: {len(found)} files {name}_*.deb; expected one: apt-get download {name}")
    try:
        subprocess.run(["dpkg-deb", "-x", str(found[0]), str(folder / name)], check=True)
    except FileNotFoundError:
        raise SystemExit("dpkg-deb is not installed; it is part of Debian's and Ubuntu's package dpkg") from None
    except subprocess.CalledProcessError:
        raise SystemExit(f"{found[0]}: dpkg-deb cannot unpack it") from None
    return folder / name


def interface_pairs(packages: Path, folder: Path) -> Iterator[tuple[str, Pair]]:
    """The plain pairs of every source, each with its source's name; packages are unpacked below `folder`."""
    wheels = sorted(packages.glob("homeassistant-*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"{packages}: {len(wheels)} files homeassistant-*.whl; expected one: pip download --no-deps")
    chromium = [
        unpack(packages, name, folder) / f"usr/lib/chromium/locales/{locale}.pak"
        for name, locale in (("chromium-l10n", "de"), ("chromium-common", "en-US"))
    ]
    mozilla = [
        sorted(file for name in names for file in unpack(packages, name, folder).rglob(kind))
        for kind, names in MOZILLA.items()
    ]
    sources = {
        "Home Assistant": (read_home_assistant(wheels[0]), ""),
        "LibreOffice": (read_libreoffice(unpack(packages, "libreoffice-l10n-de", folder)), "_~"),
        "Firefox and Thunderbird": (read_mozilla(*mozilla), ""),
        "Chromium": (read_chromium(*chromium), "&"),
    }
    for name, (pairs, accelerators) in sources.items():
        for german, english in pairs:
            yield name, (plain(german, accelerators), plain(english, accelerators))


def objection(german: str, english: str) -> str | None:
    """Why a pair of plain texts is no use for training, or None."""
    if not all(sum(map(str.isalpha, text)) > 2 for text in (german, english)):
        return "no words"
    if german == english and len(german.split()) > 2:
        return "not translated"
    if max(len(german.split()), len(english.split())) > MOST_WORDS:
        return f"more than {MOST_WORDS} words"
    shorter, longer = sorted((len(german), len(english)))
    if longer > MOST_TIMES_LONGER * shorter + 10:
        return f"one side more than {MOST_TIMES_LONGER} times as long"
    checked = protected((german, english))
    if checked is None:
        return "other placeholders on the other side"
    if any(mark in text for text in checked for mark in ("{", "}", "\\", "->", "();", "plural,", "[%")):
        return "code"
    if all(len(text) < 4 * text.count("<ph") + 4 for text in checked):
        return "placeholders only"
    return None


def clean(pairs: Iterator[tuple[str, Pair]], leakage: Leakage) -> tuple[list[Pair], Counter[str]]:
    """The pairs that are of use, each once, and how many were kept and dropped, by source and by reason."""
    counts: Counter[str] = Counter()
    kept: dict[Pair, None] = {}
    for source, pair in pairs:
        reason = "duplicate" if pair in kept else objection(*pair)
        if not reason and leakage.holds(CorpusPair(*pair)):
            reason = "in validation or test of the help corpus, or nearly"
        counts[f"dropped: {reason}" if reason else f"kept of {source}"] += 1
        if not reason:
            kept[pair] = None
    return list(kept), counts


def held_out_of(pairs: list[Pair]) -> list[list[Pair]]:
    """Train, validation and test; only strings of some words are held out, and none nearly like them stays in train."""
    long = [pair for pair in pairs if min(len(text.split()) for text in pair) >= LEAST_HELD_OUT_WORDS]
    short = [pair for pair in pairs if min(len(text.split()) for text in pair) < LEAST_HELD_OUT_WORDS]
    train, validation, test = split(long, HELD_OUT, SEED, key=normalised)
    near = Leakage([CorpusPair(*pair) for pair in [*validation, *test]], near=True)
    return [[pair for pair in [*train, *short] if not near.holds(CorpusPair(*pair))], validation, test]


def pairs_of(path: str, part: str = "") -> list[Pair]:
    """The German-English pairs of a corpus that translora reads."""
    return [(pair.source, pair.target) for pair in read_corpus(SourceConfig(path=path, split=part), "de", "en")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tatoeba", type=Path, required=True, help="the folder that build_tatoeba.py wrote")
    parser.add_argument("--packages", type=Path, required=True, help="the folder of the Debian packages and the wheel")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the corpus's folder")
    arguments = parser.parse_args()
    help_pairs = [CorpusPair(*pair) for part in ("validation", "test") for pair in pairs_of("mini", part)]
    leakage = Leakage(help_pairs, near=True)
    with tempfile.TemporaryDirectory() as folder:
        strings, counts = clean(interface_pairs(arguments.packages, Path(folder)), leakage)
    train, validation, test = held_out_of(strings)
    everyday = pairs_of(str(arguments.tatoeba / "train.tsv.gz"))
    sentences = [pair for pair in everyday if not leakage.holds(CorpusPair(*pair))]
    for line, count in sorted(counts.items()):
        print(f"{count:>9,} interface strings {line}")
    print(f"{len(strings) - len(train) - len(validation) - len(test):>9,} nearly one of those held out")
    print(f"{len(everyday) - len(sentences):>9,} of Tatoeba in the help corpus's validation or test, or nearly")
    both = [protected(pair, NUMBERS, NAMES) or pair for pair in [*sentences, *train]]
    print(f"{sum(any(piece in pair[0] for piece in PIECES) for pair in both):>9,} pairs with placeholders")
    tatoeba_validation = pairs_of(str(arguments.tatoeba / "valid.tsv"))[: VALIDATION // 2]
    half = [protected(pair) or pair for pair in validation[: VALIDATION // 2]]
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, part in (
        ("train.tsv.gz", both),
        ("valid.tsv", [pair for both in zip(tatoeba_validation, half, strict=True) for pair in both]),
        ("interface-test.tsv", [protected(pair) or pair for pair in test]),
    ):
        write_pairs(arguments.output / name, part)
        print(f"{len(part):>9,} pairs in {arguments.output / name}")


if __name__ == "__main__":
    main()
