"""Long lines are cut into sentences, and sentences without end into parts; nothing is lost on the way."""

import re

import pytest

from translora import Translator
from translora.translation import kept
from translora.translation.segments import joined, parts_of, sentences

MARK = re.compile(r"<ph\d+>")


def test_sentences_are_the_line_again():
    line = "  Das ist z. B. ein Satz.  Und noch einer!\tJa?  "
    assert sentences(line, "de-DE", lambda text: False) == [line]
    pieces = sentences(line, "de-DE", lambda text: True)
    assert "".join(pieces) == line
    assert [piece.strip() for piece in pieces] == ["Das ist z. B. ein Satz.", "Und noch einer!", "Ja?"]
    assert joined(pieces, ["One.", "Two!", "Yes?"]) == "One.  Two!\tYes?"
    assert sentences("Ein Satz ohne Ende", "xx", lambda text: True) == ["Ein Satz ohne Ende"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("eins zwei, drei vier", ["eins zwei, ", "drei vier"]),
        ("a, zweizwei dreivier", ["a, zweizwei ", "dreivier"]),
        ("日本語の長い文、続きの文です", ["日本語の長い文、", "続きの文です"]),
        ("abcdefghijklmn", ["abcdefg", "hijklmn"]),
        ("abcd<ph12>klmn", ["abcd", "<ph12>klmn"]),
        ("<ph1234567890>", ["<ph1234567890>"]),
        ("kurz", ["kurz"]),
        ("e\u0301" * 7, ["e\u0301" * 3, "e\u0301" * 4]),
    ],
)
def test_a_sentence_is_cut_at_its_best_place(text, expected):
    assert parts_of(text, lambda part: len(part) <= 12, MARK) == expected


@pytest.mark.parametrize(
    ("pieces", "translations", "expected"),
    [
        (["今天很好。", "我们去公园。"], ["It is fine.", "We go out."], "It is fine. We go out."),
        (["今天去买东西，", "然后回家"], ["We go shopping", "then home"], "We go shopping then home"),
        (["It is fine. ", "We go out."], ["今天很好。", "我们去公园。"], "今天很好。我们去公园。"),
        (["It is fine.  ", "We go out."], ["今天很好。", "我们去公园。"], "今天很好。  我们去公园。"),
        (["日本語。", "日本語。"], ["今天。", "明天。"], "今天。明天。"),
        (["abcdefg", "hijklmn"], ["abc", "def"], "abcdef"),
        (["Eins. ", "", "Zwei. "], ["One.", "", "Two."], "One. Two."),
    ],
)
def test_spaces_between_sentences_are_those_of_the_script(pieces, translations, expected):
    assert joined(pieces, translations) == expected


def test_a_model_without_marks_reads_no_endless_address(tiny_model, monkeypatch):
    monkeypatch.setattr(kept, "_pieces", lambda tokenizer: 0)
    translator = Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=5)
    texts = [
        "Siehe https://example.org/" + "a1b2" * 5_000 + " und mehr",
        " ".join(f"https://example.org/{i:060}" for i in range(300)),
        f'<a href="https://example.org/{"x" * 80}">fett</a> und ' * 200,
    ]
    guard = translator.guard()
    for text, reading in zip(texts, translator.read(texts, guard), strict=True):
        assert reading.plain == text
        assert max(len(translator.tokenizer(read).input_ids) for read in ["", *guard.sent(reading.pieces)]) <= 512
    found = translator.translate(texts[0])
    assert texts[0].split()[1] in found


def test_parts_fit_and_are_the_sentence_again():
    text = "ein langer Text, der nie endet <ph3> und " * 40
    parts = parts_of(text, lambda part: len(part) <= 50, MARK)
    assert "".join(parts) == text
    assert max(map(len, parts)) <= 50
    assert sum(len(MARK.findall(part)) for part in parts) == 40


def test_a_sentence_without_end_is_translated_in_parts(tiny_model, capsys):
    translator = Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=5)
    text = "und so weiter <b>fett</b> bei {name} " * 60
    lines = translator.read([text], translator.guard())
    assert lines[0].sentences == 1
    assert all(len(translator.tokenizer(piece.text).input_ids) <= 256 for piece in lines[0].pieces)
    found = translator.translate([text, "Ein Satz."], details=True)
    assert found[0].text.count("{name}") == 60
    assert found[0].text.count("<b>") == found[0].text.count("</b>") == 60
    said = capsys.readouterr().err
    assert "line 1 has a sentence of more than 512 tokens: it was cut at commas or spaces" in said
    assert "sentence by sentence" not in said
