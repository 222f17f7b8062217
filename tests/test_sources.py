import gzip
import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from translora.config import SourceConfig
from translora.data.readers.sources import read, read_corpus
from translora.errors import DataError

PAIRS = [("Guten Morgen!", "Good morning!"), ("Zeile\u2028zwei", "Line\u2028two"), ('Er sagte "ja"', "He said, yes")]


def pairs_of(path, **options):
    return [(pair.source, pair.target) for pair in read(SourceConfig(path=str(path), **options), "de", "en")]


def write(path, text):
    data = text.encode("utf-8")
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        data = pa.compress(data, "zstd", asbytes=True)
    path.write_bytes(data)
    return path


TSV = "".join(f"{de}\t{en}\n" for de, en in PAIRS)
CSV = "".join('"{}","{}"\n'.format(*(text.replace('"', '""') for text in pair)) for pair in PAIRS)
FLAT = "".join(json.dumps({"de": de, "en": en}) + "\n" for de, en in PAIRS)
NESTED = "".join(json.dumps({"translation": {"de": de, "en": en}}, ensure_ascii=False) + "\n" for de, en in PAIRS)
UNIT = '<tu><tuv xml:lang="de-DE"><seg>{}</seg></tuv><tuv xml:lang="en"><seg>{}</seg></tuv></tu>'
TMX = '<?xml version="1.0"?><tmx version="1.4"><header/><body>{}</body></tmx>'.format(
    "".join(UNIT.format(*pair) for pair in PAIRS)
)


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.tsv", TSV), ("a.csv", CSV), ("flat.jsonl", FLAT), ("nested.jsonl", NESTED), ("a.tmx", TMX),
     ("header.tsv", "de\ten\n" + TSV), ("bom.tsv", "\ufeff" + TSV), ("crlf.tsv", TSV.replace("\n", "\r\n"))],
)  # fmt: skip
def test_every_format_gives_the_same_pairs(tmp_path, name, text, ending):
    assert pairs_of(write(tmp_path / (name + ending), text)) == PAIRS


@pytest.mark.parametrize("nested", [False, True])
def test_parquet(tmp_path, nested):
    rows = [{"de": de, "en": en} for de, en in PAIRS]
    table = pa.Table.from_pylist([{"translation": row} for row in rows] if nested else rows)
    parquet.write_table(table, tmp_path / "a.parquet")
    assert pairs_of(tmp_path / "a.parquet") == PAIRS


def test_two_aligned_files(tmp_path):
    write(tmp_path / "a.de", "".join(de + "\n" for de, _ in PAIRS))
    write(tmp_path / "a.en.gz", "".join(en + "\n" for _, en in PAIRS))
    assert pairs_of(tmp_path / "a.de", target_path=str(tmp_path / "a.en.gz")) == PAIRS


def test_a_parquet_column_of_texts_may_be_called_translation(tmp_path):
    rows = [{"de": de, "en": en, "translation": "x"} for de, en in PAIRS]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert pairs_of(tmp_path / "a.parquet") == PAIRS


def test_columns_by_name_and_by_number(tmp_path):
    named = write(tmp_path / "named.tsv", "id\tEnglish\tDeutsch\n1\tGood morning!\tGuten Morgen!\n")
    assert pairs_of(named, columns=("Deutsch", "English")) == PAIRS[:1]
    numbered = write(tmp_path / "numbered.tsv", "1\tGood morning!\tGuten Morgen!\n")
    assert pairs_of(numbered, columns=("3", "2")) == PAIRS[:1]


def test_where_a_pair_came_from_and_the_limit(tmp_path):
    path = write(tmp_path / "a.tsv", "de\ten\n" + TSV)
    found = list(read(SourceConfig(path=str(path), limit=2), "de", "en"))
    assert [(pair.file, pair.line) for pair in found] == [(str(path), 2), (str(path), 3)]


def test_the_embedded_corpus_in_both_directions():
    there = next(iter(read(SourceConfig(path="mini", split="test"), "de", "en")))
    back = next(iter(read(SourceConfig(path="mini", split="test"), "en", "de")))
    assert (there.source, there.target) == (back.target, back.source)
    assert there.origin == "mini/test.tsv.gz:1"


BAD = [
    ("a.tsv", "gut\tgood\nnur eins\n", r"a.tsv:2: 1 column\(s\) where 2 are needed"),
    ("a.csv", 'gut,good\n"offen,x\n', r"a.csv:2: not CSV"),
    ("a.jsonl", '{"de": "a", "en": "b"}\n{"de": \n', r"a.jsonl:2: not JSON"),
    ("a.jsonl", '{"de": "a"}\n', r"a.jsonl:1: no field en; it has de"),
    ("a.jsonl", '{"de": "a", "en": 3}\n', r"a.jsonl:1: the target is int, not text"),
    ("a.jsonl", "[1]\n", r"a.jsonl:1: list instead of an object"),
    ("a.tmx", "<tmx><body><tu>", r"a.tmx: not TMX"),
    ("a.tmx", '<!DOCTYPE tmx [<!ENTITY a "b">]><tmx/>', r"a.tmx: it declares XML entities"),
    (
        "a.tmx",
        TMX.replace('xml:lang="en"', 'xml:lang="fr"'),
        r"a.tmx: no translation unit has both de and en: .* which are de-DE \(3\), fr \(3\)",
    ),
    ("a.parquet", "no parquet", r"a.parquet: not a readable Parquet file"),
    ("a.txt", "x\n", r"a.txt: the name does not tell the format"),
    ("a.tsv", "", r"a.tsv: no sentence pairs"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD)
def test_bad_input_is_one_line_with_its_place(tmp_path, name, text, message):
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match=message) as caught:
        read_corpus(SourceConfig(path=str(path)), "de", "en")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tsv", b"gut\tgood\nsch\xf6n\tnice\n", r"a.tsv:2: not UTF-8 \(byte 4 is 0xf6\): .*iconv"),
        ("a.tsv.gz", gzip.compress(TSV.encode() * 500, mtime=0)[:40], r"a.tsv.gz: damaged or cut short"),
        ("a.tsv.gz", b"no gzip", r"a.tsv.gz: damaged or cut short"),
        ("a.tsv.zst", b"no zstandard", r"a.tsv.zst: damaged or cut short"),
    ],
)
def test_damaged_files(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        pairs_of(tmp_path / name)


def test_files_of_different_lengths_are_never_paired(tmp_path):
    write(tmp_path / "a.de", "eins\nzwei\n")
    write(tmp_path / "a.en", "one\n")
    with pytest.raises(DataError, match=r"a.en ends before line 2, but .*a.de goes on"):
        pairs_of(tmp_path / "a.de", target_path=str(tmp_path / "a.en"))


def test_a_missing_file_is_named_without_the_network(tmp_path):
    with pytest.raises(DataError, match=r"gone.tsv: No such file"):
        pairs_of(tmp_path / "gone.tsv")
    with pytest.raises(DataError, match=r"no such file or folder"):
        pairs_of("./gone")


@pytest.mark.parametrize(
    ("split", "first", "count"), [("test[:5]", 1, 5), ("test[10:12]", 11, 2), ("test[-1%:]", 991, 10)]
)
def test_the_embedded_corpus_in_slices(split, first, count):
    found = list(read(SourceConfig(path="mini", split=split), "de", "en"))
    assert (found[0].line, len(found)) == (first, count)


def test_the_embedded_corpus_knows_its_limits():
    with pytest.raises(DataError, match="no split 'dev': use train, validation, test"):
        pairs_of("mini", split="dev")
    with pytest.raises(DataError, match="German and English"):
        list(read(SourceConfig(path="mini"), "fr", "en"))
