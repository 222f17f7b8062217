"""Numbers, flags and ratings, and the review that collects them."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from translora.data.pairs import Corpus, Pair
from translora.translation.numbers import lost_numbers
from translora.translation.quality import FLAGS, Rater, Rating, comment_of, repeats
from translora.translation.result import Translation
from translora.translation.review import Place, Review

NUMBERS = [
    ("1.000,5 Euro", "1,000.5 euros", []),
    ("1.000,5 Euro", "1,000,5 euros", ["1.000,5"]),
    ("1'000.50", "1,000.5", []),
    ("10 000 Seiten", "10,000 pages", []),
    ("10\u202f000 Seiten", "10000 pages", []),
    ("12.03.2024", "March 12, 2024", []),
    ("12.03.2024", "2024-03-12", []),
    ("12.03.2024", "March 12", ["12.03.2024"]),
    ("um 14:30 Uhr", "at 2:30 pm", []),
    ("um 14:30 Uhr", "at 3:30 pm", ["14:30"]),
    ("3 von 5", "of 5, 3", []),
    ("3 von 5", "3 of 4", ["5"]),
    ("2 und 2", "2", ["2"]),
    ("100", "1000", ["100"]),
    ("\u0663 Bücher", "3 books", []),
    ("12,34,567 Rupien", "1,234,567 rupees", []),
    ("Version 1.2.3", "version 1.2.3", []),
    ("Kapitel 1-3", "chapters 1 to 3", []),
    ("keine", "7", []),
]


@pytest.mark.parametrize(("source", "translation", "lost"), NUMBERS)
def test_lost_numbers(source, translation, lost):
    assert lost_numbers(source, translation) == lost


@pytest.fixture(scope="module")
def rater():
    return Rater("de", "en", [r"ACME-\d+"])


LONG = "Das Fenster wird geschlossen und die Datei wird gespeichert."
RATED = [
    (LONG, "The window is closed and the file is saved.", ()),
    (LONG, "", ("empty",)),
    (LONG, LONG.upper(), ("copy",)),
    ("Firefox", "Firefox", ()),
    ("Benutzereinstellungen", "Benutzereinstellungen", ("copy",)),
    ("%d %s", "%d %s", ()),
    (LONG, "La fenêtre est fermée et le fichier est enregistré.", ("language",)),
    ("Datei <b>%s</b>", "File <b>%s", ("placeholder",)),
    ("Nummer ACME-12 ist da", "Number ACME-13 is there", ("placeholder",)),
    ("Es sind 12 Dateien", "There are 13 files", ("number",)),
    ("Seite %1$s von 3", "Page of 3 %1$s", ()),
    ("sehr gut", "very very very good", ("repetition",)),
    ("ha ha ha", "ha ha ha", ("copy",)),
    ("Ja", "Yes, and the file that you asked for is there", ("length",)),
]


@pytest.mark.parametrize(("source", "text", "flags"), RATED)
def test_flags(rater, source, text, flags):
    assert rater.rate(source, text, [Translation(text, -0.5)]) == Rating(-0.5, flags)


def test_what_happened_while_translating_is_flagged(rater):
    parts = [Translation("One.", -0.2), Translation("two", -0.9, "max_tokens", placeholders="repair")]
    rating = rater.rate("Eins.\nzwei", "One.\ntwo", parts)
    assert rating == Rating(-0.9, ("apart", "cut"))
    assert rater.rate("Eins.", "One.", [Translation("One.")], apart=True).flags == ("apart",)
    assert rater.rate("Ja", "Yes", [Translation("Yes", origin="memory")]) == Rating(None, (), "memory")
    assert comment_of(rating) == f"confidence -0.90; apart: {FLAGS['apart']}; cut: {FLAGS['cut']}"


def test_a_language_that_cannot_be_identified_has_no_flag():
    french = "La fenêtre est fermée et le fichier est enregistré."
    assert Rater("de", "gsw").rate(LONG, french, []).flags == ()


def test_long_loops_are_found_fast():
    assert not repeats(" ".join(map(str, range(20_000))))
    assert repeats("a b c d e f " * 2)
    assert repeats("hahahahaha")


def test_the_worst_are_kept_and_come_first(rater, tmp_path):
    with open(tmp_path / "rows", "w", encoding="utf-8") as stream:
        review = Review(rater, stream, most=3)
        for i, (text, score) in enumerate([("1 a", -0.1), ("b", -3.0), ("c", None), ("d", -1.0), ("e", -3.0)], 1):
            review.add(Place("x.txt", i, i), "1 a" if i == 1 else "z", text, [Translation(text, score)])
        review.add(Place("x.txt", 6, 6), "1 a", "b", [Translation("b", -0.1)])
    assert [row.place.segment for row in review.worst()] == [6, 2, 5]
    assert review.totals.words() == "1 of 6 translated segments have flags: number 1"
    rows = [json.loads(line) for line in (tmp_path / "rows").read_text(encoding="utf-8").splitlines()]
    assert rows[2]["confidence"] is None
    assert rows[5] == {
        "file": "x.txt", "segment": 6, "line": 6, "note": "", "source": "1 a", "translation": "b", "origin": "model",
        "confidence": -0.1, "flags": ["number"], "terms": [],
    }  # fmt: skip


def test_the_benchmark_of_confidence(tiny_model):
    benchmark = runpy.run_path(str(Path(__file__).parent.parent / "benchmarks" / "confidence.py"))
    one, other = np.array([1.0, 2.0, 2.0, 9.0, -3.0]), np.array([10.0, 20.0, 30.0, 40.0, 5.0])
    assert benchmark["ranks"](one).tolist() == [2.0, 3.5, 3.5, 5.0, 1.0]
    assert benchmark["spearman"](one, other) == pytest.approx(0.9747, abs=1e-4)
    assert benchmark["spearman"](one, -other) == pytest.approx(-0.9747, abs=1e-4)
    pairs = Corpus.of([Pair(f"Satz {i} ist {'sehr ' * (i % 3)}lang", f"Sentence {i} is long") for i in range(12)])
    found = benchmark["measured"](str(tiny_model), pairs, "de", "en", 1)
    low, high = found.spearman_interval
    assert found.segments == 12
    assert low <= found.spearman <= high
    assert found.flags["number"][0] > 6, "a model of random weights keeps few numbers"
