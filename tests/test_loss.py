import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import T5Config, T5ForConditionalGeneration

from translora.config import LoraConfig
from translora.data.tokens import IGNORED, Batch
from translora.models import loss as module
from translora.models.lora import attach
from translora.models.loss import batch_loss, head_loss, shift_right


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_heads=2, num_layers=1, decoder_start_token_id=0, dropout_rate=0
    )
    return T5ForConditionalGeneration(config).double()


def example(pairs):
    torch.manual_seed(1)
    source, labels = torch.randint(2, 50, (pairs, 6)), torch.randint(2, 50, (pairs, 5))
    labels[0, 3:] = IGNORED
    return Batch(source, labels, np.array([4, *[6] * (pairs - 1)]), np.array([3, *[5] * (pairs - 1)]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradient_are_torchs_own(model, smoothing):
    batch = example(3)
    loss = batch_loss(model, batch, smoothing)
    ours = torch.autograd.grad(loss.objective, list(model.parameters()))
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).logits
    flat = (logits.flatten(0, 1), batch.labels.flatten())
    expected = cross_entropy(*flat, reduction="sum", label_smoothing=smoothing)
    theirs = torch.autograd.grad(expected, list(model.parameters()))
    torch.testing.assert_close(loss.objective, expected)
    torch.testing.assert_close(loss.cross_entropy, cross_entropy(*flat, reduction="sum").detach())
    torch.testing.assert_close(ours, theirs)


def test_padding_does_not_count(model):
    whole = example(3)
    lengths = whole.source_lengths[:1], whole.target_lengths[:1]
    alone = Batch(whole.input_ids[:1, :4], whole.labels[:1, :3], *lengths)
    padded = Batch(whole.input_ids[:1], whole.labels[:1], *lengths)
    torch.testing.assert_close(batch_loss(model, alone).objective, batch_loss(model, padded).objective)


def test_shift_right_starts_with_the_start_token_and_hides_padding(model):
    labels = torch.tensor([[5, 6, 1, IGNORED], [7, 1, IGNORED, IGNORED]])
    assert shift_right(labels, model.config).tolist() == [[0, 5, 6, 1], [0, 7, 1, 0]]
    assert labels[0, 3] == IGNORED


def head_gradients(model, states, labels, dtype):
    head = model.to(dtype).get_output_embeddings()
    trained = [parameter for name, parameter in head.named_parameters() if "embed" not in name]
    for parameter in trained:
        parameter.requires_grad_(True)
    return torch.autograd.grad(head_loss(states.to(dtype), head, labels).objective, trained)


def test_gradients_of_many_blocks_add_up_in_float32(model, monkeypatch):
    """In bfloat16 a sum of hundreds of terms stops growing: its steps become larger than what is added."""
    adapted = attach(model, LoraConfig(rank=2, targets="lm_head"), "tiny", seed=1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    torch.manual_seed(2)
    labels = torch.randint(2, 50, (4096,))
    states = torch.randn(4096, 16).bfloat16() + 1  # of a mean, so that most terms of a sum have one sign
    adapted.bfloat16()
    exact = head_gradients(adapted, states, labels, torch.float64)
    monkeypatch.setattr(module, "_LEAST_BLOCK", 8)
    monkeypatch.setattr(module, "_BLOCK_LOGITS", {"cpu": 1})
    ours = head_gradients(adapted, states, labels, torch.bfloat16)
    assert len(ours) == 3
    for our, wanted in zip(ours, exact, strict=True):
        assert torch.linalg.vector_norm(our.double() - wanted) < 0.01 * torch.linalg.vector_norm(wanted)
