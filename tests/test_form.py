"""The form of a file of pairs, found by one mechanism: columns, separators, quoting, headers, folders, slices."""

import gzip
import json

import pytest

from translora.config import SourceConfig
from translora.data.form import find_form
from translora.data.readers.sources import default_split, read, read_corpus, read_items
from translora.errors import DataError

DE = ["Guten Morgen!", "Das Haus ist groß.", "Ja, gern", "Wir gehen"]
EN = ["Good morning!", "The house is big.", "Yes, please", "We go"]
PAIRS = list(zip(DE, EN, strict=True))


def pairs_of(path, **options):
    return [(pair.source, pair.target) for pair in read(SourceConfig(path=str(path), **options), "de", "en")]


def table(rows, mark="\t"):
    return "".join(mark.join(row) + "\n" for row in rows)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


SWAPPED = [("en", "de"), *((en, de) for de, en in PAIRS)]
HEADERS = [
    ("de", "en"), ("DE", "EN"), ("de-DE", "en_US"), ("deu", "eng"), ("ger", "eng"), ("German", "English"),
    ("Deutsch", "English"), ("src", "trg"), ("source", "target"), ("input", "target"), ("DE text", "EN text"),
    ("source_text", "target_text"), ("Source sentence", "Translation"),
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=" ".join)
@pytest.mark.parametrize("mark", ["\t", ","])
def test_a_header_is_no_pair_and_names_the_columns(tmp_path, header, mark):
    quote = '"' if mark == "," else ""
    rows = [(*header, "id"), *((quote + de + quote, quote + en + quote, str(n)) for n, (de, en) in enumerate(PAIRS))]
    path = write(tmp_path / ("a.tsv" if mark == "\t" else "a.csv"), table(rows, mark))
    assert pairs_of(path) == PAIRS


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_a_header_wins_over_positions(tmp_path, name, capsys):
    path = write(tmp_path / name, table(SWAPPED))
    assert pairs_of(path) == PAIRS
    assert f"{path}: TSV, header, source = column 2 'de', target = column 1 'en'" in capsys.readouterr().err
    with pytest.raises(DataError, match="the header says that column 2 is the source and column 1 the target"):
        pairs_of(path, columns=("1", "2"))
    assert pairs_of(path, columns=("en", "de"))[0] == PAIRS[0][::-1]
    assert pairs_of(path, columns=("1", "2"), header="no")[1] == PAIRS[0][::-1]


AMBIGUOUS = [
    [("1000", de, "1001", en) for de, en in PAIRS],
    [("1.25", de, en) for de, en in PAIRS],
    [("http://a.de", "http://a.en", de, en, "0.7") for de, en in PAIRS],
    [(de, en, "0.7") for de, en in PAIRS],
    [("1000", de) for de, _ in PAIRS],
    [(de, "https://a.example/x") for de, _ in PAIRS],
    [("fr", "it"), *PAIRS],
    [("id", "text", "label"), *(("1", *pair) for pair in PAIRS)],
]


@pytest.mark.parametrize("rows", AMBIGUOUS, ids=lambda rows: " ".join(rows[0])[:30])
def test_a_guess_that_nothing_supports_is_refused_with_the_columns_shown(tmp_path, rows):
    path = write(tmp_path / "a.tsv", table(rows))
    with pytest.raises(DataError, match=rf"a.tsv:1: .*1: '{rows[0][0][:10]}") as caught:
        read_corpus(SourceConfig(path=str(path)), "de", "en")
    assert "--columns" in str(caught.value)


def test_the_remedy_of_the_refusal_works(tmp_path):
    path = write(tmp_path / "a.tsv", table(AMBIGUOUS[0]))
    with pytest.raises(DataError, match="--columns 2 4 "):
        pairs_of(path)
    assert pairs_of(path, columns=("2", "4")) == PAIRS


def test_empty_columns_behind_the_two_do_not_count(tmp_path):
    assert pairs_of(write(tmp_path / "a.tsv", table([(*pair, "", "") for pair in PAIRS]))) == PAIRS


CSVS = {
    "semicolon": "Ja, gern;Yes, please\nNein, danke;No, thanks\n",
    "semicolon and header": "de;en\nJa, gern;Yes, please\nNein, danke;No, thanks\n",
    "excel": '\ufeffde;en\r\n"Ja, gern";"Yes, please"\r\nNein, danke;No, thanks\r\n',
    "sep": "sep=;\r\nJa, gern;Yes, please\r\nNein, danke;No, thanks\r\n",
    "tabs": "Ja, gern\tYes, please\nNein, danke\tNo, thanks\n",
    "commas": '"Ja, gern","Yes, please"\n"Nein, danke","No, thanks"\n',
}


@pytest.mark.parametrize("kind", CSVS)
def test_the_separator_of_a_csv_is_found(tmp_path, kind):
    path = write(tmp_path / "a.csv", CSVS[kind])
    assert pairs_of(path) == [("Ja, gern", "Yes, please"), ("Nein, danke", "No, thanks")]


def test_two_separators_that_fit_alike_are_refused_and_can_be_set(tmp_path):
    path = write(tmp_path / "a.csv", "a, b;c\nd, e;f\n")
    with pytest.raises(DataError, match="comma and semicolon both separate"):
        pairs_of(path)
    assert pairs_of(path, separator=";") == [("a, b", "c"), ("d, e", "f")]


QUOTED = {
    "doubled": ('de\ten\n"Er sagte ""Ja"""\t"He said ""yes"""\nGut\tGood\n', ('Er sagte "Ja"', 'He said "yes"')),
    "line ends": ('"Zeile eins\nZeile zwei"\t"Line one\nLine two"\nGut\tGood\n',
                  ("Zeile eins\nZeile zwei", "Line one\nLine two")),
    "all": ('"Ja, gern"\t"Yes, please"\n"Gut"\t"Good"\n', ("Ja, gern", "Yes, please")),
    "texts with quotes": ('"Ja", sagte er\t"Yes", he said\nGut\tGood\n', ('"Ja", sagte er', '"Yes", he said')),
    "a quoted sentence": ('"Ja!"\t"Yes!"\nGut\tGood\n', ('"Ja!"', '"Yes!"')),
    "an inch": ('5" Rohr\t5" pipe\nGut\tGood\n', ('5" Rohr', '5" pipe')),
}  # fmt: skip


@pytest.mark.parametrize("kind", QUOTED)
def test_quotes_of_a_tsv_are_a_programs_or_the_texts_own(tmp_path, kind):
    text, first = QUOTED[kind]
    assert pairs_of(write(tmp_path / "a.tsv", text)) == [first, ("Gut", "Good")]


def test_line_numbers_count_lines_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'de,en\n"a\nb","c"\n' + b"\xff,x\n" + b"gut,good\n")
    found = list(read_items(SourceConfig(path=str(path)), "de", "en"))
    assert [item.line for item in found if not isinstance(item, DataError)] == [2, 5]
    assert [str(item)[len(str(path)) :][:3] for item in found if isinstance(item, DataError)] == [":4:"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson", "a.json.gz"])
def test_json_by_any_of_its_names(tmp_path, name):
    records = [{"id": 1, "source": de, "target": en} for de, en in PAIRS]
    assert pairs_of(write(tmp_path / name, "".join(json.dumps(record) + "\n" for record in records))) == PAIRS


@pytest.mark.parametrize("nested", [False, True])
def test_a_json_array(tmp_path, nested):
    records = [{"de": de, "en": en} for de, en in PAIRS]
    whole = [{"translation": record} for record in records] if nested else records
    assert pairs_of(write(tmp_path / "a.json", json.dumps(whole, indent=1))) == PAIRS
    with pytest.raises(DataError, match=r"b.json: not JSON"):
        pairs_of(write(tmp_path / "b.json", json.dumps(whole)[:-5]))


SLICES = {"train[:2]": [0, 1], "[1:3]": [1, 2], "test[:50%]": [0, 1], "[-1:]": [3]}


@pytest.mark.parametrize("split", SLICES)
@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl"])
def test_a_slice_of_a_file_is_obeyed(tmp_path, split, name):
    text = table(PAIRS) if name == "a.tsv" else "".join(json.dumps({"de": de, "en": en}) + "\n" for de, en in PAIRS)
    assert pairs_of(write(tmp_path / name, text), split=split) == [PAIRS[i] for i in SLICES[split]]


def test_a_split_that_a_file_cannot_have_is_refused(tmp_path):
    path = write(tmp_path / "a.tsv", table(PAIRS))
    with pytest.raises(DataError, match=r"a file has no split 'dev': .* dev\[:500\]"):
        pairs_of(path, split="dev")
    assert default_split(SourceConfig(path=str(path)), "test") == ""
    assert default_split(SourceConfig(path="mini"), "test") == "test"


def test_a_limit_counts_pairs_alone(tmp_path):
    path = write(tmp_path / "a.tsv", "a\tb\nnur eins\nc\td\ne\tf\n")
    found = list(read_items(SourceConfig(path=str(path), limit=2), "de", "en"))
    assert [item[:2] for item in found if not isinstance(item, DataError)] == [("a", "b"), ("c", "d")]


def test_a_folder_of_shards_is_read_in_the_order_of_names(tmp_path):
    write(tmp_path / "shards" / "b.tsv", table(PAIRS[2:]))
    write(tmp_path / "shards" / "a.tsv.gz", table([("en", "de"), *((en, de) for de, en in PAIRS[:2])]))
    write(tmp_path / "shards" / "README", "no pairs")
    assert pairs_of(tmp_path / "shards") == PAIRS
    assert pairs_of(tmp_path / "shards", split="[1:3]") == PAIRS[1:3]


def test_a_folder_with_splits_is_read_by_split(tmp_path):
    for name, part in (("train", PAIRS[:3]), ("test", PAIRS[3:])):
        write(tmp_path / "set" / f"{name}.csv", "de,en\n" + "".join(f'"{de}","{en}"\n' for de, en in part))
    assert pairs_of(tmp_path / "set") == PAIRS[:3]
    assert pairs_of(tmp_path / "set", split="test") == PAIRS[3:]
    assert default_split(SourceConfig(path=str(tmp_path / "set")), "test") == "test"
    with pytest.raises(DataError, match="no split 'validation'; it has test, train"):
        pairs_of(tmp_path / "set", split="dev")


def test_an_unpacked_corpus_of_two_aligned_files(tmp_path):
    write(tmp_path / "opus" / "demo.de-en.de", "".join(de + "\n" for de in DE))
    write(tmp_path / "opus" / "demo.de-en.en", "".join(en + "\n" for en in EN))
    write(tmp_path / "opus" / "LICENSE", "free")
    assert pairs_of(tmp_path / "opus") == PAIRS


def test_folders_that_cannot_be_read_say_what_they_hold(tmp_path):
    write(tmp_path / "mixed" / "a.tsv", table(PAIRS))
    write(tmp_path / "mixed" / "b.jsonl", "{}\n")
    with pytest.raises(DataError, match=r"mixed: files of several formats \(a.tsv, b.jsonl\)"):
        pairs_of(tmp_path / "mixed")
    write(tmp_path / "other" / "notes.txt", "x\n")
    with pytest.raises(DataError, match=r"other: no files of pairs in it \(it holds notes.txt\)"):
        pairs_of(tmp_path / "other")


def test_only_the_white_space_around_a_text_is_no_part_of_it(tmp_path):
    path = write(tmp_path / "a.tsv", "\u00a0Oui\u202f!\t \u3000Yes! \r\n")
    assert pairs_of(path) == [("\u00a0Oui\u202f!", "\u3000Yes!")]


def test_a_header_in_one_column_alone_is_shown_as_the_first_pair():
    form = find_form([("text a", "text b"), ("eins", "one")], SourceConfig(path="a.tsv"), ("de", "en"))
    assert form.words("a.tsv", "TSV").endswith("(first pair: 'text a', 'text b')")


@pytest.mark.parametrize(("language", "header", "found"), [
    ("zh-Hans", "zh-CN", True), ("zh-Hans", "zh_TW", False), ("zh-Hant", "zh-TW", True), ("pt-BR", "pt_BR", True),
])  # fmt: skip
def test_a_code_with_a_region_is_matched_as_everywhere(tmp_path, language, header, found):
    path = write(
        tmp_path / "a.csv", f"id,{header},en\n" + "".join(f"1,{de},{en}\n" for de, en in (("a", "b"), ("c", "d")))
    )
    config = SourceConfig(path=str(path))
    if found:
        assert [pair.source for pair in read(config, language, "en")] == ["a", "c"]
    else:
        with pytest.raises(DataError, match="no header that names the two"):
            list(read(config, language, "en"))


def test_the_form_is_said_once_though_a_percentage_reads_the_file_twice(tmp_path, capsys):
    path = write(tmp_path / "a.tsv", table(PAIRS))
    assert len(pairs_of(path, split="[:50%]")) == 2
    assert capsys.readouterr().err.count("no header") == 1
