"""Pairs that are given in Python."""

import dataclasses
import logging
import random

import datasets
import numpy as np
import pandas as pd
import pytest
import torch

import translora
from translora.data.given import given_corpus
from translora.errors import ConfigError, DataError

PAIRS = [("Guten Morgen!", "Good morning!"), ("Wo ist der Bahnhof?", "Where is the station?")]
RECORDS = [{"de": source, "en": target, "id": i} for i, (source, target) in enumerate(PAIRS)]
NESTED = [{"translation": record} for record in RECORDS]


@pytest.mark.parametrize(
    "pairs",
    [
        PAIRS,
        [list(pair) for pair in PAIRS],
        iter(PAIRS),
        RECORDS,
        NESTED,
        pd.DataFrame(RECORDS),
        pd.DataFrame(RECORDS, index=[7, 7]),
        datasets.Dataset.from_list(RECORDS),
        datasets.Dataset.from_list(NESTED),
        given_corpus(PAIRS, "de", "en", "train"),
    ],
    ids=lambda pairs: type(pairs).__name__,
)
def test_whatever_holds_pairs_is_a_corpus(pairs):
    corpus = given_corpus(pairs, "de", "en", "train")
    assert list(zip(corpus.sources, corpus.targets, strict=True)) == PAIRS
    assert corpus[1].origin == "train:2"


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("corpus", "train: str 'corpus' holds no pairs"),
        (3, "train: int '3' holds no pairs"),
        ([], "train: no sentence pairs in it"),
        (["ab"], "train:1: str 'ab' is no pair"),
        ([*PAIRS, ("a", "b", "c")], "train:3: tuple .* is no pair"),
        ([*PAIRS, ("a", None)], "train:3: the target is NoneType, not text"),
        (pd.DataFrame({"de": ["a", None], "en": ["b", "c"]}), "train:2: the source is"),
        (pd.DataFrame({"src": ["a"], "en": ["b"]}), "train:1: no column de; it has src, en: name the two columns"),
        (datasets.Dataset.from_dict({"text": ["a"]}), "train:1: no column de and en; it has text"),
        (datasets.DatasetDict({"train": datasets.Dataset.from_list(RECORDS)}), "a mapping of train: give one of them"),
        ({"de": ["a"], "en": ["b"]}, "a mapping of de, en"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_what_is_no_pairs_is_named(pairs, message):
    with pytest.raises(DataError, match=message):
        given_corpus(pairs, "de", "en", "train")


@pytest.fixture
def pairs(corpus_file):
    return [tuple(line.split("\t")) for line in corpus_file.read_text(encoding="utf-8").splitlines()]


def test_given_pairs_train_as_those_of_a_file_do(tiny_config, pairs, corpus_file, tmp_path):
    from_file = translora.train(tiny_config)
    given = translora.train(dataclasses.replace(tiny_config, output=str(tmp_path / "given")), train=pairs)
    path = translora.train(dataclasses.replace(tiny_config, output=str(tmp_path / "path")), train=corpus_file)
    weights = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (from_file, given, path)]
    assert weights[0] == weights[1] == weights[2]
    assert given.summary.scores_after == from_file.summary.scores_after


def test_other_pairs_are_another_recipe(tiny_config, pairs):
    run = translora.train(tiny_config, train=pairs, test=pairs[:5], validation=pairs[5:9])
    assert (run.summary.test_pairs, run.summary.validation_pairs) == (5, 4)
    assert translora.train(tiny_config, train=pairs, test=pairs[:5], validation=pairs[5:9]).folder == run.folder
    with pytest.raises(ConfigError, match=r"holds a run of another recipe \(data.test.path: 'python:"):
        translora.train(tiny_config, train=pairs, test=pairs[:6], validation=pairs[5:9])
    run.summary_file.unlink()
    with pytest.raises(DataError, match=r"data.test: these pairs were given in Python: call translora.train again"):
        translora.train(run.config)


def test_a_run_says_nothing_where_it_shall_not_and_leaves_the_random_state(tiny_config, pairs, capfd):
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    run = translora.train(tiny_config, train=pairs, quiet=True)
    run.translator().translate("Guten Morgen!", max_tokens=400)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "model:" not in captured.err


def test_notices_go_through_logging_and_never_to_standard_output(tiny_config, capfd, caplog):
    with caplog.at_level(logging.INFO, logger="translora"):
        translora.train(tiny_config)
    assert any(record.getMessage().startswith("canary: passed") for record in caplog.records)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "canary: passed" in captured.err


def test_a_configuration_built_in_python_is_checked(tiny_config):
    with pytest.raises(ConfigError, match="training.label_smoothing: must be below 1"):
        dataclasses.replace(tiny_config.training, label_smoothing=1.5)
    with pytest.raises(ConfigError, match="source and target are both 'en'"):
        dataclasses.replace(tiny_config, source="en")


def test_a_recipe_may_be_named(tmp_path):
    with pytest.raises(ConfigError, match="no such recipe"):
        translora.train("gone")
    (tmp_path / "recipe.yaml").write_text("model: mini\nsource: de\ntarget: de\n")
    with pytest.raises(ConfigError, match="source and target are both 'de'"):
        translora.train(tmp_path / "recipe.yaml")
    with pytest.raises(ConfigError, match="no such recipe"):
        translora.compare("gone")
