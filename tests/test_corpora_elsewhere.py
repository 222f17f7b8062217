"""Corpora as strangers have them: what is read, and what is refused."""

import csv
import gzip

import pytest

from translora import cli
from translora.config import CleaningConfig, SourceConfig
from translora.data.cleaning.rules import Cleaner
from translora.data.pairs import Pair
from translora.data.readers.delimited import cells_are_quoted
from translora.data.readers.sources import default_split, read_corpus
from translora.errors import ConfigError, DataError
from translora.translation.evaluation import Request, pairs_to_score, run_evaluation


@pytest.mark.parametrize("plain", [999, 1000, 1001])
def test_a_quoted_table_whose_cells_have_several_lines(tmp_path, plain):
    rows = [(f'Datei "{i}" öffnen', f'Open "{i}"') for i in range(plain)]
    rows += [(f"Zeile {i}\nund mehr", f"Line {i}\nand more") for i in range(1000)]
    with open(tmp_path / "excel.tsv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)
    found = read_corpus(SourceConfig(path=str(tmp_path / "excel.tsv")), "de", "en")
    assert len(found) == len(rows)
    assert (found.sources[0], found.targets[plain]) == (rows[0][0], "Line 0\nand more")


def test_speech_over_two_lines_is_no_quoted_cell():
    lines = ["Guten Morgen.\tGood morning.", '„Ich gehe.\t"I am leaving.', 'Dann bleibe ich.“\tThen I will stay."']
    assert not cells_are_quoted([*lines, "Danke.\tThanks."])
    assert cells_are_quoted(['"Ein ""Wort"""\t"A ""word"""', '"Zwei', 'Zeilen"\t"Two', 'lines"'])


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_folder_of_aligned_files_is_in_splits(tmp_path, ending):
    opened = gzip.open if ending else open
    for split, count in (("train", 4), ("valid", 2), ("test", 3)):
        for language in ("de", "en"):
            with opened(tmp_path / f"{split}.{language}{ending}", "wt", encoding="utf-8") as file:
                file.write("".join(f"{split} {language} {i}\n" for i in range(count)))
    config = SourceConfig(path=str(tmp_path))
    assert default_split(config, "test") == "test"
    assert len(read_corpus(config, "de", "en")) == 4
    assert read_corpus(SourceConfig(path=str(tmp_path), split="test"), "de", "en").sources == [
        "test de 0", "test de 1", "test de 2",
    ]  # fmt: skip


def test_a_folder_of_two_aligned_files_is_in_no_splits(tmp_path):
    for name in ("demo.de", "demo.en", "train.log"):
        (tmp_path / name).write_text("a\n", encoding="utf-8")
    assert default_split(SourceConfig(path=str(tmp_path)), "test") == ""
    assert len(read_corpus(SourceConfig(path=str(tmp_path)), "de", "en")) == 1


def sgm(kind, texts):
    document = '<doc docid="a"><seg id="1">{}</seg><seg id="2">{}</seg></doc>'
    return f'<{kind} setid="x" srclang="de">{document.format(*texts[:2])}{document.format(*texts[2:])}</{kind}>'


def test_segments_of_one_name_keep_their_translations(tmp_path):
    (tmp_path / "s.sgm").write_text(sgm("srcset", ["Eins", "Zwei", "Drei", "Vier"]), encoding="utf-8")
    (tmp_path / "r.sgm").write_text(sgm("refset", ["One", "Two", "Three", "Four"]), encoding="utf-8")
    config = SourceConfig(path=str(tmp_path / "s.sgm"), target_path=str(tmp_path / "r.sgm"))
    found = read_corpus(config, "de", "en")
    assert list(zip(found.sources, found.targets, strict=True)) == [
        ("Eins", "One"), ("Zwei", "Two"), ("Drei", "Three"), ("Vier", "Four"),
    ]  # fmt: skip


def test_a_file_with_two_segments_of_one_name_is_refused(tmp_path):
    text = (
        '<dataset><doc id="a"><src lang="de"><p><seg id="1">Eins</seg><seg id="1">Zwei</seg></p></src>\n'
        '<ref lang="en"><p><seg id="1">One</seg>\n<seg id="1">Two</seg></p></ref></doc></dataset>'
    )
    (tmp_path / "a.xml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"a.xml:3: a second segment 1 of document a, after line 2: give each its own"):
        read_corpus(SourceConfig(path=str(tmp_path / "a.xml"), format="sgm"), "de", "en")


def test_windows_files_are_converted_from_the_encoding_they_have(tmp_path):
    (tmp_path / "a.tsv").write_bytes("Er sagte „Ja“\tHe said yes\n".encode("cp1252"))
    with pytest.raises(DataError, match="iconv -f cp1252 -t utf-8"):
        read_corpus(SourceConfig(path=str(tmp_path / "a.tsv")), "de", "en")


@pytest.mark.parametrize("rule", ["keep", "unescape"])
def test_entities_hide_no_test_pair(rule):
    pair = Pair("Laden &amp; sichern", "Load &amp; save", "a:1")
    cleaner = Cleaner(CleaningConfig(html=rule), "de", "en", [pair])
    assert [reason for _, reason in cleaner.sort([pair])] == ["also in validation or test"]


def test_an_evaluation_never_writes_over_what_it_reads(tmp_path):
    (tmp_path / "h.txt").write_text("a\n", encoding="utf-8")
    (tmp_path / "r.txt").write_text("b\n", encoding="utf-8")
    hypotheses, references = str(tmp_path / "h.txt"), str(tmp_path / "r.txt")
    with pytest.raises(ConfigError, match="is read from: name another file to write"):
        run_evaluation(Request(hypotheses=hypotheses, references=(references,), output=references))
    assert (tmp_path / "r.txt").read_text(encoding="utf-8") == "b\n"
    with pytest.raises(ConfigError, match=r"nothere.txt: No such file"):
        run_evaluation(Request(hypotheses=hypotheses, references=(references,), baseline="nothere.txt"))


def test_references_in_a_table_are_the_side_of_the_run(tmp_path):
    (tmp_path / "h.txt").write_text("Guten Tag.\n", encoding="utf-8")
    (tmp_path / "r.tsv").write_text("en\tde\nGood day.\tGuten Tag.\n", encoding="utf-8")
    request = Request(
        hypotheses=str(tmp_path / "h.txt"), references=(str(tmp_path / "r.tsv"),), source="en", target="de"
    )
    assert run_evaluation(request).references == [["Guten Tag."]]


def test_a_table_is_read_with_the_columns_of_the_run(tmp_path, capsys):
    (tmp_path / "t.tsv").write_text("Good day.\tGuten Tag.\n", encoding="utf-8")
    (tmp_path / "named.tsv").write_text("de\ten\nGuten Tag.\tGood day.\n", encoding="utf-8")
    trained_on = SourceConfig(columns=("2", "1"))
    for name in ("t.tsv", "named.tsv"):
        request = Request(model="run", data=SourceConfig(path=str(tmp_path / name)))
        assert pairs_to_score(request, "de", "en", trained_on).sources == ["Guten Tag."]
    assert (
        len(pairs_to_score(Request(model="run", data=SourceConfig(path="mini", limit=3)), "de", "en", trained_on)) == 3
    )
    assert capsys.readouterr().err.count("columns 2 and 1, as the run was trained with") == 1


@pytest.mark.parametrize("held_out", ["nr\tquelle\tziel\n9\tJa bitte\tYes please\n", "Ja bitte\tYes please\n"])
@pytest.mark.parametrize("columns", [["quelle", "ziel"], ["2", "3"]])
def test_what_is_held_out_has_the_columns_of_the_corpus_or_its_own(tmp_path, monkeypatch, capsys, columns, held_out):
    monkeypatch.chdir(tmp_path)
    rows = "nr\tquelle\tziel\n1\tHallo Welt\tHello world\n2\tJa bitte\tYes please\n"
    (tmp_path / "a.tsv").write_text(rows, encoding="utf-8")
    (tmp_path / "test.tsv").write_text(held_out, encoding="utf-8")
    flags = ["--header", "yes", "--columns", *columns, "--against", "test.tsv"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "check", "a.tsv", *flags])
    assert not ended.value.code
    assert "also in validation or test: 1, left out" in capsys.readouterr().out


def test_what_is_held_out_has_its_columns_in_the_order_of_the_corpus(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tsv").write_text("Hello world\tHallo Welt\nYes please\tJa bitte\n", encoding="utf-8")
    (tmp_path / "test.tsv").write_text("Yes please\tJa bitte\n", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "check", "a.tsv", "--columns", "2", "1", "--against", "test.tsv"])
    assert not ended.value.code
    assert "also in validation or test: 1, left out" in capsys.readouterr().out
