"""Accelerators, and ICU messages whose branches are translated."""

import pytest

from translora.translation.interface import Strings, accelerator, messages, skeleton, with_accelerator
from translora.translation.quality import Rater
from translora.translation.result import Translation
from translora.translation.translator import Translator


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("&Datei", 0), ("S&peichern", 1), ("Öffnen mit &Wine", 11), ("AT&T", -1), ("Q&A", -1), ("A & B", -1),
        ("&amp;", -1), ("&Ja && &Nein", -1), ("https://a.de/?b=c&d=e", -1), ("&1", -1), ("a &", -1), ("<b>&Ja</b>", 3),
    ],
)  # fmt: skip
def test_accelerators(text, place):
    assert accelerator(text) == place


@pytest.mark.parametrize(
    ("text", "letter", "found"),
    [
        ("Open the file", "F", "Open the &file"), ("Save as", "v", "Sa&ve as"), ("Print", "X", "&Print"),
        ("<b>Open</b> {b}", "b", "<b>&Open</b> {b}"), ("ファイル...", "d", "ファイル(&D)..."), ("", "d", ""),
    ],
)  # fmt: skip
def test_accelerators_are_put_back(text, letter, found):
    assert with_accelerator(text, letter) == found


NESTED = "{n, plural, offset:1 =0 {Keine} other {{g, select, male {Er hat # Dateien} other {Alle}}}}"


def test_messages():
    text = f"a {{x}} {NESTED} b {{k, selectordinal, one {{#st}} other {{#th}}}}"
    found = list(messages(text))
    assert [text[one.start : one.end] for one in found] == [NESTED, "{k, selectordinal, one {#st} other {#th}}"]
    assert text[slice(*found[0].branches[0])] == "Keine"
    for other in ("{x, number, percent}", "{n, plural, one {", "{n, plural, one {'{'} other {x}}", "{n, plural}"):
        assert not list(messages(other))
    assert skeleton(f"a {NESTED}") == "a {n, plural, offset:1 =0 {} other {}}"


def test_the_branches_are_translated_and_the_skeleton_stays():
    asked = []

    def translate(texts):
        asked.extend(texts)
        found = Strings(texts)
        return found.completed([Translation(text.upper().replace("ICU_MESSAGE_A", "icu_message_a"), -1.0)
                                for text in found.texts], translate)  # fmt: skip

    line = f"Hier: {NESTED} und {{x}}"
    strings = Strings([line, "&Ja", "&Ja"])
    assert strings.texts == ["Hier: {icu_message_a} und {x}", "Ja", "Ja"]
    first = [Translation("Here: {icu_message_a} and {x}", -0.5), Translation("Yes"), Translation("S", origin="memory")]
    found = strings.completed(first, translate)
    assert found[0].text == (
        "Here: {n, plural, offset:1 =0 {KEINE} other {{g, select, male {ER HAT # DATEIEN} other {ALLE}}}} and {x}"
    )
    assert found[0].score == -1.0
    assert [one.text for one in found[1:]] == ["&Yes", "S"]
    assert asked == ["Keine", "{g, select, male {Er hat {#} Dateien} other {Alle}}", "Er hat {#} Dateien", "Alle"]
    assert Strings([line, "&Ja"], on=False).texts == [line, "&Ja"]


def test_an_apostrophe_begins_no_quotation():
    strings = Strings(["{n, plural, other {# Dateien}}"])
    found = strings.completed([Translation(strings.texts[0])], lambda texts: [Translation("files' '{#}'")])
    assert found[0].text == "{n, plural, other {files' ''#'}}"


def test_a_model_translates_them(tiny_model):
    translator = Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=6)
    message = "{n, plural, one {# Datei} other {viele Dateien}}"
    inner = translator.translate(["{#} Datei", "viele Dateien"])
    assert translator.translate(message) == (
        f"{{n, plural, one {{{inner[0].replace('{#}', '#')}}} other {{{inner[1]}}}}}"
    )
    (text,) = translator.translate(["&Datei"])
    assert text.count("&") == 1
    assert text.replace("&", "") == translator.translate("Datei")


def test_lost_ones_are_flagged():
    rater = Rater("de", "en")
    assert rater.rate("&Datei", "File", []).flags == ("placeholder",)
    assert rater.rate("&Datei", "&File", []).flags == ()
    message = "{n, plural, one {# Datei} other {# Dateien}}"
    assert rater.rate(message, "{n, plural, one {# file} other {# files}}", []).flags == ()
    assert "placeholder" in rater.rate(message, "{n, plural, one {# file}}", []).flags
