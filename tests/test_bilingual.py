"""PO and XLIFF as pairs, inline codes as tags, and translation memories."""

import pytest

from translora.config import SourceConfig
from translora.data.readers.sources import read
from translora.errors import DataError
from translora.translation.memory import Memory

PO = r"""msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\nLanguage: en\n"

msgid "Datei"
msgstr "File"

#, fuzzy
msgid "Falsch"
msgstr "Wrong"

msgid "Leer"
msgstr ""

msgid "%d Datei"
msgid_plural "%d Dateien"
msgstr[0] "%d file"
msgstr[1] "%d files"

msgid "eins\nzwei\n"
msgstr "one\ntwo\n"

#~ msgid "alt"
#~ msgstr "old"
"""
FIRST = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"
 xmlns:sdl="http://sdl.com/FileTypes/SdlXliff/1.0">
<file source-language="de-DE" target-language="en-US" datatype="x" original="x"><body>
<trans-unit id="1"><source>Hallo <g id="3">schöne</g> Welt<x id="4"/>!</source>
 <target>Hello<x id="4"/> <g id="3">nice</g> world!</target><alt-trans><target>No</target></alt-trans></trans-unit>
<trans-unit id="2"><source>Hallo <g id="3">Welt</g></source><target>Hello world</target></trans-unit>
<trans-unit id="3"><source>Hallo</source><target state="needs-review-translation">Hello</target></trans-unit>
<trans-unit id="4"><source>Hallo</source></trans-unit>
<trans-unit id="5"><source>Ja. Nein. Gut.</source><seg-source><mrk mtype="seg" mid="1">Ja.</mrk>
 <mrk mtype="seg" mid="2">Nein.</mrk> <mrk mtype="seg" mid="3">Gut.</mrk></seg-source>
 <target><mrk mtype="seg" mid="1">Yes.</mrk> <mrk mtype="seg" mid="2">No.</mrk> <mrk mtype="seg" mid="3"/></target>
 <sdl:seg-defs><sdl:seg id="1" conf="Translated"/><sdl:seg id="2" conf="Draft"/><sdl:seg id="3"/></sdl:seg-defs>
</trans-unit></body></file></xliff>"""
SECOND = """<xliff version="2.1" srcLang="de" trgLang="en" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f">
<unit id="1"><segment><source>Das <pc id="1">Tor</pc></source><target><pc id="1">Gate</pc></target></segment>
<segment state="initial"><source>Nein</source><target>No</target></segment></unit>
<unit id="2" translate="no"><segment><source>x</source><target>y</target></segment></unit></file></xliff>"""
TMX = """<tmx version="1.4"><header/><body><tu><tuv xml:lang="de"><seg>Hallo <bpt i="1">&lt;b&gt;</bpt>Welt<ept
 i="1">&lt;/b&gt;</ept><ph x="2"/>!</seg></tuv><tuv xml:lang="en"><seg><ph x="2"/>Hello <bpt
 i="1">&lt;b&gt;</bpt>world<ept i="1">&lt;/b&gt;</ept>!</seg></tuv></tu></body></tmx>"""


@pytest.fixture
def texts(tmp_path):
    """Writes a file; returns its pairs as texts."""

    def pairs(name, text, source="de", target="en", codes="keep"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return [one[:2] for one in read(SourceConfig(path=str(tmp_path / name), codes=codes), source, target)]

    return pairs


def test_po(texts, caplog):
    expected = [
        ("Datei", "File"),
        ("%d Datei", "%d file"),
        ("%d Dateien", "%d files"),
        ("eins", "one"),
        ("zwei", "two"),
    ]
    assert texts("a.po", PO) == expected
    assert "a.po: 1 fuzzy messages left out (the first at line 8)" in caplog.text
    assert "a.po: 1 untranslated messages left out (the first at line 11)" in caplog.text
    assert texts("a.po", PO, "en", "de") == [pair[::-1] for pair in expected]
    with pytest.raises(DataError, match="its translations are in en, not in fr or es: name another file"):
        texts("a.po", PO, "fr", "es")


def test_xliff_1(texts, caplog):
    kept = 'Hallo <g id="1">schöne</g> Welt<x id="2"/>!', 'Hello<x id="2"/> <g id="1">nice</g> world!'
    rest = [("Hallo Welt", "Hello world"), ("Ja.", "Yes.")]
    assert texts("a.sdlxliff", FIRST) == [kept, *rest]
    for words in ("1 units with inline codes (dropped)", "2 units that need a review left out", "2 untranslated units"):
        assert words in caplog.text
    assert texts("a.xlf", FIRST, codes="drop") == [("Hallo schöne Welt!", "Hello nice world!"), *rest]
    back = texts("a.xlf", FIRST, "en", "de")
    assert back[0] == ('Hello<x id="1"/> <g id="2">nice</g> world!', 'Hallo <g id="2">schöne</g> Welt<x id="1"/>!')
    with pytest.raises(DataError, match="no unit from fr to en; it has de-DE to en-US"):
        texts("a.xlf", FIRST, "fr", "en")


def test_xliff_2_and_its_root(texts):
    assert texts("a.xml", SECOND, codes="drop") == [("Das Tor", "Gate")]


def test_tmx_keeps_codes_where_both_sides_have_them(texts):
    source = 'Hallo <g id="1">Welt</g><x id="2"/>!'
    assert texts("a.tmx", TMX) == [(source, '<x id="2"/>Hello <g id="1">world</g>!')]
    assert texts("a.tmx", TMX.replace('<ph x="2"/>Hello', "Hello")) == [("Hallo Welt!", "Hello world!")]
    assert texts("a.tmx", TMX, codes="drop") == [("Hallo Welt!", "Hello world!")]


def test_tmx_names_codes_by_their_x(texts):
    text = """<tmx version="1.4"><header/><body><tu><tuv xml:lang="de"><seg>Das <bpt i="1" x="1"/>Rot<ept i="1"/> und
 <bpt i="2" x="2"/>Blau<ept i="2"/> hier</seg></tuv><tuv xml:lang="en"><seg>Here <bpt i="1" x="2"/>blue<ept i="1"/> and
 <bpt i="2" x="1"/>red<ept i="2"/> now</seg></tuv></tu></body></tmx>"""
    ((source, target),) = texts("a.tmx", text)
    assert source.split() == ["Das", "<g", 'id="1">Rot</g>', "und", "<g", 'id="2">Blau</g>', "hier"]
    assert target.split() == ["Here", "<g", 'id="2">blue</g>', "and", "<g", 'id="1">red</g>', "now"]
    lone = text.replace('Rot<ept i="1"/>', "Rot").replace('<bpt i="2" x="1"/>red', "red")
    ((source, target),) = texts("a.tmx", lone)
    assert "<" not in source + target


def test_a_memory_matches_but_for_white_space(tmp_path, caplog):
    (tmp_path / "a.tsv").write_text("Guten  Tag\tHello\nJa\tNo\nJa\tYes\n", encoding="utf-8")
    (tmp_path / "a.po").write_text(PO, encoding="utf-8")
    (tmp_path / "b.tsv").write_text("Ja\tAye\nNein\tNo\n", encoding="utf-8")
    memory = Memory.read([tmp_path / name for name in ("a.tsv", "a.po", "b.tsv")], "de", "en")
    assert memory.get(" Guten\tTag") == "Hello"
    assert [memory.get(text) for text in ("Ja", "Nein", "%d Dateien", "guten Tag", "Guten Tag!", "")] == [
        "Yes", "No", "%d files", None, None, None,
    ]  # fmt: skip
    assert "memory: 8 different texts with a translation; 1 of them have several: the last one is taken" in caplog.text
    assert memory.matches(["x", "Ja", "Ja"]) == {1: "Yes", 2: "Yes"}
    memory.say("here")
    assert f"here: 2 of 3 lines are exact matches of {tmp_path / 'a.tsv'}" in caplog.text
    (tmp_path / "empty.po").write_text('msgid "a"\nmsgstr ""\n', encoding="utf-8")
    with pytest.raises(DataError, match="empty.po: no pair of a text and its translation in it"):
        Memory.read([tmp_path / "empty.po"], "de", "en")
