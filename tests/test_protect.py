"""What must survive is found, replaced and put back; no text loses anything."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translora.errors import ConfigError
from translora.translation.protect import _BUILT_IN, _HINT, PIECES, Marks, Protector

FRAGMENTS = st.sampled_from(
    ["<ph1>", "<ph", "1>", ">", "<", "[X", "0X]", "%s", "%", "{x}", "{", "}", "<b>", "</b>", "&amp;", "\\n", "\\", "a ",
     "https://a.b/", "a@b.c", " ", "ä", "\n", '"', "$x$", "\u2028", "9"]
)  # fmt: skip
FOUND = {
    "%s von %d": ["%s", "%d"],
    "%1$s und %2$S, %(name)s, %-5d, %.2f %%": ["%1$s", "%2$S", "%(name)s", "%-5d", "%.2f", "%%"],
    "%dMB in %dx%d": ["%d", "%d", "%d"],
    "{name} {0} {{x}} ${x} %{y} { $count } {{{html}}}": [
        "{name}", "{0}", "{{x}}", "${x}", "%{y}", "{ $count }", "{{{html}}}"
    ],
    "{n, plural, one {# Datei} other {# Dateien}} da": ["{n, plural, one {# Datei} other {# Dateien}}"],
    "%1 von %L2, %n, $(ARG1), $name$, $1, %PRODUCTNAME": ["%1", "%L2", "%n", "$(ARG1)", "$name$", "$1", "%PRODUCTNAME"],
    '<g id="1">a</g> <x id="2"/> <br> <a href="x>y">b</a>': [
        '<g id="1">', "</g>", '<x id="2"/>', "<br>", '<a href="x>y">', "</a>"
    ],
    "A &amp; B&nbsp;C, Gr&uuml;n": ["&amp;", "&nbsp;"],
    "siehe https://example.org/a?b=1. Oder www.example.org, (ftp://x.de/y)": [
        "https://example.org/a?b=1", "www.example.org", "ftp://x.de/y"
    ],
    "https://{host}:{port}/x": ["https://{host}:{port}/x"],
    "an max.muster+x@example.co.uk schreiben.": ["max.muster+x@example.co.uk"],
    r"eins\nzwei\tdrei \u00e4 \"x\"": [r"\n", r"\t", r"\u00e4", r"\"", r"\""],
    "nimm <ph3> mit": ["<ph3>"],
    "<1>a</1> <2/>, von <max@example.org>, 1 <2 und 3> 2": ["<1>", "</1>", "<2/>", "<max@example.org>"],
    r"in C:\Programme\neu.txt, $A$1 und %E8%BB%8A": [r"C:\Programme\neu.txt", "$A$1", "%E8%BB%8A"],
    "100 % der Leute, 50% sicher, a < b und c > d, 5 & 6; 3.5 $": [],
    "kostet $20.000": [],
}  # fmt: skip


@pytest.mark.parametrize("text", FOUND, ids=range(len(FOUND)))
def test_what_must_survive_is_found(text):
    assert Protector().found(text) == FOUND[text]


@given(st.lists(FRAGMENTS, max_size=20).map("".join))
def test_the_fast_check_passes_whatever_holds_something(text):
    assert all(_HINT.search(match[0]) for match in _BUILT_IN.finditer(text))


def test_the_same_string_has_the_same_mark():
    (one,) = Protector().protect("%s und {x} und %s")
    assert one.text == "<ph0> und <ph1> und <ph0>"
    assert one.restore("<ph1>: <ph0><ph0>") == "{x}: %s%s"
    assert one.restore("<ph7>a") == "a"


def test_patterns_of_the_user_join_what_they_overlap():
    protector = Protector(patterns=[r"ACME-\d+", r"b>\w+", ""])
    assert protector.found("ACME-12 in <b>dick</b>") == ["ACME-12", "<b>dick", "</b>"]
    with pytest.raises(ConfigError, match=r"pattern '\(': no regular expression"):
        Protector(patterns=["("])


def test_more_than_there_are_marks_are_parts():
    text = " ".join(f"{{n{i}}} und" for i in range(70))
    parts = Protector().protect(text)
    assert [len(part.originals) for part in parts] == [32, 32, 6]
    assert "".join(part.plain for part in parts) == text
    assert parts[1].text.startswith("<ph0> und <ph1>")


@pytest.mark.parametrize(
    ("translation", "kept"),
    [
        ("<ph1><ph0>x<ph2><ph3>", True),
        ("<ph3>, <ph0>x<ph1><ph2>", True),
        ("<ph2>x<ph0><ph1><ph3>", False),
        ("<ph0>x<ph2><ph1>", False),
        ("<ph0><ph1>x<ph2>", False),
        ("<ph0><ph1>x<ph2><ph3><ph3>", False),
        ("<ph0><ph1>x<ph2><ph3><ph9>", False),
    ],
)
def test_marks_are_checked_and_tags_stay_nested(translation, kept):
    (one,) = Protector().protect("%s<b>x</b>{y}")
    assert one.kept_in(translation) is kept


def test_a_translation_without_marks_is_checked_too():
    protector = Protector()
    assert protector.kept("<b>a</b> %s", "%s <b>x</b>")
    assert not protector.kept("<b>a</b> %s", "%s </b>x<b>")
    assert not protector.kept("%s %s", "%s")


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.text(), st.lists(FRAGMENTS, max_size=60).map("".join)),
    st.sampled_from([PIECES, Marks("[X", "X]", 3), Marks("<ph", ">", 1)]),
    st.lists(st.sampled_from([r"\d", "X", "h1", r"[<>]", "a"]), max_size=2),
)
def test_any_text_comes_back(text, marks, patterns):
    protector = Protector(marks, patterns)
    parts = protector.protect(text)
    assert "".join(part.plain for part in parts) == text
    assert [part.originals[mark] for part in parts for mark in marks.pattern.findall(part.text)] == protector.found(
        text
    )
    assert all(part.kept_in(part.text) for part in parts)
    assert protector.kept(text, text)
