"""Glossary files: TSV, CSV and TBX; what is wrong with one is said with its line."""

import pytest

from translora.errors import DataError
from translora.translation.glossary import read_glossary, write_terms
from translora.translation.terms import Term


@pytest.fixture
def read(tmp_path):
    def of(text, name="terms.tsv", languages=("de", "en")):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return [(term.source, term.target, term.case, term.exact) for term in read_glossary(path, *languages).terms]

    return of


FILE, FOLDER = (("Datei", "Dateien"), ("file",), False, False), (("Ordner",), ("folder", "directory"), True, True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "Datei|Dateien\tfile\n\nOrdner\tfolder|directory\n"),
        ("a.csv", '\ufeff"Datei|Dateien",file\r\nOrdner,folder|directory\r\n'),
        ("a.csv", "en;note;de\nfile;;Datei|Dateien\nfolder|directory;x;Ordner\n"),
        ("a.txt", "German\tEnglish\nDatei | Dateien\tfile\nOrdner\tfolder|directory"),
    ],
)
def test_tables_with_and_without_a_header(read, name, text):
    assert [row[:2] for row in read(text, name)] == [FILE[:2], FOLDER[:2]]


def test_case_and_match_are_columns_and_what_is_written_is_read(read, tmp_path):
    text = "source\ttarget\tcase\tmatch\nDatei|Dateien\tfile\nOrdner\tfolder|directory\tYes\texact\n"
    assert read(text) == [FILE, FOLDER]
    write_terms(tmp_path / "again.tsv", [Term(*FILE), Term(*FOLDER)])
    assert read((tmp_path / "again.tsv").read_bytes()) == [FILE, FOLDER]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Datei\tfile\nOrdner\n", r"terms.tsv:2: 1 column\(s\) where 2 are needed"),
        ("Datei\tfile\n\t folder\n", "terms.tsv:2: the source term is empty"),
        ("Datei\tfile|\n", "terms.tsv:1: the target term is empty"),
        ("de\ten\tcase\nDatei\tfile\tperhaps\n", "terms.tsv:2: case is 'perhaps': write yes or no"),
        ("de\ten\tmatch\nDatei\tfile\tfuzzy\n", "terms.tsv:2: match is 'fuzzy': write stem or exact"),
        (b"Datei\tfile\nGr\xfc\xdfe\tgreetings\n", "terms.tsv:2: not UTF-8"),
        ("\n", "terms.tsv: no term in it"),
        ("de\ten\n", "terms.tsv: no term in it"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(read, text, said):
    with pytest.raises(DataError, match=said):
        read(text)


def test_broken_quotes_and_files_that_are_not_there(read, tmp_path):
    with pytest.raises(DataError, match=r"a.csv:2: not CSV"):
        read('Datei,file\n"Ordner,folder\n', "a.csv")
    with pytest.raises(DataError, match="none.tsv: No such file"):
        read_glossary(tmp_path / "none.tsv", "de", "en")


def test_conflicts_and_columns_that_are_not_read_are_said(read, caplog):
    caplog.set_level("INFO", "translora")
    rows = read("Datei\tfile\tx\ndatei\tdata file\ty\nDatei\tfile\tz\nOrdner\tfolder\tz\n")
    assert [row[:2] for row in rows] == [(("Datei",), ("file",)), (("Ordner",), ("folder",))]
    assert "1: no header names the columns" in caplog.text
    assert "2: 'datei' is 'data file' here and 'file' in" in caplog.text
    assert "terms.tsv:1: the first counts" in caplog.text


V2 = """<?xml version="1.0"?>
<!DOCTYPE martif SYSTEM "TBXcoreStructV02.dtd">
<martif type="TBX" xml:lang="en"><text><body>
<termEntry id="1">
 <langSet xml:lang="de-DE"><tig><term>Datei</term></tig><ntig><termGrp><term>Akte</term></termGrp></ntig></langSet>
 <langSet xml:lang="en"><tig><term>document</term></tig>
  <tig><term>file</term><termNote type="administrativeStatus">preferredTerm-admn-sts</termNote></tig>
  <tig><term>dossier</term><termNote type="administrativeStatus">deprecatedTerm-admn-sts</termNote></tig></langSet>
</termEntry>
<termEntry id="2"><langSet xml:lang="de"><tig><term>Ordner</term></tig></langSet></termEntry>
</body></text></martif>"""
V3 = """<?xml version="1.0" encoding="UTF-8"?>
<tbx xmlns="urn:iso:std:iso:30042:ed-2" type="TBX-Basic" style="dca" xml:lang="en"><text><body>
<conceptEntry id="c1"><langSec xml:lang="de"><termSec><term>Maus</term></termSec></langSec>
<langSec xml:lang="en"><termSec><term>mouse</term><termNote type="partOfSpeech">noun</termNote></termSec></langSec>
</conceptEntry></body></text></tbx>"""


def test_tbx_of_both_editions(read, caplog):
    caplog.set_level("INFO", "translora")
    assert [row[:2] for row in read(V2, "a.tbx")] == [(("Datei", "Akte"), ("file", "document"))]
    assert "1 entries have no term in de or none in en" in caplog.text
    assert [row[:2] for row in read(V3, "b.xml")] == [(("Maus",), ("mouse",))]
    assert [row[:2] for row in read(V3, "b.tbx", ("en", "de"))] == [(("mouse",), ("Maus",))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (V3[:200], "not TBX, or cut short"),
        ("<tmx/>", "not TBX"),
        (V3.replace("Maus", "M&#1;us"), "a.tbx:3: a character that XML forbids"),
        (
            '<!DOCTYPE tbx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + V3[39:].replace("Maus", "&b;"),
            "it declares XML entities",
        ),
    ],
)
def test_broken_tbx_is_said_and_entities_are_not_expanded(read, text, said):
    with pytest.raises(DataError, match=said):
        read(text, "a.tbx")
