"""`translate --json`, `--report`, `--comments`, `--memory`, and documents that are resumed."""

import json
import shutil
import subprocess
import time
from xml.etree import ElementTree

import pytest

import forked
from test_cli import call
from test_report import Strict
from translora.documents.document import Options
from translora.documents.formats import read
from translora.translation.translator import Translator

PO = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

# kept
#: a.c:1
msgid "Es sind 12 Dateien"
msgstr ""

msgid "Guten   Tag"
msgstr ""

msgid "%d Fenster"
msgid_plural "%d Fenster sind offen"
msgstr[0] ""
msgstr[1] ""
"""
XLIFF = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2"><file original="a" source-language="de"
 target-language="en" datatype="plaintext"><body><trans-unit id="1"><source>Guten Tag</source></trans-unit>
 <trans-unit id="2"><source>Hallo</source><target/><alt-trans><target>Hi</target></alt-trans></trans-unit>
 </body></file></xliff>"""
XLIFF_2 = """<xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="de" trgLang="en"><file id="f">
 <unit id="u">
  <segment><source>Guten Tag</source></segment><segment><source>Hallo</source></segment>
 </unit>
 <unit id="v"><notes><note>old</note></notes><segment><source>Ja</source></segment></unit></file></xliff>"""


@pytest.fixture
def translate(tiny_model, tmp_path, monkeypatch, capsys):
    """The command in a folder of its own, with a translation memory; returns what it wrote and what it said."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tm.tsv").write_text("Guten Tag\tGood day\n", encoding="utf-8")

    def run(*arguments, code=0):
        assert call("translate", tiny_model, "--max-tokens", "4", *arguments) == code
        return capsys.readouterr()

    return run


def test_a_document_with_everything(translate, tmp_path):
    (tmp_path / "a.po").write_text(PO, encoding="utf-8")
    found = translate(
        "a.po", "-o", "b.po", "--json", "--report", "page.html", "--comments", "--memory", "tm.tsv",
    )  # fmt: skip
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert [row["source"] for row in rows] == [
        "Es sind 12 Dateien",
        "Guten   Tag",
        "%d Fenster",
        "%d Fenster sind offen",
    ]
    assert [row["origin"] for row in rows] == ["model", "memory", "model", "model"]
    assert rows[1] | {"flags": []} == rows[1]
    assert (rows[1]["translation"], rows[1]["confidence"], rows[1]["line"]) == ("Good day", None, 9)
    assert rows[0]["confidence"] < 0
    assert "number" in rows[0]["flags"]
    assert "a.po: 1 of 4 lines are exact matches of tm.tsv" in found.err
    assert "of 4 translated segments have flags" in found.err
    assert "has a number that its translation lacks: read it over" in found.err
    written = (tmp_path / "b.po").read_text(encoding="utf-8")
    assert '\n\n# translora: from the translation memory\n#, fuzzy\nmsgid "Guten   Tag"\nmsgstr "Good day"\n' in written
    assert "# kept\n#: a.c:1\n#, fuzzy\nmsgid" in written
    assert written.count("# translora:") == 4
    if shutil.which("msgfmt"):
        checked = subprocess.run(
            ["msgfmt", "-c", "-o", "checked.mo", "b.po"], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    parser = Strict()
    parser.VOID = (*parser.VOID, "input")
    parser.feed(page)
    assert not parser.open
    assert "<script" not in page
    assert page.index("Es sind 12 Dateien") < page.index("Good day")
    assert 'id="show-number"' in page
    assert "a.po:6" in page
    again = translate("b.po", "-o", "c.po", "--all", "--comments", "--memory", "tm.tsv")
    assert not again.out
    assert (tmp_path / "c.po").read_text(encoding="utf-8") == written


@pytest.mark.parametrize(("text", "notes"), [(XLIFF, 2), (XLIFF_2, 3)])
def test_notes_of_xliff(translate, tmp_path, text, notes):
    (tmp_path / "a.xlf").write_text(text, encoding="utf-8")
    translate("a.xlf", "-o", "b.xlf", "--comments")
    written = (tmp_path / "b.xlf").read_text(encoding="utf-8")
    root = ElementTree.fromstring(written)
    found = [one for one in root.iter() if "translora" in (one.get("from"), one.get("category"))]
    assert len(found) == notes
    assert all(one.text.startswith("confidence -") for one in found)
    for parent in root.iter():
        names = [one.tag.rpartition("}")[2] for one in parent]
        if names[-1:] == ["alt-trans"] or "notes" in names:
            assert names in (["source", "target", "note", "alt-trans"], ["notes", *["segment"] * (len(names) - 1)])
    translate("b.xlf", "-o", "c.xlf", "--comments", "--all")
    assert (tmp_path / "c.xlf").read_text(encoding="utf-8") == written


def test_a_format_without_comments_says_so(translate, tmp_path):
    (tmp_path / "a.json").write_text('{"a": "Guten Tag"}', encoding="utf-8")
    found = translate("a.json", "-o", "b.json", "--comments")
    assert "a.json: no comments in it: json has no place for them" in found.err
    (tmp_path / "a.txt").write_text("Ja", encoding="utf-8")
    assert "--comments: lines of text have no place for them" in translate("a.txt", "--comments", code=2).err


def test_terms_of_a_glossary_are_counted_on_the_page(translate, tmp_path):
    (tmp_path / "a.txt").write_text("Die Datei ist da\nJa\n", encoding="utf-8")
    (tmp_path / "terms.tsv").write_text("Datei\tzzz\n", encoding="utf-8")
    found = translate("a.txt", "--glossary", "terms.tsv", "--json", "--report", "page.html")
    assert ["term" in json.loads(line)["flags"] for line in found.out.splitlines()] == [True, False]
    assert "<td>terms of the glossary honoured</td><td>0 of 1</td>" in (tmp_path / "page.html").read_text()


def test_lines_with_a_memory_and_json(translate, tmp_path):
    (tmp_path / "a.txt").write_text("Guten Tag\n\nNein, danke\n", encoding="utf-8")
    found = translate("a.txt", "--memory", "tm.tsv", "--json", "--report", "page.html")
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert [(row["line"], row["origin"]) for row in rows] == [(1, "memory"), (3, "model")]
    assert (tmp_path / "page.html").exists()
    translate("a.txt", "--memory", "tm.tsv", "-o", "b.txt")
    assert (tmp_path / "b.txt").read_text(encoding="utf-8").startswith("Good day\n\n")


@pytest.mark.slow
def test_a_killed_document_goes_on(tiny_model, translate, tmp_path):
    texts = [f"Datei {i} ist da" for i in range(1_800)]
    (tmp_path / "a.json").write_text(json.dumps(texts), encoding="utf-8")
    asked = ["a.json", "-o", "b.json"]
    partial = tmp_path / "b.json.partial"
    process = forked.start("translate", tiny_model, "--max-tokens", "4", *asked, cwd=tmp_path)
    while process.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.01)
    process.kill()
    assert not (tmp_path / "b.json").exists()
    lines = partial.read_text(encoding="utf-8").splitlines()
    kept = [json.loads(line) for line in lines[1:3]]
    assert [one["line"] for one in kept] == texts[:2]
    assert len(lines) - 1 < len(texts)
    changed = [
        lines[0],
        json.dumps(kept[0] | {"text": "from the side file"}),
        '{"line": "Datei 2',
    ]  # as a kill leaves it
    partial.write_text("\n".join(changed), encoding="utf-8")
    assert "has 1 translated lines of an earlier start: add --resume to go on" in translate(*asked, code=2).err
    found = translate(*asked, "--resume", "--memory", "tm.tsv", code=2)
    assert "was begun with another memory: ask for the same, or delete" in found.err
    translate(*asked, "--resume")
    found = json.loads((tmp_path / "b.json").read_text(encoding="utf-8"))
    translator = Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=4)
    assert found[0] == "from the side file"
    assert found[1:4] + found[-2:] == translator.translate(texts[1:4] + texts[-2:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json", "tm.tsv"]


def test_a_folder_goes_on_with_what_is_missing(translate, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.json").write_text('["Ja"]', encoding="utf-8")
    translate("in/a.json", "-o", "out/a.json")
    before = (tmp_path / "out" / "a.json").stat().st_mtime_ns
    found = translate("in", "-o", "out", "--resume")
    assert "1 of 2 files are there already and are left" in found.err
    assert (tmp_path / "out" / "b.json").exists()
    assert (tmp_path / "out" / "a.json").stat().st_mtime_ns == before


def test_comments_of_plural_forms_stand_together():
    document = read(PO.encode(), "a.po", "po", Options("de", "en"))
    segments = document.segments
    written = document.filled([None] * len(segments), ["", "", "one", "two"]).decode()
    assert '\n\n# translora: one\n# translora: two\nmsgid "%d Fenster"' in written
    crlf = read(PO.replace("\n", "\r\n").encode(), "a.po", "po", Options("de", "en"))
    assert crlf.filled([None] * len(segments), ["one"]).decode().count("\r\n\r\n# translora: one\r\n# kept\r\n") == 1
