import dataclasses
import math

import pytest
import torch

from translora.config import LoraConfig
from translora.data.splits import read_splits
from translora.errors import CanaryError
from translora.models.load import load
from translora.models.lora import attach
from translora.training import canary


@pytest.fixture
def pairs(tiny_config):
    return read_splits(tiny_config).train


@pytest.fixture
def adapted(tiny_config):
    translator = load(tiny_config)
    translator.model = attach(translator.model, LoraConfig(rank=2), "tiny", seed=1)
    return translator


def check(translator, pairs, config):
    return canary.check(translator, pairs, config.method, config.init, config.data.max_tokens, config.decoding.beams)


def test_a_sound_model_passes_and_is_left_as_it_was(adapted, pairs, tiny_config):
    before = {name: p.clone() for name, p in adapted.model.named_parameters()}
    loss = check(adapted, pairs, tiny_config)
    assert loss == pytest.approx(math.log(len(adapted.tokenizer)), abs=1.5)
    for name, parameter in adapted.model.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])


def broken(translator, pairs, config, message):
    with pytest.raises(CanaryError, match=message) as caught:
        check(translator, pairs, config)
    assert "\n" not in str(caught.value)


def test_a_model_without_an_adapter(tiny_config, pairs):
    translator = load(tiny_config)
    translator.model.requires_grad_(False)
    broken(translator, pairs, tiny_config, "nothing is trained: no adapter")


def test_an_adapter_that_no_gradient_reaches(adapted, pairs, tiny_config):
    for module in adapted.model.modules():
        if hasattr(module, "lora_A"):
            module.scaling["default"] = 0.0
            break
    broken(adapted, pairs, tiny_config, "no gradient reaches 1 of 12 adapters")


def test_a_frozen_weight_that_is_trained(adapted, pairs, tiny_config):
    weight = adapted.model.get_base_model().encoder.final_layer_norm.weight
    weight.requires_grad_(True)
    weight.register_post_accumulate_grad_hook(lambda parameter: parameter.requires_grad_(False))
    broken(adapted, pairs, tiny_config, "the frozen weight .*encoder.final_layer_norm.weight gets a gradient")


def test_a_head_scaled_against_its_rule(adapted, pairs, tiny_config):
    adapted.model.get_base_model().lm_head.weight.data.mul_(32)
    broken(adapted, pairs, tiny_config, "the head is tied or scaled")


def test_a_fresh_model_far_from_guessing(adapted, pairs, tiny_config):
    adapted.model.get_base_model().lm_head.weight.data.mul_(4)
    fresh = dataclasses.replace(tiny_config, init="random")
    broken(adapted, pairs, fresh, "the loss of a fresh model")


def test_a_loss_that_is_not_finite(adapted, pairs, tiny_config):
    adapted.model.get_base_model().lm_head.weight.data[5] = math.nan
    broken(adapted, pairs, tiny_config, "the loss is nan")


def test_a_prompt_that_the_vocabulary_does_not_know(adapted, pairs, tiny_config):
    adapted.prompt = "<unk> "
    broken(adapted, pairs, tiny_config, "does not know the prompt")


def test_an_embedding_smaller_than_the_vocabulary(adapted, pairs, tiny_config):
    adapted.model.resize_token_embeddings(100)
    broken(adapted, pairs, tiny_config, "they do not belong together")
