"""Small real models and corpora that the tests share; nothing here is a stand-in for translora's own parts."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models here are so small that threads only wait
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # else bitsandbytes, where it is, has each process load a compiler


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through all that imports made, again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory):
    """Keep every cache of a test run in a folder of its own."""
    os.environ["TRANSLORA_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A T5 1.1 shaped checkpoint of random weights with the embedded model's tokenizer; its head is its own."""
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    from translora import mini
    from translora.models.load import give_own_head

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(mini.MODEL)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_heads=2, num_layers=2, num_decoder_layers=2,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0, dropout_rate=0.1, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(config)
    give_own_head(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory) -> Path:
    """The first 300 pairs of the embedded corpus as a TSV file."""
    from translora.config import SourceConfig
    from translora.data.readers.sources import read
    from translora.io.files import write_lines

    path = tmp_path_factory.mktemp("corpus") / "corpus.tsv"
    pairs = read(SourceConfig(path="mini", limit=300), "de", "en")
    write_lines(path, [f"{pair.source}\t{pair.target}" for pair in pairs])
    return path


@pytest.fixture
def tiny_config(tiny_model, corpus_file, tmp_path):
    """A run of eight short steps on the tiny model."""
    from translora.config import Config, DataConfig, DecodingConfig, LoraConfig, SourceConfig, TrainingConfig

    return Config(
        model=str(tiny_model),
        data=DataConfig(train=SourceConfig(path=str(corpus_file)), validation_size=20, test_size=20),
        lora=LoraConfig(rank=4, dropout=0.1),
        training=TrainingConfig(max_steps=8, batch_tokens=600, learning_rate=1e-2, evaluate_every=4, dropout=0.1),
        decoding=DecodingConfig(max_tokens=8),
        output=str(tmp_path / "run"),
    )
