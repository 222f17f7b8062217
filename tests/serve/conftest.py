"""Servers that the tests here share."""

from pathlib import Path

import pytest
from servers import LINES, make_adapter, serving

from translora import Translator, train
from translora.config import Config, DataConfig, DecodingConfig, LoraConfig, SourceConfig, TrainingConfig
from translora.serve.limits import Limits


@pytest.fixture(scope="session")
def adapters(tiny_model, tmp_path_factory) -> Path:
    """A folder with the adapters a0 to a7."""
    root = tmp_path_factory.mktemp("adapters")
    for number in range(8):
        make_adapter(root / f"a{number}", tiny_model, number)
    return root


@pytest.fixture(scope="session")
def server(adapters):
    """One server of all eight adapters, to which adapters can be added."""
    with serving([adapters / f"a{i}" for i in range(8)], adapters_root=adapters) as running:
        yield running


@pytest.fixture(scope="session")
def mini_server():
    """A server of the embedded model."""
    with serving(["mini"], limits=Limits(characters=250, texts=5, beams=4, body_bytes=5000)) as running:
        yield running


@pytest.fixture(scope="session")
def run_folder(tiny_model, corpus_file, tmp_path_factory) -> Path:
    """A run of one step, named law, with its report."""
    source = SourceConfig(path=str(corpus_file), limit=60)
    config = Config(
        model=str(tiny_model), data=DataConfig(train=source, validation_size=5, test_size=5), lora=LoraConfig(rank=2),
        training=TrainingConfig(max_steps=1), decoding=DecodingConfig(max_tokens=4),
        output=str(tmp_path_factory.mktemp("runs") / "law"),
    )  # fmt: skip
    return train(config, quiet=True).folder


@pytest.fixture(scope="session")
def expected():
    """What the embedded model says of each line."""
    return Translator.from_pretrained("mini").translate(LINES)
