import dataclasses
import json
import math
import os
import signal
from pathlib import Path

import pytest
import yaml

import translora
from translora import mini
from translora.config import SourceConfig
from translora.data.splits import read_splits
from translora.errors import ConfigError, DataError, InterruptedRunError, NotFiniteError, TrainingError
from translora.models.load import LoadedModel, load
from translora.pipeline import training_examples
from translora.runs.folder import Run
from translora.scoring.metrics import bleu
from translora.training.step import Stepper

SUMMARY = {
    "bleu_before", "bleu_after", "chrf_before", "chrf_after", "signature", "total_parameters", "trainable_parameters",
    "train_pairs", "train_seconds", "pairs_per_second", "peak_memory_bytes", "base_model", "method",
}  # fmt: skip


@pytest.fixture
def run(tiny_config):
    return translora.train(tiny_config)


def lines(run, name):
    return (run.translations / f"{name}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def test_languages_that_mini_lacks_are_refused_before_any_pair_is_read(tiny_config):
    for model in ("mini", str(mini.MODEL)):
        config = dataclasses.replace(tiny_config, model=model, source="fr")
        train = dataclasses.replace(config.data.train, path="nowhere.tsv")
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, train=train))
        with pytest.raises(ConfigError, match="mini translates German to English .*, not fr to en"):
            translora.train(config)


def test_a_run_folder_holds_what_it_should(run, tiny_config, capsys):
    assert run.config == tiny_config
    assert yaml.safe_load(run.config_file.read_text())["lora"]["rank"] == 4
    summary = run.summary
    assert json.loads(run.summary_file.read_text()).keys() >= SUMMARY
    assert summary.trainable_parameters / summary.total_parameters < 0.1
    assert summary.bleu_after == bleu(lines(run, "after"), lines(run, "reference"), "en")
    assert len(lines(run, "source")) == len(lines(run, "before")) == summary.test_pairs == 20
    figures = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [f["step"] for f in figures if "loss" in f] == list(range(1, 9))
    assert [f["step"] for f in figures if "validation_bleu" in f] == [4, 8]
    assert [row.step for row in summary.table] == [4, 8]
    assert {path.name for path in run.adapter.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}


@pytest.mark.parametrize("part", ["", "adapter"])
def test_a_run_and_its_adapter_translate_as_the_run_did(run, tiny_model, part):
    found = translora.Translator.from_pretrained(run.folder / part).translate(lines(run, "source"), protect="off")
    assert all(text.startswith(cut) for text, cut in zip(found, lines(run, "after"), strict=True))  # cut at 8 tokens


def test_full_fine_tuning_leaves_a_whole_model(tiny_config):
    run = translora.train(dataclasses.replace(tiny_config, method="full"))
    assert run.summary.trainable_parameters == run.summary.total_parameters
    source = lines(run, "source")
    assert translora.Translator.from_pretrained(run.folder).translate(source, protect="off") == lines(run, "after")
    from_model = translora.Translator.from_pretrained(run.model).translate(source[:2], protect="off")
    assert all(
        text.startswith(cut) for text, cut in zip(from_model, lines(run, "after"), strict=False)
    )  # cut at 8 tokens


def test_method_none_only_scores(tiny_config):
    run = translora.train(dataclasses.replace(tiny_config, method="none"))
    assert run.summary.bleu_before == run.summary.bleu_after
    assert run.summary.trainable_parameters == 0
    assert run.summary.table == ()


def test_method_none_needs_no_training_pairs(tiny_config, corpus_file):
    data = dataclasses.replace(
        tiny_config.data, train=SourceConfig(), test=SourceConfig(path=str(corpus_file), limit=9)
    )
    run = translora.train(dataclasses.replace(tiny_config, method="none", data=data))
    assert run.summary.test_pairs == 9
    assert run.summary.train_pairs == 0


def test_a_fresh_model_has_no_score_before(tiny_config):
    config = dataclasses.replace(tiny_config, method="full", init="random")
    run = translora.train(config)
    assert run.summary.bleu_before is None
    assert run.summary.bleu_after is not None


def test_an_interrupted_run_is_taken_up_by_the_same_call(tiny_config, monkeypatch):
    real = Stepper.step
    calls = []

    def interrupting(*arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(Stepper, "step", interrupting)
    with pytest.raises(InterruptedRunError):
        translora.train(tiny_config)
    assert not Run(Path(tiny_config.output)).finished
    with pytest.raises(ConfigError, match=r"run of another recipe \(seed: 1 there, 2 here\)"):
        translora.train(dataclasses.replace(tiny_config, seed=2))
    with pytest.raises(ConfigError, match="no trained model yet"):
        translora.Translator.from_pretrained(tiny_config.output).translate(["a"])
    run = translora.train(tiny_config)
    assert len(calls) == 8
    assert run.summary.steps == 8


def test_a_finished_run_is_shown_again_and_overwritten_only_when_asked(capsys, run, tiny_config):
    written = run.summary_file.stat().st_mtime_ns
    first = capsys.readouterr().out
    translora.train(tiny_config)
    assert capsys.readouterr().out == first
    assert run.summary_file.stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match="holds a run of another recipe"):
        translora.train(dataclasses.replace(tiny_config, seed=2))
    again = translora.train(tiny_config, overwrite=True)
    assert run.summary_file.stat().st_mtime_ns > written
    assert again.summary.bleu_after == run.summary.bleu_after


def test_a_folder_that_is_no_run_is_left_alone(tiny_config, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    config = dataclasses.replace(tiny_config, output=str(tmp_path / "thesis"))
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="is no run folder"):
            translora.train(config, overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.txt").exists()


def test_bad_data_leaves_no_run_behind(tiny_config, tmp_path):
    data = dataclasses.replace(tiny_config.data, train=dataclasses.replace(tiny_config.data.train, path="gone.tsv"))
    with pytest.raises(DataError, match=r"gone.tsv"):
        translora.train(dataclasses.replace(tiny_config, data=data))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_names_the_pairs_and_keeps_the_last_checkpoint(tiny_config, monkeypatch):
    real = LoadedModel.loss

    def poisoned(self, *arguments):
        loss = real(self, *arguments)
        if self.model.training and Run(Path(tiny_config.output)).checkpoints.exists():
            return loss._replace(cross_entropy=loss.cross_entropy * math.nan)
        return loss

    monkeypatch.setattr(LoadedModel, "loss", poisoned)
    with pytest.raises(
        TrainingError, match=r"the loss is nan at step 5, on training pairs .*corpus.tsv:\d+, .*: look at these pairs"
    ):
        translora.train(tiny_config)
    run = Run(Path(tiny_config.output))
    assert not run.finished
    monkeypatch.undo()
    assert translora.train(tiny_config).summary.steps == 8
    steps = [json.loads(line)["step"] for line in run.metrics.read_text().splitlines() if '"loss"' in line]
    assert steps == list(range(1, 9))


def both_directions(config, **others):
    return dataclasses.replace(config, data=dataclasses.replace(config.data, both_directions=True), **others)


def test_both_directions_give_each_training_pair_reversed_with_its_own_prompt(tiny_config, capsys):
    config = both_directions(tiny_config)
    translator, splits = load(config), read_splits(config)
    examples = training_examples(translator, splits.train, config)
    tokenizer, count = translator.tokenizer, len(splits.train)
    assert len(examples) == 2 * count
    assert splits.hashes() == read_splits(tiny_config).hashes()
    for i in (0, count - 1):
        pair = splits.train[i]
        assert examples.source_ids(i) == tokenizer("<2en> " + pair.source)["input_ids"]
        assert examples.target_ids(i) == tokenizer(pair.target)["input_ids"]
        assert examples.source_ids(count + i) == tokenizer("<2de> " + pair.target)["input_ids"]
        assert examples.target_ids(count + i) == tokenizer(pair.source)["input_ids"]
    run = translora.train(config)
    assert run.summary.train_pairs == count
    assert run.summary.steps == 8
    assert "20 test pairs, the training pairs in both directions" in capsys.readouterr().err
    assert "also given from target to source" in (run.adapter / "README.md").read_text()


def test_a_loss_that_is_not_finite_in_a_reversed_pair_names_that_pair(tiny_config, monkeypatch):
    config = both_directions(tiny_config)
    count = len(read_splits(config).train)

    def fail(self, step, pairs):
        raise NotFiniteError("the loss is not finite", "lower the rate", step, [count + 3])

    monkeypatch.setattr(Stepper, "step", fail)
    with pytest.raises(NotFiniteError) as caught:
        translora.train(config)
    assert caught.value.names == [read_splits(config).train[3].origin]
