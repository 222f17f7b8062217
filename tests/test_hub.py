import socket

import datasets
import pytest

from translora.config import SourceConfig
from translora.data.readers.hub import parse_split, slice_bounds
from translora.data.readers.sources import read, read_corpus
from translora.errors import DataError, ModelError
from translora.models import hub

ROWS = [{"translation": {"de": f"Satz {i}.", "en": f"Sentence {i}."}} for i in range(200)]
CARD = """---
configs:
- config_name: de-en
  data_files: [{split: train, path: de-en/train.parquet}, {split: test, path: de-en/test.parquet}]
dataset_info:
- config_name: de-en
  features: [{name: translation, dtype: {translation: {languages: [de, en]}}}]
  splits: [{name: train, num_examples: 200}, {name: test, num_examples: 10}]
---
"""


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory):
    """A folder in the form of wmt/wmt16: configurations, splits, and a translation column."""
    folder = tmp_path_factory.mktemp("wmt")
    for split, rows in (("train", ROWS), ("test", ROWS[:10])):
        data = datasets.Dataset.from_list(rows)
        (folder / "de-en").mkdir(exist_ok=True)
        data.to_parquet(folder / "de-en" / f"{split}.parquet")
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.fixture(autouse=True)
def datasets_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)


def texts(**options):
    return [pair.source for pair in read(SourceConfig(**options), "de", "en")]


SLICES = [
    ("train[:1%]", 0, 2), ("train[:5]", 0, 5), ("train[10:13]", 10, 13), ("train[198:]", 198, 200),
    ("train[-3:]", 197, 200), ("test", 0, 10), ("train[99%:]", 198, 200),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["hub", "auto"])
@pytest.mark.parametrize(("split", "first", "last"), SLICES)
def test_slices_of_a_data_set_streamed_and_prepared(hub_folder, kind, split, first, last):
    found = texts(path=str(hub_folder), format=kind, name="de-en", split=split)
    assert found == [f"Satz {i}." for i in range(first, last)]


@pytest.mark.parametrize(("split", "first", "last"), SLICES)
def test_slices_of_a_saved_folder(tmp_path, split, first, last):
    whole = datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS), test=datasets.Dataset.from_list(ROWS[:10]))
    whole.save_to_disk(tmp_path / "saved")
    assert texts(path=str(tmp_path / "saved"), split=split) == [f"Satz {i}." for i in range(first, last)]


def test_a_streamed_limit_reads_no_further(hub_folder):
    assert len(texts(path=str(hub_folder), format="hub", name="de-en", split="train", limit=7)) == 7


def test_split_syntax():
    assert parse_split("train[10%:-5]") == ("train", "10%", "-5")
    assert slice_bounds("10%", "-5", lambda: 100) == (10, 95)
    with pytest.raises(DataError, match=r"split 'train\[a\]'"):
        parse_split("train[a]")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"split": "dev"}, "dev"), ({"name": "fr-en"}, "fr-en"), ({"split": "train[x]"}, r"train\[x\]")],
)
@pytest.mark.parametrize("kind", ["hub", "auto"])
def test_wrong_names_are_one_line(hub_folder, kind, options, message):
    config = SourceConfig(**{"path": str(hub_folder), "format": kind, "name": "de-en", **options})
    with pytest.raises(DataError, match=message) as caught:
        read_corpus(config, "de", "en")
    assert "\n" not in str(caught.value)


def test_without_a_network_a_missing_data_set_is_named_at_once(no_network):
    with pytest.raises(DataError, match=r"data set wmt/wmt16 is not on disk, and .* is not reachable"):
        texts(path="wmt/wmt16", name="de-en", split="train[:1%]")


def test_without_a_network_a_missing_model_is_named_at_once(no_network, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"model google/flan-t5-small is not on disk, .* or use mini"):
        hub.fetch_model("google/flan-t5-small")


def test_offline_mode_is_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids the network"):
        hub.require_network("model x", ModelError)


@pytest.mark.parametrize("kind", ["hub", "auto"])
def test_the_settings_of_datasets_are_as_before(hub_folder, kind):
    datasets.logging.set_verbosity_info()
    datasets.enable_progress_bars()
    records = read(SourceConfig(path=str(hub_folder), format=kind, name="de-en", split="train"), "de", "en")
    next(records)
    assert not datasets.are_progress_bars_disabled()
    assert datasets.logging.get_verbosity() == datasets.logging.INFO
    with pytest.raises(DataError, match="dev"):
        texts(path=str(hub_folder), format=kind, name="de-en", split="dev")
    assert datasets.logging.get_verbosity() == datasets.logging.INFO
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_warning()
    assert len(texts(path=str(hub_folder), format=kind, name="de-en", split="test")) == 10
    assert datasets.are_progress_bars_disabled()
