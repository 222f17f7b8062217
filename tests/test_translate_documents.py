"""`translora translate` with documents: by ending, folders, in place, and its mistakes."""

import json

import pytest

from test_cli import call
from translora.translation.translator import Translator

PO = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Guten Tag"\nmsgstr ""\n'


@pytest.fixture
def translate(tiny_model, tmp_path, monkeypatch, capsys):
    """The command in a folder of its own; returns the exit code and what it said."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = call("translate", tiny_model, "--max-tokens", "4", *arguments)
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def expected(tiny_model):
    translator = Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=4)
    return lambda *texts: [text.strip() for text in translator.translate(list(texts))]


def test_a_document_is_known_by_its_ending(translate, expected, tmp_path):
    (tmp_path / "a.json").write_text('{"a": "Guten Tag",\n "b": ["Guten Tag", 1, "Auf Wiedersehen"]}')
    code, said = translate("a.json", "-o", "new/b.json")
    assert code == 0
    assert "a.json: 3 of 3 segments translated" in said
    found = json.loads((tmp_path / "new" / "b.json").read_text())
    good, bye = expected("Guten Tag", "Auf Wiedersehen")
    assert found == {"a": good, "b": [good, 1, bye]}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.json"]


def test_format_text_forces_lines(translate, expected, tmp_path):
    (tmp_path / "a.po").write_text("Guten Tag\nJa\n")
    assert translate("a.po", "-o", "b.po", "--format", "text")[0] == 0
    assert (tmp_path / "b.po").read_text().splitlines() == expected("Guten Tag", "Ja")


def test_a_text_stays_one_line_in_one_line_out(translate, expected, tmp_path):
    (tmp_path / "a.txt").write_text("Guten Tag\nJa\n\n")
    assert translate("a.txt", "-o", "b.txt")[0] == 0
    assert (tmp_path / "b.txt").read_text() == "\n".join(expected("Guten Tag", "Ja")) + "\n\n"
    (tmp_path / "b.txt").unlink()
    assert translate("--format", "paragraphs", "a.txt", "-o", "b.txt")[0] == 0
    assert (tmp_path / "b.txt").read_text().endswith("\n\n")


def test_a_folder_goes_into_a_folder(translate, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.po").write_text(PO)
    (tmp_path / "in" / "b.txt").write_text("Ja\n")
    (tmp_path / "in" / "c.bin").write_bytes(b"\0")
    (tmp_path / "in" / "d.json").write_text("{")
    code, said = translate("in", "-o", "out")
    assert code == 1
    assert "in: 1 files of other kinds are left out" in said
    assert "d.json:1: not JSON" in said
    assert "1 of 3 files were not translated, in/d.json first" in said
    assert sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "out").rglob("*.*")) == [
        "out/b.txt", "out/deep/a.po",
    ]  # fmt: skip
    assert "#, fuzzy\nmsgid" in (tmp_path / "out" / "deep" / "a.po").read_text()


def test_in_place_keeps_the_original(translate, tmp_path):
    (tmp_path / "a.po").write_text(PO)
    assert translate("a.po", "--in-place", "--backup", "--state", "translated")[0] == 0
    assert (tmp_path / "a.po.orig").read_text() == PO
    written = (tmp_path / "a.po").read_text()
    assert written != PO
    assert "fuzzy" not in written
    code, said = translate("a.po", "--in-place", "--backup")
    assert code == 2
    assert "a.po.orig exists already: move it away" in said
    assert (tmp_path / "a.po.orig").read_text() == PO


MISTAKES = [
    (["a.po", "--in-place"], 2, "--in-place: give files and --backup"),
    (["a.po", "--backup"], 2, "--backup: it belongs to --in-place"),
    (["a.po", "b.po"], 2, "several files: give the folder to write them to with --output"),
    (["a.po", "b.po", "-o", "a.po"], 2, "--output a.po: a file, where several files need a folder"),
    (["a.po", "-o", "a.po"], 2, "a.po: the output is a source: choose another"),
    (["a.po", "in/a.po", "-o", "out"], 2, "out/a.po: the output of both a.po and"),
    (["a.po", "--resume"], 2, "--resume: give --output, which is what it goes on with"),
    (["a.po", "--json"], 2, "--json: standard output is for its lines"),
    (["-", "--comments"], 2, "--comments: lines of text have no place for them"),
    (["a.po", "-o", "c.po", "--memory", "gone.tmx"], 1, "gone.tmx: No such file or directory"),
    (["a.po", "--format", "doc"], 2, "--format doc: no such format: use one of auto, text, po"),
    (["-", "--format", "po"], 2, "-: standard input is lines of text"),
    (["gone.po"], 1, "gone.po: No such file or directory"),
    (["in/c.docx", "-o", "c.docx"], 1, "in/c.docx: no whole document of its kind"),
    (["empty", "-o", "out"], 1, "empty: no document in it whose ending is known"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), MISTAKES)
def test_a_mistake_is_one_line(arguments, code, words, translate, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "empty").mkdir()
    for name in ("a.po", "b.po", "in/a.po", "in/c.docx"):
        (tmp_path / name).write_text(PO)
    found, said = translate(*arguments)
    assert (found, words in said, said.count("\n")) == (code, True, 1), said
    assert (tmp_path / "a.po").read_text() == PO
    assert not (tmp_path / "out").exists()
