"""One small job that is started again and again."""

from __future__ import annotations

import pytest

from translora.config import Config, DataConfig, DecodingConfig, LoraConfig, SourceConfig, TrainingConfig


@pytest.fixture(scope="session")
def config(tiny_model, corpus_file):
    """16 steps in accumulated micro-batches with dropout, a validation every 6 and a checkpoint every 3."""
    return Config(
        model=str(tiny_model),
        data=DataConfig(
            train=SourceConfig(path=str(corpus_file), limit=100), validation_size=6, test_size=6
        ),
        lora=LoraConfig(rank=4, dropout=0.1),
        training=TrainingConfig(
            max_steps=16, step_pairs=12, batch_tokens=450, learning_rate=1e-2, evaluate_every=6, save_every=3,
            dropout=0.1,
        ),
        decoding=DecodingConfig(max_tokens=6),
        output="set by each test",
    )  # fmt: skip
