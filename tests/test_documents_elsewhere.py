"""Documents as other programs write them: what is a text there, and what stays as it is."""

import pytest

from translora.documents.document import Options
from translora.documents.formats import format_of, read
from translora.errors import DataError
from translora.translation.glossary import read_glossary

OPTIONS = Options("de", "en")


def filled(kind, data, change=str.upper):
    """`data` with `change` of each text in place of it, and the texts."""
    found = read(data.encode(), "a", kind, OPTIONS)
    texts = [one.text for one in found.segments]
    return found.filled([change(text) for text in texts]).decode(), texts


def test_android_strings_need_no_declaration(tmp_path):
    (tmp_path / "strings.xml").write_text("<resources>\n<string name='a'>Ordner</string></resources>", encoding="utf-8")
    assert format_of(tmp_path / "strings.xml") == "android"


def test_spaces_that_android_would_trim_stay():
    before = (
        r"<resources><string name='a'>Datei:\u0020</string><string name='b'> \u0020\u0020Ein %s </string></resources>"
    )
    written, texts = filled("android", before, lambda text: text.replace("Datei", "File").replace("Ein", "A"))
    assert texts == ["Datei:", "Ein %s"]
    assert written == before.replace("Datei", "File").replace("Ein", "A")


@pytest.mark.parametrize(
    ("unit", "source", "target"),
    [
        (' xml:space="preserve"', "", "<target"),
        ("", ' xml:space="preserve"', '<target state="needs-review-translation" state-qualifier="leveraged-mt" xml'),
        (' xml:space="preserve"', ' xml:space="default"', ""),
        ("", "", ""),
    ],
)
def test_line_breaks_of_xliff_stay_where_the_file_says_so(unit, source, target):
    before = (
        '<xliff version="1.2"><file source-language="de" target-language="en"><body>'
        f'<trans-unit id="1"{unit}><source{source}>Zeile <g id="1">eins\n  und</g> zwei</source></trans-unit>'
        "</body></file></xliff>"
    )
    written, texts = filled("xliff", before, lambda text: text.replace("Zeile", "Line"))
    breaks = "\n  " if target else " "
    assert texts == [f'Zeile <g id="1">eins{breaks}und</g> zwei']
    assert f'>Line <g id="1">eins{breaks}und</g> zwei</target>' in written
    assert target in written


@pytest.mark.parametrize("target", ["", '<target state="new"/>', '<target xml:space="preserve"></target>'])
def test_white_space_of_a_source_that_counts_does_so_in_its_target(target):
    data = '<xliff version="1.2"><file source-language="de" target-language="en"><body><trans-unit id="1">'
    data += f'<source xml:space="preserve">Eins\nzwei</source>{target}</trans-unit></body></file></xliff>'
    written, texts = filled("xliff", data)
    assert texts == ["Eins\nzwei"]
    assert written.count('xml:space="preserve"') == 2
    assert filled("xliff", written)[1] == texts


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("tmx", '<bpt i="1" x="1">&lt;b></bpt>', '<ept i="1">&lt;/b></ept>'),
        ("xliff", '<bx id="1" rid="7"/>', '<ex id="2" rid="7"/>'),
        ("xliff", '<bpt id="3">[</bpt>', '<ept id="3">]</ept>'),
    ],
)
def test_halves_of_a_pair_keep_their_order(kind, before, after):
    text = f"Die {before}neue{after} Datei"
    unit = {
        "tmx": f'<tmx version="1.4"><body><tu><tuv xml:lang="de"><seg>{text}</seg></tuv></tu></body></tmx>',
        "xliff": '<xliff version="1.2"><file source-language="de" target-language="en"><body><trans-unit id="1">'
        f"<source>{text}</source></trans-unit></body></file></xliff>",
    }
    written, texts = filled(kind, unit[kind], lambda text: 'The file that is <g id="1">new</g>')
    assert texts == ['Die <g id="1">neue</g> Datei']
    assert f"The file that is {before}new{after}</" in written
    with pytest.raises(DataError, match="lost inline tags"):
        filled(kind, unit[kind], lambda text: 'The </g>new<g id="1"> file')


def test_a_half_without_its_other_half_stands_alone():
    data = '<xliff version="1.2"><file source-language="de" target-language="en"><body><trans-unit id="1"><source>'
    data += 'Die <bx id="1" rid="7"/>neue <ex id="2" rid="8"/>Datei</source></trans-unit></body></file></xliff>'
    assert filled("xliff", data, str)[1] == ['Die <x id="1"/>neue <x id="2"/>Datei']


def test_line_breaks_of_tmx_stay():
    before = '<tmx version="1.4"><body><tu><tuv xml:lang="de"><seg>Eins\nzwei</seg></tuv></tu></body></tmx>'
    written, texts = filled("tmx", before)
    assert texts == ["Eins\nzwei"]
    assert '<tuv xml:lang="en"><seg>EINS\nZWEI</seg>' in written


def test_halves_of_pairs_that_overlap_keep_their_order():
    data = '<xliff version="2.0" srcLang="de"><file id="f"><unit id="u"><segment><source>Eins <sc id="1"/>zwei '
    data += '<sc id="2"/>drei<ec startRef="1"/> vier<ec startRef="2"/> 5</source></segment></unit></file></xliff>'
    turned = 'One <g id="1">two<x id="3"/> three</g> four<x id="2"/> 5'
    written, texts = filled("xliff", data, lambda text: turned)
    assert texts == ['Eins <g id="1">zwei <x id="2"/>drei</g> vier<x id="3"/> 5']
    assert '>One <sc id="1"/>two<sc id="2"/> three<ec startRef="1"/> four<ec startRef="2"/> 5</target>' in written


@pytest.mark.parametrize(
    ("kind", "data", "written"),
    [
        (
            "xliff",
            '<xliff version="1.2"><file source-language="de" target-language="en"><body><trans-unit id="1">'
            "<source><![CDATA[Die Datei <b>fehlt</b> & mehr]]></source></trans-unit></body></file></xliff>",
            "DIE DATEI &lt;B&gt;FEHLT&lt;/B&gt; &amp; MEHR</target>",
        ),
        (
            "tmx",
            '<tmx><header/><body><tu><tuv xml:lang="de"><seg><![CDATA[Ordner & mehr]]></seg></tuv></tu></body></tmx>',
            "<seg>ORDNER &amp; MEHR</seg>",
        ),
    ],
)
def test_cdata_is_text(kind, data, written):
    assert written in filled(kind, data)[0]


def test_json_with_messages_among_other_texts_is_no_extension():
    assert filled("json", '{"a": {"title": "Fehlt", "message": "Weg"}, "b": {"message": "Netz"}}')[1] == [
        "Fehlt", "Weg", "Netz",
    ]  # fmt: skip
    assert filled("json", '{"a": {"message": "Weg", "description": "Knopf"}}')[1] == ["Weg"]


@pytest.mark.parametrize(
    "whole",
    [
        "https://github.com/a/b/blob/main/src/__init__.py",
        "www.x.example/_a_b",
        "https://x.example/?q=_z*y",
        "[^1]",
        "[^note]:",
        "[!NOTE]",
    ],
)
def test_markdown_keeps_what_common_mark_takes_for_text(whole):
    written, _ = filled(
        "markdown", f"Siehe {whole} dort, und *hier*.\n\n{whole} Wort und Wort\n", lambda text: f"{text}?"
    )
    assert written.count(whole) == 2
    assert "*hier*" in written
    assert "\\" not in written


def test_an_address_ends_before_emphasis():
    assert filled("markdown", "Wort *https://x.example/a* und **www.x.example** da", lambda text: f"{text}?")[0] == (
        "Wort *https://x.example/a* und **www.x.example** da?"
    )


def test_toml_before_markdown_stays():
    front = '+++\ntitle = "Seite"\ndate = 2024-01-01\n+++\n'
    assert filled("markdown", f"{front}\nWort\n")[0] == f"{front}\nWORT\n"


def test_a_plural_form_that_is_there_stays():
    entry = 'msgid "one"\nmsgid_plural "many"\nmsgstr[0] "eins"\nmsgstr[1] "{}"\nmsgstr[2] "{}"\n'
    written, _ = filled("po", entry.format("BY HAND", ""), lambda text: "NEW")
    assert 'msgstr[1] "BY HAND"\nmsgstr[2] "NEW"' in written
    assert 'msgstr[1] "NEW"\nmsgstr[2] "NEW"' in filled("po", entry.format("a", "b"), lambda text: "NEW")[0]


def test_attributes_stay_where_the_content_does():
    page = (
        '<p>Wort</p><div class="notranslate"><img alt="Datei"></div><img class="notranslate" alt="Ordner">'
        '<p translate="no"><a title="Knopf">x</a></p><img alt="Bild">'
    )
    assert filled("html", page)[1] == ["Wort", "Bild"]


def test_a_bar_parts_forms_and_not_columns(tmp_path, capsys):
    (tmp_path / "terms.csv").write_text("Datei|Dateien,file|files\nOrdner|Verzeichnis,folder\n", encoding="utf-8")
    terms = read_glossary(tmp_path / "terms.csv", "de", "en").terms
    assert [term.source for term in terms] == [("Datei", "Dateien"), ("Ordner", "Verzeichnis")]


def test_forms_that_are_new_count_beside_one_that_is_known(tmp_path, capsys):
    (tmp_path / "terms.tsv").write_text("Datei\tfile\nDatei|Dokument\tdocument\n", encoding="utf-8")
    terms = read_glossary(tmp_path / "terms.tsv", "de", "en").terms
    assert [(term.source, term.target[0]) for term in terms] == [(("Datei",), "file"), (("Dokument",), "document")]
    assert "'Datei' is 'document' here and 'file' in" in capsys.readouterr().err
