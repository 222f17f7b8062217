import dataclasses
import math

import pytest
import torch
import transformers

import translora
from translora import mini
from translora.config import LoraConfig
from translora.data.pairs import Corpus
from translora.data.readers.sources import read
from translora.data.splits import read_splits
from translora.errors import CanaryError
from translora.models.load import give_own_head, load
from translora.models.lora import attach
from translora.training import canary
from translora.training.corruption import sentinels, span_corruption


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
    fresh = dataclasses.replace(tiny_config, init="random", method="full")
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


@pytest.fixture(scope="module")
def never_saw_translation(tmp_path_factory):
    """A tiny T5 1.1 that has learnt span corruption on twenty pairs, and nothing else."""
    folder = tmp_path_factory.mktemp("pretrained")
    tokenizer = transformers.AutoTokenizer.from_pretrained(mini.MODEL)
    tokenizer.add_tokens([f"<extra_id_{i}>" for i in range(100)], special_tokens=True)
    shape = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=24, d_kv=8, d_ff=32, num_heads=2, num_layers=1, num_decoder_layers=1,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0, dropout_rate=0.0, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(shape)
    give_own_head(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    translator = load(translora.Config(model=str(folder), method="full"))
    pairs = Corpus.of(read(translora.SourceConfig(path="mini", limit=20), "de", "en"))
    batch = span_corruption(translator, [*pairs.sources, *pairs.targets], 256)
    optimizer = torch.optim.Adam(translator.model.parameters(), lr=0.1)
    for _ in range(30):  # not by heart: a head that is scaled up would do no harm
        optimizer.zero_grad()
        (translator.loss(batch).objective / batch.target_tokens).backward()
        optimizer.step()
    translator.model.save_pretrained(folder)
    return folder, pairs


@pytest.fixture
def pretrained(never_saw_translation):
    folder, pairs = never_saw_translation
    config = translora.Config(model=str(folder), method="full")
    return load(config), pairs, config


def test_a_sound_model_that_never_saw_the_task_passes(pretrained, caplog):
    translator, pairs, config = pretrained
    loss = check(translator, pairs, config)
    assert loss > math.log(len(translator.tokenizer)) + 2
    assert "a sound model that has not learnt to translate" in caplog.text
    assert translator.model.config.scale_decoder_outputs is False


def permuted(weight):
    weight.data.copy_(weight.data[torch.randperm(len(weight), generator=torch.Generator().manual_seed(1))])


def tie(model):
    model.lm_head.weight.data.copy_(model.shared.weight.data)


def take_another_tokenizer(model):
    permuted(model.lm_head.weight)
    permuted(model.shared.weight)


def enlarge_the_head(model):
    model.lm_head.weight.data.mul_(32)


BREAKS = [tie, take_another_tokenizer, enlarge_the_head, lambda model: permuted(model.lm_head.weight)]


@pytest.mark.parametrize("break_it", BREAKS, ids=["tied", "tokenizer", "scale", "shuffled"])
def test_a_broken_model_that_never_saw_the_task_is_refused(pretrained, break_it):
    translator, pairs, config = pretrained
    break_it(translator.model)
    message = "(at span corruption, its own pre-training: the head is tied|the other scale of the head).*canary=skip"
    broken(translator, pairs, config, message)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_head_of_the_other_scale_is_refused(pretrained, method):
    """Its loss is near guessing, which a model of random weights has too."""
    translator, pairs, config = pretrained
    if method == "lora":
        translator.model = attach(translator.model, LoraConfig(rank=2), "tiny", seed=1)
    translator.model.config.scale_decoder_outputs = True
    message = "with the other scale of the head: config.json's tie_word_embeddings or scale_decoder_outputs is wrong"
    broken(translator, pairs, dataclasses.replace(config, method=method), message)


def test_the_canary_can_be_skipped(tiny_config, tiny_model, tmp_path, caplog):
    model = load(tiny_config).model
    model.lm_head.weight.data.mul_(32)
    model.save_pretrained(tmp_path / "odd")
    transformers.AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "odd")
    training = dataclasses.replace(tiny_config.training, max_steps=1, validation_pairs=1)
    config = dataclasses.replace(tiny_config, model=str(tmp_path / "odd"), training=training)
    with pytest.raises(CanaryError, match="--training.canary=skip goes past this"):
        translora.train(config, score=False)
    skipped = dataclasses.replace(config, training=dataclasses.replace(training, canary="skip"))
    assert translora.train(skipped, score=False).adapter.exists()
    assert "canary: skipped" in caplog.text


def test_spans_are_replaced_by_sentinels_in_order(pretrained):
    translator, pairs, _ = pretrained
    marks = sentinels(translator)
    assert [translator.tokenizer.convert_ids_to_tokens(i) for i in marks[:2]] == ["<extra_id_0>", "<extra_id_1>"]
    text = " ".join(pairs.sources)
    batch = span_corruption(translator, [text, "Ja"], 100)
    source, target = batch.input_ids[0].tolist(), batch.labels[0].tolist()
    used = [i for i in source if i in marks]
    assert used == marks[:5]
    assert [i for i in target if i in marks] == used
    assert len(source) + len(target) == 100 + 2 * 5 + 2
    whole = iter(translator.tokenizer(text)["input_ids"][:100])
    spans = {}
    for i in target[:-1]:
        spans.setdefault(i, []) if i in marks else spans[list(spans)[-1]].append(i)
    assert [j for i in source[:-1] for j in spans.get(i, [i])] == list(whole)


def test_a_model_without_sentinels_has_no_span_corruption(tiny_config):
    assert span_corruption(load(tiny_config), ["Guten Tag"], 100) is None


def test_byt5_takes_its_last_bytes_for_sentinels(tmp_path):
    shape = transformers.T5Config(
        vocab_size=384, d_model=8, d_kv=4, d_ff=8, num_heads=1, num_layers=1, decoder_start_token_id=0
    )
    transformers.T5ForConditionalGeneration(shape).save_pretrained(tmp_path)
    transformers.ByT5Tokenizer().save_pretrained(tmp_path)
    batch = span_corruption(load(translora.Config(model=str(tmp_path))), ["x" * 300], 1000)
    assert [i for i in batch.labels[0].tolist() if i > 250] == [258, 257]
    assert batch.target_lengths.tolist() == [45 + 2 + 1]
