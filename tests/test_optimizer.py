import pytest
import torch

from translora.config import LoraConfig, RateFactorsConfig, TrainingConfig
from translora.models.load import load
from translora.models.lora import attach
from translora.training.optimizer import build_optimizer, rate_at, set_rate


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]), ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
     ("constant", [0.5, 1, 1, 1, 1, 1])],
)  # fmt: skip
def test_schedules(schedule, rates):
    config = TrainingConfig(learning_rate=1.0, warmup_steps=2, schedule=schedule)
    assert [rate_at(step, 6, config) for step in range(6)] == pytest.approx(rates, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "adamw8bit", "paged_adamw", "paged_adamw8bit"])
@pytest.mark.parametrize("scale", [False, True])
def test_optimisers_go_downhill(optimizer, scale):
    torch.manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(4, 4)), torch.nn.Parameter(torch.randn(4))]
    config = TrainingConfig(optimizer=optimizer, learning_rate=0.1, scale_parameter=scale)
    steps = build_optimizer(torch.nn.ParameterList(weights), config)

    def loss():
        return sum((w - 1).pow(2).sum() for w in weights)

    first = loss().item()
    for _ in range(30):
        set_rate(steps, 0.1, scale)
        steps.zero_grad()
        loss().backward()
        steps.step()
    assert loss().item() < first / 4


def test_scaled_rates_follow_each_tensors_size():
    big, small, zero = (torch.nn.Parameter(torch.full((3,), value)) for value in (2.0, 0.5, 0.0))
    optimizer = build_optimizer(torch.nn.ParameterList([big, small, zero]), TrainingConfig(scale_parameter=True))
    set_rate(optimizer, 0.1, scale_parameter=True)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.05, 0.0001])


def test_lora_plus_gives_the_factors_that_begin_as_zero_a_rate_of_their_own(tiny_config):
    """Of linear layers, of embeddings and of the head, whatever PEFT calls them."""
    lora = LoraConfig(rank=2, targets="q,embeddings", b_rate=16.0)
    translator = load(tiny_config)
    model = attach(translator.model, lora, "tiny", seed=1)
    optimizer = build_optimizer(model, TrainingConfig(), b_rate=lora.b_rate)
    set_rate(optimizer, 0.1, scale_parameter=False)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert len(rates) == len(trained) == 2 * (6 + 2 + 1)
    for name, parameter in trained.items():
        assert rates[id(parameter)] == pytest.approx(0.1 if parameter.any() else 1.6), name
    assert sum("lora_embedding_A" in name for name in trained) == 2


def test_each_kind_of_tensor_has_its_own_rate(tiny_config):
    """Adapters of a kind, the model's own tensors of a kind, and those trained beside an adapter."""
    factors = RateFactorsConfig(attention=2.0, feed_forward=3.0, embeddings=5.0, norms=1.5, position_bias=7.0)
    wanted = [("layer_norm", 1.5), ("relative_attention_bias", 7.0), ("embed_tokens", 5.0), ("shared", 5.0)]
    wanted += [("lm_head", 5.0), ("DenseReluDense", 3.0), ("Attention", 2.0)]
    lora = LoraConfig(rank=2, targets="q,wo,embeddings", also_train=("norms", "position-bias"))
    for adapt in (False, True):
        model = load(tiny_config).model
        model = attach(model, lora, "tiny", seed=1) if adapt else model.requires_grad_(True)
        for scale in (False, True):
            optimizer = build_optimizer(model, TrainingConfig(rate_factors=factors, scale_parameter=scale))
            factor = {id(p): group["factor"] for group in optimizer.param_groups for p in group["params"]}
            trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
            assert len(factor) == len(trained)
            found = {name: next(factor for part, factor in wanted if part in name) for name in trained}
            assert {name: factor[id(p)] for name, p in trained.items()} == found
            assert set(found.values()) == {1.5, 2.0, 3.0, 5.0, 7.0}
