"""The fast path against transformers and PEFT: the same loss and the same gradients, for every architecture."""

import numpy as np
import pytest
import torch
from transformers import (
    MarianConfig,
    MarianMTModel,
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)
from transformers.models.mt5.modeling_mt5 import MT5LayerNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.models.umt5.modeling_umt5 import UMT5LayerNorm

from translora.config import LoraConfig, RanksConfig
from translora.data.tokens import IGNORED, Batch
from translora.models.load import checkpoint_activations, give_own_head
from translora.models.lora import attach, freeze
from translora.models.loss import batch_loss
from translora.models.t5.forward import why_not

SHAPE = {
    "vocab_size": 97, "d_model": 24, "d_kv": 8, "d_ff": 40, "num_heads": 4, "num_layers": 2,
    "decoder_start_token_id": 0, "dropout_rate": 0.0,
}  # fmt: skip
GATED = {"feed_forward_proj": "gated-gelu"}
ARCHITECTURES = {
    "t5": (T5ForConditionalGeneration, T5Config, {}),
    "flan-t5": (T5ForConditionalGeneration, T5Config, GATED),
    "byt5": (T5ForConditionalGeneration, T5Config, {**GATED, "num_layers": 3, "num_decoder_layers": 1}),
    "madlad": (T5ForConditionalGeneration, T5Config, {**GATED, "pad_token_id": 1, "eos_token_id": 2}),
    "mt5": (MT5ForConditionalGeneration, MT5Config, GATED),
    "umt5": (UMT5ForConditionalGeneration, UMT5Config, GATED),
}
TOLERANCE = 1e-5
"""How far gradients may lie apart, relative to their size: a rounding of float32 (6e-8) in each norm, carried through
the layers. In float64 too, for transformers takes the mean square of a norm in float32 whatever the dtype."""
EXACT = 1e-9
"""How far they may in float64, where the norm of transformers is in float64 too."""


@pytest.fixture
def wide_norms(monkeypatch):
    """Take transformers' norms in the dtype of their input, as ours are.

    With them float64 leaves no room for a mistake that is small; without them the comparison is with transformers as it
    is. The tests of loss and gradients do both.
    """

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    for norm in (T5LayerNorm, MT5LayerNorm, UMT5LayerNorm):
        monkeypatch.setattr(norm, "forward", forward)


def build(architecture, targets="q,v", **lora):
    """A tiny model of random weights with an adapter that is no longer zero; without targets it is trained whole."""
    model_class, config_class, options = ARCHITECTURES[architecture]
    torch.manual_seed(0)
    model = model_class(config_class(**{**SHAPE, **options}))
    if architecture != "t5":
        give_own_head(model)
    if targets:
        model = attach(model, LoraConfig(rank=3, targets=targets, **lora), "tiny", seed=1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "lora_embedding" in name:
            parameter.data.normal_(std=0.3)
    return model.train()


def example(pairs=5):
    """Pairs of uneven lengths, the last ones padded most."""
    random = torch.Generator().manual_seed(1)
    source, labels = (torch.randint(3, 97, (5, length), generator=random) for length in (11, 9))
    lengths = np.array([(11, 9), (4, 3), (7, 9), (1, 1), (9, 2)])
    for i, (source_length, target_length) in enumerate(lengths):
        source[i, source_length:] = 0
        labels[i, target_length:] = IGNORED
    return part(Batch(source, labels, lengths[:, 0], lengths[:, 1]), slice(pairs))


def part(batch, rows):
    return Batch(batch.input_ids[rows], batch.labels[rows], batch.source_lengths[rows], batch.target_lengths[rows])


def measure(model, batch, smoothing, dtype, path):
    loss = batch_loss(model, batch, smoothing, dtype, path)
    trained = [p for p in model.parameters() if p.requires_grad]
    return [loss.objective, loss.cross_entropy, *torch.autograd.grad(loss.objective, trained)]


def assert_same(ours, theirs, tolerance):
    for i, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        assert torch.linalg.vector_norm(our - their) <= tolerance * torch.linalg.vector_norm(their), f"tensor {i}"


def assert_agrees(architecture, targets, dtype, tolerance):
    """With and without gradient checkpointing and label smoothing."""
    for checkpointing in (False, True):
        model = build(architecture, targets).to(dtype)
        if checkpointing:
            checkpoint_activations(model)
        for smoothing in (0.0, 0.1):
            ours = measure(model, example(), smoothing, dtype, path="fast")
            theirs = measure(model, example(), smoothing, dtype, path="own")
            assert_same(ours, theirs, tolerance)


TARGETS = ["q,v", "all-linear", "all-linear,embeddings", ""]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_gradients_are_those_of_transformers_and_peft(architecture, targets, dtype):
    assert_agrees(architecture, targets, dtype, TOLERANCE)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("targets", TARGETS)
def test_loss_and_gradients_are_the_same_to_the_last_digits(wide_norms, architecture, targets):
    assert_agrees(architecture, targets, torch.float64, EXACT)


@pytest.mark.parametrize("keep", ["lora_A", "lora_B", "layer_norm", "k.lora_B"])
def test_what_is_trained_in_part_has_the_same_gradients(wide_norms, keep):
    """Each layer's products must meet its own gradients, also where those of the layer before it are not needed."""
    model = build("flan-t5", "q,k,v,wi_0,wi_1").double()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(keep in name)
    ours, theirs = (measure(model, example(), 0.0, torch.float64, path) for path in ("fast", "own"))
    assert len(ours) > 2
    assert_same(ours, theirs, EXACT)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_micro_batches_are_one(architecture):
    model, whole = build(architecture, "all-linear").double(), example()
    parts = [part(whole, rows) for rows in (slice(0, 2), slice(2, 5))]
    one = measure(model, whole, 0.1, torch.float64, path="fast")
    first, second = (measure(model, half, 0.1, torch.float64, path="fast") for half in parts)
    assert_same([a + b for a, b in zip(first, second, strict=True)], one, EXACT)


def test_without_padding_and_without_gradient(wide_norms):
    model, batch = build("flan-t5").double(), example(1)
    ours, theirs = (measure(model, batch, 0.0, torch.float64, path) for path in ("fast", "own"))
    assert_same(ours, theirs, EXACT)
    with torch.inference_mode():
        model.eval()
        ours, theirs = (batch_loss(model, batch, 0.0, torch.float64, path).cross_entropy for path in ("fast", "own"))
    torch.testing.assert_close(ours, theirs)


def test_long_sentences_take_the_tiled_attention(wide_norms, monkeypatch):
    monkeypatch.setattr("translora.models.t5.attention._LONGEST_MATERIALISED", 4)
    model = build("umt5", "all-linear").double()
    ours = measure(model, example(), 0.0, torch.float64, path="fast")
    assert_same(ours, measure(model, example(), 0.0, torch.float64, path="own"), EXACT)


@pytest.mark.parametrize("options", [{"dora": True}, {"rslora": True}, {"init": "pissa"}], ids=lambda o: next(iter(o)))
def test_every_kind_of_adapter_has_the_same_gradients(wide_norms, options):
    for targets in ("q,wo", "v,lm_head"):
        if targets == "q,wo" or options != {"init": "pissa"}:
            model = build("flan-t5", targets, **options).double()
            ours, theirs = (measure(model, example(), 0.0, torch.float64, path) for path in ("fast", "own"))
            assert_same(ours, theirs, EXACT)


@pytest.mark.parametrize("architecture", ["t5", "flan-t5", "umt5"])
def test_tied_adapters_and_what_is_trained_whole_have_the_same_gradients(wide_norms, architecture):
    options = {"ranks": RanksConfig(embeddings=2), "scale_by_weight": True, "also_train": ("norms", "position-bias")}
    model = build(architecture, "all-linear,embeddings", tie_embeddings=True, **options).double()
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert sum("lora_embedding" in name for name in names) == 2
    assert sum("lm_head" in name for name in names) == (0 if architecture == "t5" else 2)
    assert any("layer_norm.modules_to_save" in name for name in names)
    for checkpointing in (False, True):
        if checkpointing:
            checkpoint_activations(model)
        ours, theirs = (measure(model, example(), 0.1, torch.float64, path) for path in ("fast", "own"))
        assert_same(ours, theirs, EXACT)


@pytest.mark.parametrize("parts", [["encoder"], ["decoder"], ["embeddings"], ["encoder", "decoder"]])
def test_frozen_parts_leave_the_other_gradients_as_they_are(wide_norms, parts):
    model = build("umt5", targets="").double()
    freeze(model, parts)
    assert_same(*(measure(model, example(), 0.0, torch.float64, path) for path in ("fast", "own")), EXACT)


def test_an_adapter_that_is_off_does_nothing():
    model = build("flan-t5").double().eval()
    with torch.no_grad(), model.disable_adapter():
        ours, theirs = (batch_loss(model, example(), 0.0, torch.float64, path).objective for path in ("fast", "own"))
    torch.testing.assert_close(ours, theirs)
    assert not torch.isclose(ours, batch_loss(model, example(), 0.0, torch.float64, "fast").objective)


def test_dropout_has_the_size_that_transformers_gives_it():
    """Random numbers differ, so only means can be compared: over many draws the two paths lose equally much."""
    model = build("flan-t5", dropout=0.2).double()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
        elif hasattr(module, "key_value_proj_dim"):
            module.dropout = 0.2
    torch.manual_seed(5)
    with torch.no_grad():
        draws = {
            path: torch.stack([batch_loss(model, example(), 0.0, torch.float64, path).objective for _ in range(150)])
            for path in ("fast", "own")
        }
    error = sum(float(d.var()) / len(d) for d in draws.values()) ** 0.5
    assert float(draws["fast"].std()) == pytest.approx(float(draws["own"].std()), rel=0.4)
    assert abs(float(draws["fast"].mean() - draws["own"].mean())) < 4 * error


def test_bfloat16_products_stay_near():
    model = build("flan-t5", "all-linear")
    exact = measure(model, example(), 0.0, torch.float32, path="fast")
    rough = measure(model, example(), 0.0, torch.bfloat16, path="fast")
    assert rough[0].item() == pytest.approx(exact[0].item(), rel=0.01)
    assert all(t.dtype == torch.float32 for t in rough[2:])
    for our, their in zip(rough[2:], exact[2:], strict=True):
        assert torch.cosine_similarity(our.flatten(), their.flatten(), dim=0) > 0.95


def test_who_may_not_take_it():
    assert why_not(build("mt5")) == ""
    shape = MarianConfig(
        vocab_size=60, d_model=16, encoder_layers=1, decoder_layers=1, pad_token_id=1, decoder_start_token_id=1
    )
    assert why_not(MarianMTModel(shape)) == "the architecture is marian, not T5"
