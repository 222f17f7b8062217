import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import T5Config, T5ForConditionalGeneration

from translora.data.tokens import IGNORED, Batch
from translora.models.loss import batch_loss, shift_right


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
