"""The lesson's recipes on a stand-in for the hub: wmt16's form of data set, flan-t5-small's form of checkpoint."""

import datasets
import pytest

from translora.cli import main
from translora.config import SourceConfig
from translora.data.readers.sources import read
from translora.runs.folder import Run

CARD = """---
configs:
- config_name: de-en
  data_files: [{split: train, path: de-en/train.parquet}]
dataset_info:
- config_name: de-en
  features: [{name: translation, dtype: {translation: {languages: [de, en]}}}]
  splits: [{name: train, num_examples: 20000}]
---
"""


@pytest.fixture(scope="module")
def wmt_folder(tmp_path_factory):
    """20,000 records, of which the first 1% are 200."""
    folder = tmp_path_factory.mktemp("hub") / "wmt16"
    pairs = read(SourceConfig(path="mini", limit=20_000), "de", "en")
    rows = [{"translation": {"de": pair.source, "en": pair.target}} for pair in pairs]
    (folder / "de-en").mkdir(parents=True)
    datasets.Dataset.from_list(rows).to_parquet(folder / "de-en" / "train.parquet")
    (folder / "README.md").write_text(CARD)
    return folder


@pytest.mark.parametrize("recipe", ["lesson", "lesson-base"])
@pytest.mark.parametrize("kind", ["hub", "auto"])
def test_the_lesson_runs_on_a_stand_in(recipe, kind, wmt_folder, tiny_model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    flags = [
        f"--model={tiny_model}", f"--data.train.path={wmt_folder}", f"--data.train.format={kind}",
        "--data.validation_size=20", "--data.test_size=20", "--training.epochs=2", f"--output={tmp_path / 'run'}",
        "--decoding.max_tokens=8",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as caught:
        main(["train", recipe, *flags])
    assert caught.value.code == 0
    summary = Run(tmp_path / "run").summary
    assert summary.train_pairs + sum(dropped.count for dropped in summary.dropped.values()) == 200 - 40
    assert (summary.validation_pairs, summary.test_pairs) == (20, 20)
    assert [row.epoch for row in summary.table] == [1, 2]
    assert summary.trainable_parameters == 4 * 2 * (32 + 32) * 6
    assert "training loss" in capsys.readouterr().out
