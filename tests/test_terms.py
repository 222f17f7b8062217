"""Terms in texts: found whatever their inflection, on word boundaries, the longest first; and what honours them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translora.translation.terms import Glossary, Term, TermMarks, stemmer, tokens_of


def glossary(*rows, source="de", target="en", **options):
    return Glossary([Term(tuple(a.split("|")), tuple(b.split("|")), **options) for a, b in rows], source, target)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Die Dateien im Ordner", ["Dateien", "Ordner"]),
        ("DATEI und Ordnern", ["DATEI", "Ordnern"]),
        ("Dateityp, Dateiname, Unterordner", []),  # words of their own
        ("Datei-Ordner", ["Datei", "Ordner"]),
        ("datei_ordner Datei2", []),  # one word each
        ("die rechte Maustaste, die rechten\u00a0Maustasten", ["rechte Maustaste", "rechten\u00a0Maustasten"]),
        ("rechte, Maustaste", []),  # something stands between
        ("C++ und C", ["C++", "C"]),
        ("Häuser am Haus", ["Häuser", "Haus"]),
    ],
)  # fmt: skip
def test_terms_are_found_by_their_stems_on_word_boundaries(text, found):
    terms = glossary(
        ("Datei", "file"), ("Ordner", "folder"), ("rechte Maustaste", "right button"), ("C", "C"), ("C++", "C++"),
        ("Haus", "house"),
    )  # fmt: skip
    assert [text[one.start : one.end] for one in terms.found(text)] == found


def test_the_longest_term_counts_and_hidden_parts_hold_none():
    terms = glossary(("Datei", "file"), ("Datei öffnen", "Open File"), ("öffnen", "open"))
    assert [one.term for one in terms.found("Datei öffnen, öffnen")] == [1, 2]
    assert [one.term for one in terms.found("Datei öffnen, öffnen", hidden=[(0, 5)])] == [2, 2]


def test_case_and_exact_forms_and_further_forms():
    cased = glossary(("Writer", "Writer"), case=True)
    assert [len(cased.found(text)) for text in ("Writer", "writer", "WRITER", "Writers")] == [1, 0, 0, 1]
    exact = glossary(("Maus|Mäuse", "mouse|mice"), exact=True)
    assert [len(exact.found(text)) for text in ("Maus", "maus", "Mäuse", "Mäusen")] == [1, 1, 1, 0]
    assert exact.honoured([0, 0], "Mice and a mouse") == {0: 2}
    assert exact.honoured([0], "mouses") == {}


def test_scripts_without_spaces_and_languages_that_snowball_does_not_know():
    terms = glossary(("文件", "file"), source="zh", target="en")
    assert [(one.start, one.end) for one in terms.found("打开文件。")] == [(2, 4)]
    assert stemmer("zh")("Dateien") == "dateien"
    assert stemmer("deu_Latn")("Dateien") == stemmer("de")("datei") == "datei"


def test_a_term_is_honoured_as_often_as_its_translation_is_there():
    terms = glossary(("Datei", "file"), ("Dateiname", "file name"), ("Ordner", "folder"), ("Verzeichnis", "folder"))
    assert terms.honoured([0, 0], "files in a File") == {0: 2}
    assert terms.honoured([0, 0], "a file") == {0: 1}
    assert terms.honoured([0, 1], "the file name") == {1: 1}  # its file is no other
    assert terms.honoured([2, 3], "folders in a folder") == {2: 1, 3: 1}
    assert terms.honoured([2, 3], "a folder").total() == 1
    assert terms.honoured([], "a folder") == {}


MARKS = TermMarks("<ph30>", "<ph31>")


def test_annotations_are_written_and_taken_out():
    text = "Die Dateien sind da."
    written = MARKS.annotated(text, [(11, "file")])
    assert written == "Die Dateien <ph30> file <ph31> sind da."
    assert MARKS.clean(written) == text
    assert MARKS.clean("the file <ph31> is <ph30> there") == "the file is there"
    assert MARKS.in_text(written)
    assert not MARKS.in_text(text)


@given(st.text(), st.lists(st.integers(0, 40)), st.text(alphabet="abc ", min_size=1))
def test_what_is_annotated_comes_back(text, ends, translation):
    places = [(end, translation) for end in sorted({end for end in ends if end <= len(text)})]
    if places and not MARKS.in_text(text):
        assert MARKS.clean(MARKS.annotated(text, places)) == text.strip()


@given(st.text(), st.sampled_from(["de", "en", "ja", "ru"]))
def test_words_and_matches_lie_in_the_text(text, language):
    assert all(text[one.start : one.end] == one.text and one.text.strip() for one in tokens_of(text))
    terms = glossary((text or "x", "y"), source=language, target="en")
    for one in terms.found(text):
        assert 0 <= one.start < one.end <= len(text)
