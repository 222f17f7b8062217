import random

import pytest

from translora.config import CleaningConfig
from translora.data.cleaning.leakage import Leakage, normalised
from translora.data.cleaning.rules import Cleaner
from translora.data.pairs import Pair
from translora.errors import ConfigError, DataError

GOOD = ("Die Datei wird gespeichert.", "The file is saved.")
LONG_GERMAN = "Dieser Satz ist lang genug, um sicher als deutsch erkannt zu werden."
LONG_ENGLISH = "This sentence is long enough to be surely known as an English one."


HELD_OUT = [("Öffnen Sie Datei 7.", "Open file 7."), ("Klicken Sie auf die Schaltfläche OK.", "Click OK.")]


def clean(pairs, held_out=(), **rules):
    """What was kept, and how many pairs each rule left out."""
    cleaner = Cleaner(CleaningConfig(**rules), "de", "en", [Pair(*pair) for pair in held_out])
    items = [pair if isinstance(pair, Exception) else Pair(*pair, "a.tsv", i) for i, pair in enumerate(pairs, start=1)]
    kept = [pair[:2] for pair in cleaner.keep(items)]
    assert cleaner.kept == len(kept)
    return kept, {reason: dropped.count for reason, dropped in cleaner.dropped.items()}


RULES = [
    (("", "x"), {}, "empty side"),
    (("x", ""), {}, "empty side"),
    (("a\0b", "x"), {}, "control characters"),
    (("a", "x\ry"), {}, "control characters"),
    (("a\ufffd", "x"), {}, "control characters"),
    (("a", "x\x9f"), {}, "control characters"),
    (("Kaffee", "Kaffee"), {"identical": "drop"}, "identical sides"),
    (("a &amp; b", "x"), {"html": "drop"}, "HTML entities"),
    (("a", "x &#8211; y"), {"html": "drop"}, "HTML entities"),
    (("a" * 5001, "b" * 5001), {}, "over 5000 characters"),
    (("a b c d e", "x"), {"max_words": 4}, "over 4 words"),
    (("a", "x" * 20), {}, "lengths over 1:9"),
    (("abc", "x" * 20), {"max_ratio": 3}, "lengths over 1:3"),
    ((LONG_ENGLISH, LONG_ENGLISH), {"language": "drop"}, "another language"),
    ((LONG_GERMAN, LONG_GERMAN), {"language": "drop"}, "another language"),
]
STAYS = [
    (("a\u2028b", "x\ty\x85"), {}),
    (("Kaffee", "Kaffee"), {}),
    (("a &amp; b", "x"), {}),
    (("Müller & Co; ja", "AT&T; yes"), {"html": "drop"}),
    (("a" * 5001, "b" * 5001), {"max_chars": 0}),
    (("a", "x" * 20), {"max_ratio": 0}),
    (("a\0b", "x"), {"control": "keep"}),
    ((LONG_GERMAN, LONG_ENGLISH), {"language": "drop"}),
    (("OK", "OK"), {"language": "drop"}),
]


@pytest.mark.parametrize(("pair", "rules", "reason"), RULES, ids=[reason for _, _, reason in RULES])
def test_a_rule_leaves_a_pair_out(pair, rules, reason):
    assert clean([GOOD, pair], **rules) == ([GOOD], {reason: 1})


@pytest.mark.parametrize(("pair", "rules"), STAYS, ids=[repr(pair)[:30] for pair, _ in STAYS])
def test_what_no_rule_forbids_stays(pair, rules):
    assert clean([GOOD, pair], **rules) == ([GOOD, pair], {})


def test_entities_are_unescaped():
    assert clean([("M&uuml;ller &amp; Sohn", "x")], html="unescape") == ([("Müller & Sohn", "x")], {})


@pytest.mark.parametrize(("rule", "kept"), [("keep", 4), ("exact", 3), ("normalised", 2)])
def test_duplicates(rule, kept):
    pairs = [("Ja.", "Yes."), ("Ja.", "Yes."), ("ja", "YES!"), ("Ja.", "Sure.")]
    found, dropped = clean(pairs, duplicates=rule)
    assert len(found) == kept
    assert sum(dropped.values()) == 4 - kept


@pytest.mark.parametrize(
    ("pair", "rule", "leaks"),
    [
        (("Öffnen Sie Datei 3.", "Close it."), "near", True),
        (("Öffnen Sie Datei 3.", "Close it."), "normalised", False),
        (("öffnen sie datei 7", "Close it."), "normalised", True),
        (("Etwas anderes.", "OPEN FILE 7"), "normalised", True),
        (("Etwas anderes.", "Something else."), "near", False),
        (("Klicken Sie auf die Schaltfläche OK, um zu enden.", "Do it to end it."), "near", True),
        (("Klicken Sie auf die Schaltfläche OK, um zu enden.", "Do it to end it."), "normalised", False),
        (("Drücken Sie nicht auf die Schaltfläche.", "Do not press it."), "near", False),
    ],
)
def test_what_occurs_in_the_test_set_is_left_out(pair, rule, leaks):
    kept, dropped = clean([pair], held_out=HELD_OUT, leakage=rule)
    assert (dropped == {"also in validation or test": 1}, kept == []) == (leaks, leaks)


def test_texts_without_letters_are_compared_as_they_are():
    assert Leakage([Pair("7", "8")], near=True).holds(Pair("7", "x"))
    assert not Leakage([Pair("7", "8")], near=True).holds(Pair("9", "10"))


def test_an_unreadable_line_stops_or_is_counted():
    fault = DataError("a.tsv:2: not UTF-8")
    with pytest.raises(DataError, match="a.tsv:2"):
        clean([GOOD, fault])
    assert clean([GOOD, fault], bad_lines="skip") == ([GOOD], {"unreadable line": 1})


def test_examples_are_drawn_from_the_whole_corpus():
    cleaner = Cleaner(CleaningConfig(), "de", "en")
    assert list(cleaner.keep(Pair("", "x", "a.tsv", line) for line in range(1, 2001))) == []
    lines = [int(example.split(":")[1]) for example in cleaner.dropped["empty side"].examples]
    assert len(set(lines)) == 5
    assert max(lines) > 500


def test_a_language_that_cannot_be_identified_is_named():
    with pytest.raises(ConfigError, match="language 'xx' cannot be identified"):
        Cleaner(CleaningConfig(language="drop"), "xx", "en")


def test_normalised_texts():
    draw = random.Random(1)
    for _ in range(200):
        text = "".join(chr(draw.choice([*range(32, 127), 0xE4, 0xDF, 0x2028, 0xFF21, 0x3000])) for _ in range(12))
        once = normalised(text)
        assert normalised(once) == once
    assert normalised("  Straße, 5 ") == normalised("STRASSE, 5.")


@pytest.mark.parametrize("blank", ["", "&nbsp;", " &#160; ", "\u00a0", "\u200b", "\ufeff", "&nbsp;&ZeroWidthSpace;"])
def test_what_is_not_seen_is_an_empty_side(blank):
    assert clean([GOOD, ("Ja", blank), (blank, "Yes")]) == ([GOOD], {"empty side": 2})


@pytest.mark.parametrize("text", ["&nbsp;a", "&amp;", "-", "。", "\u200bx"])
def test_what_is_seen_is_no_empty_side(text):
    assert clean([("a", text)]) == ([("a", text)], {})


@pytest.mark.parametrize(
    "text", ["„Datei 7“", "« Datei 7 »", "“Datei 7”.", "Datei 7…", "¿Datei 7?", "‚Datei 7‘", "—Datei 7"]
)
def test_outer_punctuation_of_every_script_is_not_compared(text):
    assert normalised(text) == "datei 7"
    assert normalised("「我喜欢苹果。」") == normalised("我喜欢苹果") == normalised("我喜欢苹果！")
    assert normalised("यह ठीक है।") == normalised("यह ठीक है")


NEAR = [
    ("मैं कल बाज़ार जाऊँगा और फल खरीदूँगा", "मैं कल बाज़ार जाऊँगा और फल खरीदूँगा आज", True),
    ("कि", "की", False),  # they differ in their vowel signs alone
    ("मैं कल बाज़ार जाऊँगा", "मैं काल बाज़ार जाऊँगा", False),
    ("他昨天去了北京大学图书馆看书。", "听说他昨天去了北京大学图书馆看书了。", True),
    ("他昨天去了北京大学图书馆看书。", "我明天要去上海博物馆看展览。", False),
    ("昨日私は図書館で本を読みました。", "昨日、私は図書館で本を読みました!", True),
    ("昨日私は図書館で本を読みました。", "昨日私は公園で犬と遊びました。", False),
    ("ฉันไปตลาดเพื่อซื้อผลไม้เมื่อวานนี้", "เมื่อเช้าฉันไปตลาดเพื่อซื้อผลไม้เมื่อวานนี้", True),
    ("می\u200cروم به خانه امروز عصر", "امروز عصر به خانه می\u200cروم", False),
]


@pytest.mark.parametrize(("held_out", "text", "near"), NEAR)
def test_near_duplicates_in_every_script(held_out, text, near):
    assert Leakage([Pair(held_out, "x")], near=True).holds(Pair(text, "other")) is near


@pytest.mark.parametrize(("source", "target"), [("deu", "eng_Latn"), ("de-AT", "en_US"), ("de_DE", "eng")])
def test_languages_are_identified_by_any_code(source, target):
    cleaner = Cleaner(CleaningConfig(language="drop"), source, target)
    pairs = [Pair(LONG_GERMAN, LONG_ENGLISH), Pair(LONG_ENGLISH, LONG_ENGLISH)]
    assert list(cleaner.keep(pairs)) == pairs[:1]


def test_norwegian_is_identified_by_its_wider_code():
    text = "Dette er en ganske lang setning på norsk som ingen kan ta feil av."
    assert len(list(Cleaner(CleaningConfig(language="drop"), "nb", "en").keep([Pair(text, LONG_ENGLISH)]))) == 1
