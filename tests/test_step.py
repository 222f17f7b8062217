import dataclasses

import numpy as np
import pytest
import torch

from translora.data.splits import read_splits
from translora.data.tokens import tokenise
from translora.errors import NotFiniteError, OutOfMemoryError
from translora.models.budget import Budget
from translora.models.load import load
from translora.pipeline import make_trainable
from translora.training.checkpoint import trained_weights
from translora.training.optimizer import build_optimizer
from translora.training.step import Stepper

PAIRS = np.arange(12)


def stepper(config, budget=10_000):
    """A stepper without dropout, whose gradients can be compared."""
    training = dataclasses.replace(config.training, dropout=0.0, label_smoothing=0.1)
    config = dataclasses.replace(config, training=training, lora=dataclasses.replace(config.lora, dropout=0.0))
    translator = load(config)
    make_trainable(translator, config)
    examples = tokenise(read_splits(config).train, translator.tokenizer, "<2en> ", 64)
    return Stepper(
        translator, examples, build_optimizer(translator.model, training), training, config.seed, Budget(budget)
    )


def assert_close(left, right):
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=1e-4, atol=1e-5)


def test_how_a_step_is_cut_into_micro_batches_does_not_change_it(tiny_config):
    whole, cut = stepper(tiny_config), stepper(tiny_config, budget=100)
    one, other = whole.step(0, PAIRS), cut.step(0, PAIRS)
    assert one[1] == other[1]
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    assert_close(gradients(whole), gradients(cut))
    assert_close(trained_weights(whole.translator.model), trained_weights(cut.translator.model))


def gradients(stepper):
    """Of the last step, as they were clipped."""
    parameters = stepper.translator.model.named_parameters()
    return {name: p.grad for name, p in parameters if p.requires_grad}


def lack_memory_above(monkeypatch, stepper, tokens, where):
    """Raise what an allocator raises, in the forward or the backward pass of a batch of more than `tokens` tokens."""
    loss = stepper.translator.loss

    def limited(batch, smoothing):
        result = loss(batch, smoothing)
        if batch.input_ids.numel() + batch.labels.numel() > tokens:
            if where == "forward":
                raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")
            result.objective.register_hook(lack_memory)
        return result

    def lack_memory(gradient):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")

    monkeypatch.setattr(stepper.translator, "loss", limited)


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("parts", [2, 4, 12])
def test_a_step_that_runs_out_of_memory_is_the_same_step_in_smaller_parts(
    monkeypatch, tiny_config, parts, where, capsys
):
    whole, poor = stepper(tiny_config), stepper(tiny_config)
    batch = whole.examples.batch(PAIRS)
    size = batch.input_ids.numel() + batch.labels.numel()
    tokens = size // parts
    lack_memory_above(monkeypatch, poor, tokens, where)
    poor.budget = Budget(size)
    one, other = whole.step(0, PAIRS), poor.step(0, PAIRS)
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    assert_close(gradients(whole), gradients(poor))
    assert_close(trained_weights(whole.translator.model), trained_weights(poor.translator.model))
    assert poor.budget.tokens <= tokens
    assert f"out of memory: goes on with {size // 2:,} padded tokens at a time" in capsys.readouterr().err


def test_a_single_pair_that_does_not_fit_ends_the_run(monkeypatch, tiny_config):
    poor = stepper(tiny_config)
    before = trained_weights(poor.translator.model)
    before = {name: weight.clone() for name, weight in before.items()}
    lack_memory_above(monkeypatch, poor, 0, "forward")
    with pytest.raises(OutOfMemoryError, match="out of memory even with one pair at a time"):
        poor.step(0, PAIRS)
    assert_close(before, trained_weights(poor.translator.model))


def test_other_errors_stay_what_they_are(monkeypatch, tiny_config):
    broken = stepper(tiny_config)
    monkeypatch.setattr(broken.translator, "loss", lambda *_: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        broken.step(0, PAIRS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_changes_no_weight(tiny_config, value):
    poisoned = stepper(tiny_config)
    first = next(p for p in poisoned.translator.model.parameters() if p.requires_grad)
    first.register_hook(lambda gradient: gradient * value)
    before = {name: weight.clone() for name, weight in trained_weights(poisoned.translator.model).items()}
    with pytest.raises(
        NotFiniteError, match=r"gradient's norm is (nan|inf) at step 5, on training pairs 1, 2, .*\(12 in all"
    ):
        poisoned.step(4, PAIRS)
    assert_close(before, trained_weights(poisoned.translator.model))
