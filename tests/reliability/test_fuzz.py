"""Whatever bytes a file holds, a reader gives pairs or one clear line.

    TRANSLORA_FUZZ=100000 pytest tests/reliability/test_fuzz.py     as many inputs in all; 4,000 without

A byte string is drawn, or a good file is taken and damaged in a few places. What once failed is in `ONCE_FAILED`.
"""

import gzip
import json
import os

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from translora.config import Config, SourceConfig
from translora.config.load import load_comparison, save_config
from translora.data.pairs import Pair
from translora.data.readers.sources import read_items
from translora.errors import DataError, TransloraError
from translora.models.adapter import base_of, read_lora_config
from translora.runs.folder import Run
from translora.training.checkpoint import checkpoint_fault

INPUTS = int(os.environ.get("TRANSLORA_FUZZ", "4000"))
PAIRS = [("Guten Morgen!", "Good morning!"), ("Zeile\u2028zwei", "Line\u2028two"), ('Er sagte "ja"', "He said; yes")]
UNIT = '<tu><tuv xml:lang="de"><seg>{}<ph>x</ph></seg></tuv><tuv xml:lang="en"><seg>{}</seg></tuv></tu>'
GOOD = {
    "tsv": "".join(f"{de}\t{en}\n" for de, en in PAIRS).encode(),
    "csv": "".join('"{}","{}"\n'.format(*(text.replace('"', '""') for text in pair)) for pair in PAIRS).encode(),
    "jsonl": "".join(json.dumps({"de": de, "en": en}) + "\n" for de, en in PAIRS).encode(),
    "tmx": f'<?xml version="1.0"?><tmx version="1.4"><body>{UNIT.format("a", "b") * 3}</body></tmx>'.encode(),
    "text": b"eins\nzwei\ndrei\n",
}
ONCE_FAILED = [
    ("tmx", [("replace", 1, b"\0")]),  # a message of two lines
    ("parquet", [("insert", 0, b"\t")]),  # a message of three lines
    ("yaml", b"\0"),  # an error of YAML's that has no place
    ("json", b"0"),  # JSON, but no object
]


def zstd(data):
    return pa.compress(data, "zstd", asbytes=True)


def damaged(data, places):
    """`data` with bytes replaced, put in, taken out or repeated at some places."""
    result = bytearray(data)
    for kind, where, values in places:
        at = where % (len(result) + 1)
        end = at + len(values)
        result[at : {"replace": end, "insert": at, "delete": end, "repeat": at}[kind]] = {
            "replace": values, "insert": values, "delete": b"", "repeat": result[at : at + 64] * 3
        }[kind]  # fmt: skip
    return bytes(result)


TELLING = st.sampled_from(
    [b"\t", b"\n", b"\r", b'"', b"\0", b"\xff", b"<", b"&a;", b"]]>", b"{", b"\xef\xbb\xbf", b"\\ud800"]
)
VALUES = st.one_of(TELLING, st.binary(min_size=1, max_size=6))
KINDS = st.sampled_from(["replace", "insert", "delete", "repeat"])
PLACES = st.lists(st.tuples(KINDS, st.integers(0, 4096), VALUES), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def good(folder):
    """A good file of each format."""
    table = pa.Table.from_pylist([{"de": de, "en": en} for de, en in PAIRS])
    parquet.write_table(table, folder / "good.parquet")
    save_config(Config(), folder / "good.yaml")
    adapter = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q", "v"], "rank_pattern": {}}
    return {
        **GOOD,
        "parquet": (folder / "good.parquet").read_bytes(),
        "yaml": (folder / "good.yaml").read_bytes(),
        "json": json.dumps(adapter).encode(),
    }


def fuzz(share):
    """A test on a share of all inputs."""

    def decorate(test):
        limit = settings(
            max_examples=max(1, int(INPUTS * share)), deadline=None, database=None, derandomize=INPUTS <= 4000,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        return limit(given(PLACES | st.binary(max_size=300))(test))

    return decorate


def data_of(drawn, data):
    return drawn if isinstance(drawn, bytes) else damaged(data, drawn)


def read_all(path, kind):
    """Read it to its end: each item a pair of texts or one line about what is wrong."""
    other = str(path.parent / "other.txt") if kind == "text" else ""
    source = SourceConfig(path=str(path), format=kind, target_path=other)
    try:
        for item in read_items(source, "de", "en"):
            if isinstance(item, DataError):
                assert_one_line(item)
            else:
                assert isinstance(item, Pair)
                (item.source + item.target).encode()
    except DataError as error:
        assert_one_line(error)


def assert_one_line(error):
    assert len(str(error).splitlines()) == 1, str(error)


@pytest.mark.parametrize("kind", [*GOOD, "parquet"])
def test_corpora(folder, good, kind):
    (folder / "other.txt").write_bytes(GOOD["text"])
    path = folder / f"corpus.{kind}"

    @fuzz(0.1)
    def check(drawn):
        path.write_bytes(data_of(drawn, good[kind]))
        read_all(path, kind)

    check()


@pytest.mark.parametrize(("ending", "compress"), [("gz", gzip.compress), ("zst", zstd)])
def test_compressed_corpora(folder, ending, compress):
    path, data = folder / f"corpus.tsv.{ending}", compress(GOOD["tsv"] * 20)

    @fuzz(0.1)
    def check(drawn):
        path.write_bytes(data_of(drawn, data))
        read_all(path, "tsv")

    check()


def load_recipe(path):
    try:
        load_comparison(path)
    except TransloraError as error:
        assert_one_line(error)


def load_small_files(run, data):
    """Have every small JSON file of a run, a checkpoint and an adapter hold `data`, and load each."""
    for file in (run.summary_file, run.metrics, run.folder / "adapter_config.json", run.folder / "manifest.json"):
        file.write_bytes(data)
    works = lambda: run.summary, run.figures, lambda: base_of(run.folder), lambda: read_lora_config(run.folder)
    for work in works:
        try:
            work()
        except TransloraError as error:
            assert_one_line(error)
    assert "\n" not in checkpoint_fault(run.folder)


@pytest.fixture(scope="module")
def run(folder):
    run = Run(folder / "run")
    run.folder.mkdir()
    save_config(Config(), run.config_file)
    return run


def test_recipes(folder, good):
    path = folder / "recipe.yaml"

    @fuzz(0.02)
    def check(drawn):
        path.write_bytes(data_of(drawn, good["yaml"]))
        load_recipe(path)

    check()


def test_small_files_of_a_run_and_of_an_adapter(run, good):
    @fuzz(0.18)
    def check(drawn):
        load_small_files(run, data_of(drawn, good["json"]))

    check()


@pytest.mark.parametrize(("kind", "drawn"), ONCE_FAILED, ids=str)
def test_what_once_failed(folder, good, run, kind, drawn):
    data = data_of(drawn, good[kind])
    path = folder / f"once.{kind}"
    path.write_bytes(data)
    if kind == "yaml":
        load_recipe(path)
    elif kind == "json":
        load_small_files(run, data)
    else:
        read_all(path, kind)
