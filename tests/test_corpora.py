"""Corrupt corpora: named with file and line, or skipped and counted; never a shifted pair; `data check` finds them."""

import gzip
import json

import pyarrow as pa
import pytest

from translora import cli
from translora.config import CleaningConfig, Config, DataConfig, SourceConfig
from translora.data.check import Extra, check_corpus
from translora.data.cleaning.corpus import clean_corpus, dropped_file
from translora.data.pairs import Pair
from translora.data.readers.sources import read
from translora.data.splits import read_splits
from translora.errors import ConfigError, DataError

WHOLE = [(f"Satz Nummer {i} steht hier.", f"Sentence number {i} stands here.") for i in range(1, 41)]
HELD_OUT = [Pair("Satz Nummer 40 steht hier", "anything"), Pair("SATZ NUMMER 39: steht hier!", "other")]


def tsv(pairs):
    return "".join(f"{source}\t{target}\n" for source, target in pairs)


def with_line(line, at=20):
    """The whole corpus as TSV bytes, with a line put in before line `at`."""
    lines = tsv(WHOLE).encode().splitlines(keepends=True)
    return b"".join([*lines[: at - 1], line, *lines[at - 1 :]])


def zstd(data):
    return pa.compress(data, "zstd", asbytes=True)


TMX = '<?xml version="1.0"?>{}<tmx version="1.4"><header/><body>{}</body></tmx>'
UNIT = '<tu><tuv xml:lang="de"><seg>{}</seg></tuv><tuv xml:lang="en"><seg>{}</seg></tuv></tu>\n'
BOMB = "<!DOCTYPE tmx [{}]>".format(
    "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)) + '<!ENTITY a0 "lol">'
)
JSONL = "".join(json.dumps({"de": source, "en": target}) + "\n" for source, target in WHOLE)

CORPORA = [
    # name, bytes, what check finds and where (line), pairs that training gets with bad lines skipped (None: it stops)
    ("bom.tsv", b"\xef\xbb\xbf" + tsv(WHOLE).encode(), "byte order mark (ignored)", 1, 40),
    ("nul.tsv", with_line(b"Null\0zeichen\tNul\n"), "control characters", 20, 40),
    ("latin1.tsv", with_line("schön\tnice\n".encode("latin-1")), "unreadable line", 20, 40),
    ("overlong.tsv", with_line(b"\xc0\xaf\tx\n"), "unreadable line", 20, 40),
    ("surrogate.tsv", with_line(b"\xed\xa0\x80\tx\n"), "unreadable line", 20, 40),
    ("crlf.tsv", tsv(WHOLE).replace("\n", "\r\n").encode(), "Windows line ends (ignored)", None, 40),
    ("cr.tsv", with_line(b"eins\rzwei\tone\rtwo\n"), "control characters", 20, 40),
    ("u2028.tsv", with_line("eins\u2028zwei\tone\u2028two\n".encode()), "line ends inside", 20, 41),
    ("10mb.tsv", with_line(b"a" * (10 << 20) + b"\tx\n"), "over 5000 characters", 20, 40),
    ("20mb.tsv", with_line(b"a" * (20 << 20) + b"\tx\n"), "unreadable line", 20, 40),
    ("columns.tsv", with_line(b"nur eine Spalte\n"), "unreadable line", 20, 40),
    ("empty.tsv", with_line(b"\tonly a target\n"), "empty side", 20, 40),
    ("blank.tsv", with_line(b" \t\xc2\xa0\n"), "empty side", 20, 40),
    ("html.tsv", with_line(b"Tom &amp; Eva\tTom &amp; Eve\n"), "HTML entities", 20, 41),
    ("copied.tsv", with_line(b"Kaffee\tKaffee\n"), "identical sides", 20, 41),
    ("ratio.tsv", with_line(b"ja\t" + b"well " * 20 + b"\n"), "lengths over 1:9", 20, 40),
    ("double.tsv", with_line(tsv(WHOLE[:1]).encode()), "duplicate", 20, 40),
    ("case.tsv", with_line(tsv(WHOLE[:1]).upper().encode()), "duplicate, normalised", 20, 41),
    ("cut.tsv.gz", gzip.compress(tsv(WHOLE * 500).encode(), mtime=0)[:600], "cannot be read further", None, None),
    ("no.tsv.gz", tsv(WHOLE).encode(), "cannot be read further", None, None),
    ("cut.tsv.zst", zstd(tsv(WHOLE).encode())[:-9], "cannot be read further", None, None),
    ("nothing.tsv", b"", "no sentence pairs", None, None),
    ("utf16.tsv", tsv(WHOLE).encode("utf-16"), "unreadable line", 1, None),
    ("bomb.tmx", TMX.format(BOMB, UNIT.format("&a9;", "x")).encode(), "cannot be read further", None, None),
    ("cut.tmx", TMX.format("", UNIT.format("a", "b") * 9).encode()[:300], "cannot be read further", None, None),
    ("control.tmx", TMX.format("", UNIT.format("a", "b") + UNIT.format("x&#x1F;", "y")).encode(),
     "unreadable line", 2, 1),
    ("cut.jsonl", (JSONL + '{"de": "offen').encode(), "unreadable line", 41, 40),
    ("key.jsonl", (JSONL + '{"de": "kein Ziel"}\n').encode(), "unreadable line", 41, 40),
    ("half.jsonl", (JSONL + r'{"de": "\ud800", "en": "x"}' + "\n").encode(), "unreadable line", 41, 40),
    ("quote.csv", b'gut,good\n"offen,x\n', "cannot be read further", None, None),
    ("cell.csv", b"gut,good\n" + b"a" * 200_000 + b",x\nja,yes\n", "over 5000 characters", 2, 2),
]  # fmt: skip


@pytest.fixture(params=CORPORA, ids=[corpus[0] for corpus in CORPORA])
def corpus(request, tmp_path):
    name, data, problem, line, kept = request.param
    (tmp_path / name).write_bytes(data)
    return tmp_path / name, problem, line, kept


def test_data_check_finds_it(corpus):
    path, problem, line, _ = corpus
    found = check_corpus(SourceConfig(path=str(path)), "de", "en", CleaningConfig())
    assert problem in found.problems
    places = found.problems[problem].places
    assert str(path) in places[0]
    if line:
        assert f"{path}:{line}" in places[0]


def test_training_skips_and_counts_it_or_stops_and_names_it(corpus):
    path, problem, line, kept = corpus
    data = DataConfig(
        train=SourceConfig(path=str(path)),
        cleaning=CleaningConfig(bad_lines="skip"),
        validation=SourceConfig(path="mini", split="validation", limit=2),
        test=SourceConfig(path="mini", split="test", limit=2),
    )
    if kept is None:
        with pytest.raises(DataError, match=path.name) as caught:
            read_splits(Config(data=data))
        assert "\n" not in str(caught.value)
        return
    splits = read_splits(Config(data=data))
    assert len(splits.train) == kept
    pairs = dict(WHOLE)
    assert all(pair.target == pairs[pair.source] for pair in splits.train if pair.source in pairs)
    if problem == "unreadable line":
        assert splits.dropped[problem].count == 1
        assert f"{path}:{line}: " in splits.dropped[problem].examples[0]
        with pytest.raises(DataError, match=f"{path.name}:{line}: "):
            list(read(data.train, "de", "en"))


def test_unequal_line_counts_are_found_and_never_paired(tmp_path):
    (tmp_path / "a.de").write_text("eins\nzwei\ndrei\n")
    (tmp_path / "a.en").write_text("one\ntwo\n")
    source = SourceConfig(path=str(tmp_path / "a.de"), target_path=str(tmp_path / "a.en"))
    found = check_corpus(source, "de", "en", CleaningConfig())
    assert (found.pairs, found.stops) == (2, 1)
    assert "a.en ends before line 3" in found.problems["cannot be read further"].places[0]


def test_overlap_and_other_languages_are_found(tmp_path):
    german = "Dieser Satz ist lang genug, um sicher als deutsch erkannt zu werden."
    (tmp_path / "a.tsv").write_text(tsv([*WHOLE, (german, german + " Ja.")]))
    source = SourceConfig(path=str(tmp_path / "a.tsv"))
    found = check_corpus(source, "de", "en", CleaningConfig(), Extra(HELD_OUT, languages=True))
    counts = {name: problem.count for name, problem in found.problems.items()}
    assert counts == {"also in validation or test": 1, "nearly in validation or test": 40, "another language": 1}
    assert found.problems["also in validation or test"].places == [f"{tmp_path}/a.tsv:40"]


def test_a_good_corpus_has_no_findings(tmp_path):
    (tmp_path / "a.tsv").write_text(tsv(WHOLE))
    found = check_corpus(SourceConfig(path=str(tmp_path / "a.tsv")), "de", "en", CleaningConfig())
    assert (found.pairs, found.problems, found.stops) == (40, {}, 0)


def call(*arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(list(map(str, arguments)))
    return caught.value.code


def test_the_check_command(tmp_path, capsys):
    path = tmp_path / "a.tsv"
    path.write_bytes(with_line(b"nur eine Spalte\n"))
    assert call("data", "check", path) == 1
    printed = capsys.readouterr()
    assert f"unreadable line: 1, stops training\n  {path}:20: 1 column(s) where 2 are needed" in printed.out
    assert "1 line(s) stop training: mend them, or set bad_lines to skip" in printed.err
    assert call("data", "check", path, "--json") == 1
    found = json.loads(capsys.readouterr().out)[str(path)]
    assert found["pairs"] == 40
    assert found["problems"]["unreadable line"]["consequence"] == "stops training"
    assert call("data", "check", "mini", "--split", "test") == 0


@pytest.mark.parametrize("ending", [".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz"])
def test_the_clean_command_writes_what_is_kept_and_what_is_not(tmp_path, capsys, ending):
    corrupt = [*WHOLE, WHOLE[0], ("Kaffee", "Kaffee"), ("a\0b", "x"), ("Zeile\u2028zwei", "Line\u2028two")]
    (tmp_path / "a.tsv").write_bytes(tsv(corrupt).encode() + b"\xff\tx\n")
    output = tmp_path / f"out{ending}"
    assert call("data", "clean", tmp_path / "a.tsv", "-o", output) == 0
    assert "41 pairs kept" in capsys.readouterr().out
    kept = [(pair.source, pair.target) for pair in read(SourceConfig(path=str(output)), "de", "en")]
    assert kept[:40] == WHOLE
    assert kept[40] == ("Zeile\u2028zwei", "Line\u2028two")
    dropped = dropped_file(output)
    text = (gzip.decompress(dropped.read_bytes()) if dropped.suffix == ".gz" else dropped.read_bytes()).decode()
    rows = [line.split("\t")[:2] for line in text.splitlines()]
    assert rows == [
        ["duplicate", f"{tmp_path}/a.tsv:41"], ["identical sides", f"{tmp_path}/a.tsv:42"],
        ["control characters", f"{tmp_path}/a.tsv:43"],
        ["unreadable line", rows[3][1]],
    ]  # fmt: skip
    assert rows[3][1].startswith(f"{tmp_path}/a.tsv:45: not UTF-8")


def test_cleaning_writes_all_or_nothing(tmp_path):
    (tmp_path / "a.tsv").write_text(tsv(WHOLE) + "nur eine Spalte\n")
    source = SourceConfig(path=str(tmp_path / "a.tsv"))
    output = tmp_path / "out.tsv"
    with pytest.raises(DataError, match=r"a.tsv:41"):
        clean_corpus(source, "de", "en", CleaningConfig(), output)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]
    output.write_text("mine")
    with pytest.raises(ConfigError, match=r"out.tsv exists: choose another --output, or add --overwrite"):
        clean_corpus(source, "de", "en", CleaningConfig(bad_lines="skip"), output)
    assert output.read_text() == "mine"
    with pytest.raises(ConfigError, match="must end in one of"):
        clean_corpus(source, "de", "en", CleaningConfig(), tmp_path / "out.csv")
    cleaner = clean_corpus(source, "de", "en", CleaningConfig(bad_lines="skip"), output, overwrite=True)
    assert cleaner.kept == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "gone.tsv"], "gone.tsv: No such file"),
        (["clean", "a.tsv", "-o", "out.txt"], "the name must end in one of"),
        (["clean", "a.tsv", "-o", "out.tsv", "--max_ratio=x"], "--max_ratio: must be a number, not 'x': see translora"),
        (["clean", "a.tsv", "-o", "out.tsv", "--mx=1"], "mx"),
        (["clean", "a.tsv", "-o", "out.tsv", "--max_ratio=-1"], "max_ratio: must be at least 0, not -1"),
        (["clean", "a.tsv", "-o", "a.tsv", "--overwrite"], "a.tsv is read from: choose another --output"),
        (["clean", "a.tsv", "-o", "./a.tsv", "--overwrite"], "a.tsv is read from: choose another --output"),
        (["clean", "mini", "--against", "a.tsv", "-o", "a.tsv", "--overwrite"], "a.tsv is read from"),
        (["clean", "a.tsv"], "the following arguments are required: -o/--output"),
        (["clean", "a.tsv", "-o", "out.tsv", "--max_chars=1"], "no pairs are left (left out: over 1 characters: 40)"),
        (["clean", "a.tsv", "-o", "out.tsv", "--source", "en"], "source and target are both 'en': name two languages"),
        (["clean", "a.tsv", "-o", "out.tsv", "--columns", "1", "1"], "columns names 1 twice"),
        (["check", "a.tsv", "--target-file", "b.en"], "a tsv file has both sides: leave out b.en"),
        (["check", ""], "no path: name a file"),
        (["check", "gone"], "gone"),
        (["check", "a.tsv", "--source", "xx", "--languages"], "language 'xx' cannot be identified"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tsv").write_text(tsv(WHOLE))
    assert call("data", *arguments) in (1, 2)
    printed = capsys.readouterr()
    assert message in printed.err
    assert [line for line in printed.err.splitlines() if "translora: " in line] == printed.err.splitlines()[-1:]
    assert [path.name for path in tmp_path.iterdir()] == ["a.tsv"]


@pytest.mark.parametrize("header", ["de\ten", "DE\tEN", "German\tEnglish", "en\tde", " english \tGERMAN"])
def test_a_header_is_no_pair(tmp_path, header):
    swapped = header.strip().lower().startswith("en")
    pairs = [pair[::-1] for pair in WHOLE] if swapped else WHOLE
    (tmp_path / "a.tsv").write_text(f"{header}\n{tsv(pairs)}")
    found = [(pair.source, pair.target) for pair in read(SourceConfig(path=str(tmp_path / "a.tsv")), "de", "en")]
    assert found == WHOLE
    columns = ("2", "1") if swapped else ("1", "2")
    source = SourceConfig(path=str(tmp_path / "a.tsv"), columns=columns)
    assert [(pair.source, pair.target) for pair in read(source, "de", "en")] == WHOLE


def test_a_folder_in_place_of_the_output_is_left_alone(tmp_path):
    (tmp_path / "a.tsv").write_text(tsv(WHOLE))
    (tmp_path / "out.tsv").mkdir()
    with pytest.raises(ConfigError, match=r"out.tsv is a folder: choose another --output"):
        clean_corpus(
            SourceConfig(path=str(tmp_path / "a.tsv")),
            "de",
            "en",
            CleaningConfig(),
            tmp_path / "out.tsv",
            overwrite=True,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tsv", "out.tsv"]


SPACES = [("Wie geht es Ihnen?", "Comment allez-vous\u00a0?"), ("Preis: 10\u202f000 EUR", "Prix\u00a0:  10\u2009000"),
          ("\u3000全角\u3000空白", "a\u200bb\ufeffc"), ("Zeile\u2028zwei", "a\x85b\x0bc")]  # fmt: skip


def test_kept_pairs_are_written_byte_for_byte(tmp_path):
    (tmp_path / "a.tsv").write_text(tsv(SPACES), encoding="utf-8")
    for name in ("out.tsv", "other.jsonl"):
        clean_corpus(
            SourceConfig(path=str(tmp_path / "a.tsv")), "de", "fr", CleaningConfig(control="keep"), tmp_path / name
        )
    assert (tmp_path / "out.tsv").read_bytes() == (tmp_path / "a.tsv").read_bytes()
    again = [(pair.source, pair.target) for pair in read(SourceConfig(path=str(tmp_path / "other.jsonl")), "de", "fr")]
    assert again == SPACES


def test_what_a_tsv_cannot_hold_is_replaced_and_said(tmp_path, caplog):
    caplog.set_level("INFO", "translora")
    lines = [{"de": "eins", "en": "one"}, {"de": "zwei\ndrei\tvier", "en": "two\r\nthree"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = SourceConfig(path=str(tmp_path / "a.jsonl"))
    clean_corpus(source, "de", "en", CleaningConfig(control="keep"), tmp_path / "out.tsv")
    assert (tmp_path / "out.tsv").read_bytes() == b"eins\tone\nzwei drei vier\ttwo three\n"
    assert f"inside 1 pairs became spaces (the first: {tmp_path}/a.jsonl:2): write .jsonl to keep them" in caplog.text


@pytest.mark.parametrize(
    ("data", "count"),
    [("\ufeffJa\tYes\n\ufeffNein\tNo\n", 2), ("Ja\tYes\n\ufeffNein\tNo\n", 1), ("\ufeffJa\t\ufeffYes\nNein\tNo\n", 2)],
)
def test_byte_order_marks_of_joined_files_are_removed_and_counted(tmp_path, data, count):
    path = tmp_path / "a.tsv"
    path.write_text(data, encoding="utf-8")
    assert [pair[:2] for pair in read(SourceConfig(path=str(path)), "de", "en")] == [("Ja", "Yes"), ("Nein", "No")]
    found = check_corpus(SourceConfig(path=str(path)), "de", "en", CleaningConfig())
    assert found.problems["byte order mark (ignored)"].count == count


def test_a_zero_width_no_break_space_inside_a_text_stays(tmp_path):
    (tmp_path / "a.tsv").write_text("Zer\ufeffo\tNull\n", encoding="utf-8")
    assert [pair.source for pair in read(SourceConfig(path=str(tmp_path / "a.tsv")), "de", "en")] == ["Zer\ufeffo"]
