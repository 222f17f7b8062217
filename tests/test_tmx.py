"""Translation memories as CAT tools write them."""

import gzip

import pytest

from translora.config import CleaningConfig, SourceConfig
from translora.data.check import as_dict, check_corpus
from translora.data.readers.sources import read, read_items
from translora.errors import DataError

HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n<tmx{} version="1.4"><header/><body>\n'
END = "</body></tmx>\n"


def unit(*texts, codes=("de", "en")):
    inner = "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in zip(codes, texts, strict=True))
    return f"<tu>{inner}</tu>\n"


def memory(tmp_path, *units, name="tm.tmx", root=""):
    path = tmp_path / name
    path.write_text(HEADER.format(root) + "".join(units) + END, encoding="utf-8")
    return path


def pairs_of(path, source="de", target="en"):
    return [(pair.source, pair.target) for pair in read(SourceConfig(path=str(path)), source, target)]


CODES = [
    ('Erste Zeile<ph x="1">&lt;br/&gt;</ph>Zweite Zeile', "Erste Zeile Zweite Zeile"),
    ("Drücken Sie<ut>{\\tab }</ut>F1", "Drücken Sie F1"),
    ('Datei <ph x="1">{0}</ph> nicht gefunden', "Datei {0} nicht gefunden"),
    ("Noch <ph>%d</ph> von <ph>%1$s</ph>, <ph>{}</ph>", "Noch %d von %1$s, {}"),
    ('Ein <bpt i="1">&lt;b&gt;</bpt>fettes<ept i="1">&lt;/b&gt;</ept> Wort', "Ein fettes Wort"),
    ('Ein<bpt i="1">&lt;b&gt;</bpt>fettes<ept i="1">&lt;/b&gt;</ept>Wort', "Ein fettes Wort"),
    ("Bild <it pos='begin'>&lt;img&gt;</it> hier", "Bild hier"),
    ("Drücken Sie (<bpt i='1'>x</bpt>F1<ept i='1'>x</ept>).", "Drücken Sie (F1)."),
    ("Satz eins.<ph>&lt;br&gt;</ph>Satz zwei.", "Satz eins. Satz zwei."),
    ("Ein <hi type='x'>hervorgehobenes</hi> Wort", "Ein hervorgehobenes Wort"),
    ("Bild <ph>&lt;img alt='<sub>Logo</sub>'&gt;</ph> hier", "Bild hier"),
    ("点击<bpt i='1'>x</bpt>确定<ept i='1'>x</ept>按钮", "点击确定按钮"),
    ("<ph>&lt;p&gt;</ph>Anfang und Ende<ph/>", "Anfang und Ende"),
    ("Preis:\u00a0<ph/>10\u202fEUR", "Preis:\u00a010\u202fEUR"),
    ("Ein Kommentar<!-- x --> und <![CDATA[<b>]]>", "Ein Kommentar und <b>"),
    ("a<ph>&lt;x&gt;</ph><ph>&lt;y&gt;</ph> <ph>&lt;z&gt;</ph>b", "a b"),
    ("हिन्दी<ph>&lt;x&gt;</ph>पाठ", "हिन्दी पाठ"),
]


@pytest.mark.parametrize(("segment", "text"), CODES)
def test_inline_codes_join_no_words(tmp_path, segment, text):
    assert pairs_of(memory(tmp_path, unit(segment, "x"))) == [(text, "x")]


def test_dropped_codes_are_counted_with_the_first_place(tmp_path, caplog):
    caplog.set_level("INFO", "translora")
    good, coded, kept = unit("a", "b"), unit("a <ph>&lt;x&gt;</ph>", "b"), unit("<ph>{0}</ph>", "{0}")
    path = memory(tmp_path, good, kept, coded, good, coded)
    assert len(pairs_of(path)) == 5
    assert f"{path}: inline codes dropped: 2 units (the first at line 5)" in caplog.text


def test_units_without_a_language_are_passed_over_and_counted(tmp_path, caplog):
    caplog.set_level("INFO", "translora")
    other = unit("Dobré ráno.", "Good morning.", codes=("cs-CZ", "en-GB"))
    path = memory(
        tmp_path, unit("Danke.", "Thanks.", codes=("de-DE", "en-GB")), other, unit("Bitte.", "Please."), other
    )
    assert pairs_of(path) == [("Danke.", "Thanks."), ("Bitte.", "Please.")]
    assert "2 units without de or en passed over" in caplog.text
    assert "cs-CZ (2)" in caplog.text
    assert "the first at line 4" in caplog.text
    found = check_corpus(SourceConfig(path=str(path)), "de", "en", CleaningConfig())
    assert (found.pairs, found.stops) == (2, 0)
    passed = {"count": 2, "places": [f"{path}:4"], "consequence": "left out"}
    assert as_dict([found])[str(path)]["problems"]["units without one of the languages"] == passed


def test_the_check_of_a_folder_counts_what_is_dropped_in_each_file(tmp_path):
    coded = unit("Drücken Sie <bpt i='1'>&lt;b&gt;</bpt>F1<ept i='1'>&lt;/b&gt;</ept>", "Press F1")
    (tmp_path / "all").mkdir()
    for name, units in (("a.tmx", [coded, unit("Ja", "Yes"), coded]), ("b.tmx", [unit("Nein", "No"), coded])):
        memory(tmp_path, *units).rename(tmp_path / "all" / name)
    found = check_corpus(SourceConfig(path=str(tmp_path / "all")), "de", "en", CleaningConfig())
    dropped = found.problems["units with inline codes (dropped)"]
    assert (dropped.count, dropped.consequence) == (3, "stays")
    assert [place.rpartition("/")[2] for place in dropped.places] == ["a.tmx:3", "b.tmx:4"]
    check_corpus(SourceConfig(path=str(memory(tmp_path, coded))), "de", "en", CleaningConfig())
    assert dropped.count == 3


FORBIDDEN = ["&#x1F;", "&#31;", "\x1f", "\x0b", "\x00", "&#xD800;", "&#xFFFF;", "&#0;", "\ufffe", "&#x110000;"]


@pytest.mark.parametrize("character", FORBIDDEN, ids=repr)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_forbidden_character_makes_one_unit_unreadable(tmp_path, character, ending):
    path = memory(
        tmp_path, unit("Guten Morgen.", "Good morning."), unit("Seite", f"{character}eins"), unit("Ja", "Yes")
    )
    if ending:
        packed = tmp_path / "tm.tmx.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    first, second, third = read_items(SourceConfig(path=str(path)), "de", "en")
    assert (first.source, third.source) == ("Guten Morgen.", "Ja")
    assert str(second).startswith(f"{path}:4: a translation unit with a character that XML forbids")


def test_allowed_references_are_characters(tmp_path):
    segment = "&#9;a&#xA0;b &#8211; &amp;#x1F; &#128512;"
    assert pairs_of(memory(tmp_path, unit(segment, "x"))) == [("a\u00a0b – &#x1F; 😀", "x")]


def test_references_at_the_edge_of_a_block(tmp_path):
    """A reference that two blocks of the file share is one reference still."""
    for shift in range(12):
        start = HEADER.format("") + "<!--" + "x" * (65536 - len(HEADER.format("")) - 60 + shift) + "-->"
        path = tmp_path / "tm.tmx"
        path.write_text(start + unit("A&#x00E4;&#x0001F;b", "x") + unit("A&#x000000E4;b", "x") + END)
        bad, good = read_items(SourceConfig(path=str(path)), "de", "en")
        assert isinstance(bad, DataError)
        assert good.source == "Aäb"


def test_bytes_that_are_no_text_make_one_unit_unreadable(tmp_path):
    path = memory(tmp_path, unit("schoen", "nice"), unit("Ja", "Yes"))
    path.write_bytes(path.read_bytes().replace(b"schoen", "schön".encode("latin-1")))
    bad, good = read_items(SourceConfig(path=str(path)), "de", "en")
    assert "tm.tmx:3: a translation unit with bytes that are no text in the encoding" in str(bad)
    assert good.source == "Ja"


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-8-sig", "UTF-8"),
        ("utf-8", "UTF-16"),
        ("latin-1", "ISO-8859-1"),
    ],
)
def test_encodings(tmp_path, encoding, declared):
    text = HEADER.format("").replace("UTF-8", declared) + unit("Größe", "size") + END
    (tmp_path / "tm.tmx").write_bytes(text.encode(encoding))
    assert pairs_of(tmp_path / "tm.tmx") == [("Größe", "size")]


@pytest.mark.parametrize("root", [' xmlns="http://www.lisa.org/tmx14"', ' xmlns:x="http://example.org/x"'])
def test_namespaces(tmp_path, root):
    assert pairs_of(memory(tmp_path, unit("Ja", "Yes"), root=root)) == [("Ja", "Yes")]


def test_a_prefixed_namespace(tmp_path):
    path = tmp_path / "tm.tmx"
    path.write_text(
        '<t:tmx xmlns:t="urn:t" version="1.4"><t:body><t:tu><t:tuv xml:lang="de"><t:seg>Ja<t:ph/></t:seg></t:tuv>'
        '<t:tuv lang="EN-US"><t:seg>Yes</t:seg></t:tuv></t:tu></t:body></t:tmx>'
    )
    assert pairs_of(path) == [("Ja", "Yes")]


ALIASES = [
    (("zh-CN", "en-US"), "zh-Hans", "en"),
    (("zh-TW", "en-US"), "zh-Hant", "en"),
    (("de_DE", "en_US"), "de", "en_US"),
    (("no", "en"), "nb", "en"),
    (("nb-NO", "en"), "no", "en"),
    (("deu", "eng"), "de", "en"),
    (("ger", "eng"), "de", "en"),
    (("de", "en"), "deu_Latn", "eng_Latn"),
    (("DE-DE", "EN-GB"), "de", "en"),
    (("iw", "en"), "he", "en"),
    (("pt", "en"), "pt-BR", "en"),
    (("sr-Latn-RS", "en"), "sr-Latn", "en"),
    (("cmn-Hans", "en"), "zh", "en"),
]


@pytest.mark.parametrize(("codes", "source", "target"), ALIASES)
def test_codes_of_one_language_are_one(tmp_path, codes, source, target):
    assert pairs_of(memory(tmp_path, unit("a", "b", codes=codes)), source, target) == [("a", "b")]


def test_other_scripts_and_languages_are_refused_with_what_there_is(tmp_path):
    path = memory(tmp_path, unit("a", "b", codes=("zh-TW", "en-US")))
    with pytest.raises(DataError, match=r"no translation unit has both zh-Hans and en: .* zh-TW \(1\), en-US \(1\)"):
        pairs_of(path, "zh-Hans", "en")


def test_the_region_that_is_asked_for_goes_first_and_another_is_said(tmp_path, caplog):
    caplog.set_level("INFO", "translora")
    both = unit("pt", "br", "en", codes=("pt-PT", "pt-BR", "en"))
    path = memory(tmp_path, both, unit("pt", "en", codes=("pt-PT", "en")))
    assert pairs_of(path, "pt-BR", "en") == [("br", "en")]
    assert pairs_of(path, "pt-PT", "en") == [("pt", "en")] * 2
    assert [source for source, _ in pairs_of(path, "pt", "en")] == ["br", "pt"]
    assert "is taken" not in caplog.text
    assert len(pairs_of(path, "pt-AO", "en")) == 2
    assert f"{path}: no pt-AO in it: pt-BR, pt-PT is taken" in caplog.text


def test_entities_are_never_expanded(tmp_path):
    text = HEADER.format("").replace("<tmx", '<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx')
    path = tmp_path / "tm.tmx"
    path.write_text(text + unit("a&nbsp;b", "x") + unit("Ja", "Yes") + END)
    bad, good = read_items(SourceConfig(path=str(path)), "de", "en")
    assert "tm.tmx:4: a translation unit with an entity that is not expanded" in str(bad)
    assert good.source == "Ja"


def test_a_memory_under_another_name_is_known_by_its_root(tmp_path):
    assert pairs_of(memory(tmp_path, unit("Ja", "Yes"), name="export.xml")) == [("Ja", "Yes")]


def test_lines_beyond_those_that_libxml2_counts_in_16_bits(tmp_path):
    path = memory(tmp_path, "\n" * 70_000, unit("Ja", "Yes"))
    assert next(iter(read(SourceConfig(path=str(path)), "de", "en"))).line == 70_003
