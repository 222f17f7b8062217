"""The options of an adapter one by one and together: PEFT alone loads and merges each with equal logits."""

import dataclasses
import json
import os
import signal

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, MarianConfig, MarianMTModel

from test_fast_t5 import build
from translora.config import Config, LoraConfig, RanksConfig, RateFactorsConfig
from translora.data.splits import read_splits
from translora.errors import ConfigError, InterruptedRunError
from translora.export import merged
from translora.models import hardware
from translora.models.adapter import load_adapter, save_adapter
from translora.models.load import load, quiet_transformers
from translora.models.lora import attach, count_parameters, merged_copy
from translora.pipeline import make_stepper, make_trainable, train, training_examples
from translora.runs.folder import Run
from translora.training.initial import begin_from_gradient, initial_bytes
from translora.training.memory import check_memory
from translora.training.plan import Plan
from translora.training.step import Stepper

TARGETS = "q,v,wo,embeddings"
OPTIONS = {
    "ranks": {"ranks": RanksConfig(attention=2, feed_forward=5, embeddings=1)},
    "alpha": {"ranks": RanksConfig(embeddings=1), "alpha": 4.0},
    "scale": {"scale_by_weight": True},
    "scale, rslora": {"scale_by_weight": True, "rslora": True, "ranks": RanksConfig(attention=2)},
    "tied": {"tie_embeddings": True},
    "norms": {"also_train": ("norms",)},
    "position bias": {"also_train": ("position-bias",)},
    "pissa": {"init": "pissa", "targets": "q,wo", "ranks": RanksConfig(attention=2), "scale_by_weight": True},
}
BUNDLE = {
    "ranks": RanksConfig(attention=2, feed_forward=4, embeddings=3),
    "scale_by_weight": True,
    "tie_embeddings": True,
    "also_train": ("norms", "position-bias"),
}


@pytest.fixture(scope="module", params=["t5", "flan-t5"])
def base(request, tmp_path_factory):
    """A checkpoint whose head is tied to its embeddings, and one whose head is its own."""
    folder = tmp_path_factory.mktemp(request.param)
    with quiet_transformers():
        build(request.param, "").save_pretrained(folder)
    return folder


def fresh(folder):
    with quiet_transformers():
        return AutoModelForSeq2SeqLM.from_pretrained(folder).eval()


def run(model):
    with torch.no_grad():
        ids = torch.arange(3, 20).unsqueeze(0)
        return model(input_ids=ids, decoder_input_ids=ids.flip(1)).logits


def perturb(model):
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)


def assert_close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [*OPTIONS.values(), BUNDLE], ids=[*OPTIONS, "all"])
def test_peft_alone_loads_and_merges_each_with_equal_logits(base, tmp_path, options):
    before = run(fresh(base))
    adapted = attach(fresh(base), LoraConfig(rank=3, **{"targets": TARGETS, **options}), str(base), seed=3).eval()
    assert_close(run(adapted), before)
    initial = None
    if "init" in options:
        initial = tmp_path / "initial"
        save_adapter(adapted, initial, "")
    perturb(adapted)
    expected = run(adapted)
    assert not torch.allclose(expected, before, atol=0.05)
    save_adapter(adapted, tmp_path / "adapter", "", initial)
    with quiet_transformers():
        alone = PeftModel.from_pretrained(fresh(base), tmp_path / "adapter").eval()
    assert_close(run(alone), expected)
    ours = load_adapter(fresh(base), tmp_path / "adapter", lambda: "")
    assert_close(run(ours), expected)
    assert_close(run(merged_copy(adapted)), expected)
    assert_close(run(merged_copy(ours)), expected)
    if "embeddings" not in options.get("targets", TARGETS):  # PEFT merges adapters of tied layers into one weight
        with quiet_transformers():
            assert_close(run(alone.merge_and_unload()), expected)


def test_peft_alone_merges_what_is_not_tied(base, tmp_path):
    options = {**BUNDLE, "tie_embeddings": False, "ranks": RanksConfig(attention=2), "targets": "all-linear"}
    adapted = attach(fresh(base), LoraConfig(rank=3, **options), str(base), seed=3).eval()
    perturb(adapted)
    save_adapter(adapted, tmp_path, "")
    with quiet_transformers():
        alone = PeftModel.from_pretrained(fresh(base), tmp_path).merge_and_unload().eval()
    assert_close(run(alone), run(adapted))
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert set(settings["modules_to_save"]) == {"layer_norm", "final_layer_norm", "relative_attention_bias"}
    assert set(settings["rank_pattern"].values()) == {2}
    assert len(settings["alpha_pattern"]) == sum(isinstance(m, LoraLayer) for m in adapted.modules())


def test_a_tied_adapter_is_one_and_remains_one_after_merging(base, tmp_path):
    model = attach(fresh(base), LoraConfig(rank=3, targets="embeddings", tie_embeddings=True), str(base), seed=3)
    tied = base.name.startswith("t5")
    assert count_parameters(model).trainable == 3 * (97 + 24) * (1 if tied else 2)
    perturb(model)
    save_adapter(model, tmp_path / "adapter", "")
    assert len(load_file(tmp_path / "adapter" / "adapter_model.safetensors")) == 6
    expected = run(model.eval())
    loaded = load(Config(model="mini", method="none"))  # its tokenizer alone is used
    loaded.model = merged_copy(load_adapter(fresh(base), tmp_path / "adapter", lambda: ""))
    assert loaded.model.shared.weight is loaded.model.decoder.embed_tokens.weight
    assert (loaded.model.lm_head.weight is loaded.model.shared.weight) == tied
    assert loaded.model.config.tie_word_embeddings == tied
    merged.save_merged(loaded, tmp_path / "merged")
    assert_close(run(merged.load_plain(tmp_path / "merged", loaded.model)), expected)


def test_what_is_trained_of_a_narrow_base_is_wide_and_merged_narrow(tiny_config, monkeypatch):
    """In bfloat16 a step of the size that norms take would often change nothing."""
    monkeypatch.setattr(hardware, "computes_bfloat16", lambda device: True)  # slow where it does not, but right
    config = dataclasses.replace(tiny_config, dtype="bfloat16", lora=LoraConfig(rank=2, targets=TARGETS, **BUNDLE))
    work = stepper(config)
    model = work.translator.model
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    losses = []
    for path in ("fast", "own"):
        translator = dataclasses.replace(work.translator, path=path)
        losses.append(float(translator.loss(work.examples.batch(work.examples.all_indices()[:4])).cross_entropy))
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    work.step(0, work.examples.all_indices()[:4])
    whole = merged_copy(model)
    assert {p.dtype for p in whole.parameters()} == {torch.bfloat16}
    assert torch.isfinite(run(whole.eval())).all()


def test_another_architecture_has_them_too(tmp_path):
    shape = MarianConfig(
        vocab_size=97, d_model=24, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32,
        encoder_attention_heads=2, decoder_attention_heads=2, pad_token_id=1, decoder_start_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    MarianMTModel(shape).save_pretrained(tmp_path / "base")
    before = run(fresh(tmp_path / "base"))
    lora = LoraConfig(rank=3, targets=TARGETS.replace("wo", "fc1"), **{**BUNDLE, "also_train": ("norms",)})
    adapted = attach(fresh(tmp_path / "base"), lora, "marian", seed=3).eval()
    assert_close(run(adapted), before)
    assert sum("lora_embedding" in name for name, p in adapted.named_parameters() if p.requires_grad) == 2
    perturb(adapted)
    save_adapter(adapted, tmp_path / "adapter", "")
    alone = load_adapter(fresh(tmp_path / "base"), tmp_path / "adapter", lambda: "")
    assert_close(run(alone), run(adapted))
    assert_close(run(merged_copy(alone)), run(adapted))
    with pytest.raises(ConfigError, match="lora.also_train position-bias: this model has none"):
        attach(fresh(tmp_path / "base"), LoraConfig(also_train=("position-bias",)), "marian", seed=3)


def test_scales_follow_the_weights(base):
    model = attach(fresh(base), LoraConfig(rank=2, targets="q,wo", scale_by_weight=True), str(base), seed=3)
    found = [
        (module.scaling["default"], float(module.get_base_layer().weight.pow(2).mean().sqrt()))
        for module in model.modules()
        if isinstance(module, LoraLayer)
    ]
    assert [scale / found[0][0] for scale, _ in found] == pytest.approx([s / found[0][1] for _, s in found], rel=1e-4)
    assert sum(scale for scale, _ in found) / len(found) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranks": RanksConfig(embeddings=2)}, r"lora.ranks.embeddings 2: lora.targets 'q,v' names no such layer"),
        ({"tie_embeddings": True}, "lora.tie_embeddings: no two layers of lora.targets are one weight"),
        ({"tie_embeddings": True, "dora": True, "targets": "embeddings"}, "leave lora.tie_embeddings out"),
        ({"init": "pissa", "rslora": True, "scale_by_weight": True}, "PEFT cannot save it with lora.rslora"),
    ],
)
def test_what_cannot_be_is_named(base, options, message):
    with pytest.raises(ConfigError, match=message):
        attach(fresh(base), LoraConfig(**options), "tiny", seed=1)


def test_parts_that_are_frozen_keep_their_norms(base):
    lora = LoraConfig(rank=2, targets="q", also_train=("norms",))
    model = attach(fresh(base), lora, "tiny", 1, ["encoder"])
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert any("layer_norm" in name for name in names)
    assert all(".decoder." in name for name in names)
    with pytest.raises(ConfigError, match="lora.also_train norms: this model has none to train"):
        attach(fresh(base), dataclasses.replace(lora, targets="embeddings"), "tiny", 1, ["encoder", "decoder"])


def stepper(config):
    splits = read_splits(config)
    translator = load(config)
    make_trainable(translator, config)
    return make_stepper(translator, training_examples(translator, splits.train, config), config, 300)


@pytest.fixture
def bundle_config(tiny_config):
    """A run with every option, without dropout."""
    lora = LoraConfig(rank=4, targets="all-linear,embeddings", init="gradient", init_steps=2, **BUNDLE)
    factors = RateFactorsConfig(norms=1.5, position_bias=3.0)
    training = dataclasses.replace(tiny_config.training, dropout=0.0, rate_factors=factors)
    return dataclasses.replace(tiny_config, lora=lora, training=training)


def test_a_holds_the_largest_directions_of_the_gradient(bundle_config, monkeypatch):
    """Against the gradient by transformers' own forward pass, whole and in parts."""
    work = stepper(bundle_config)
    plan = Plan(work.examples.source_lengths, work.examples.target_lengths, bundle_config.training, 1)
    model = work.translator.model
    before = run(model.eval())
    monkeypatch.setattr("translora.training.initial._MOST_BYTES", 30_000)
    begin_from_gradient(work, plan, 2)
    assert_close(run(model.eval()), before)
    reference = load(dataclasses.replace(bundle_config, method="full", fast="off"))
    for step in range(2):
        pairs = plan.pairs(step)
        loss = reference.loss(work.examples.batch(pairs))
        (loss.objective / int(work.examples.target_lengths[pairs].sum())).backward()
    gradients = {name: p.grad for name, p in reference.model.named_parameters()}
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}
    for name, layer in layers.items():
        short = name.removeprefix("base_model.model.")
        gradient = gradients["shared.weight" if "embed_tokens" in name else f"{short}.weight"]
        embedding = "embed_tokens" in name
        a = (layer.lora_embedding_B["default"].t() if embedding else layer.lora_A["default"].weight).detach()
        length = 32**0.5 if embedding else 3**-0.5
        torch.testing.assert_close(a @ a.t(), torch.eye(len(a)) * length**2, rtol=1e-3, atol=1e-3)
        kept = float((gradient @ a.t() / length).pow(2).sum())
        best = float(torch.linalg.svdvals(gradient)[: len(a)].pow(2).sum())
        assert kept == pytest.approx(best, rel=1e-3), name
    assert all(not p.requires_grad for name, p in model.named_parameters() if "base_layer" in name)


def test_the_start_is_part_of_the_predicted_memory(bundle_config):
    work = stepper(bundle_config)
    translator = work.translator
    sections = bundle_config.method, bundle_config.training, bundle_config.decoding
    alone = check_memory(translator, work.examples, *sections).peak_bytes
    assert initial_bytes(translator.model) > 2**21
    assert check_memory(translator, work.examples, *sections, 2**31).peak_bytes - alone > 2**30


def test_an_interrupted_run_with_every_option_is_the_uncut_run_to_the_last_bit(bundle_config, tmp_path, monkeypatch):
    whole = train(bundle_config)
    adapter = load_file(whole.adapter / "adapter_model.safetensors")
    assert whole.summary.trainable_parameters < sum(tensor.numel() for tensor in adapter.values())  # copies of the tied
    assert load(bundle_config).model.num_parameters() > 10 * whole.summary.trainable_parameters
    config = dataclasses.replace(bundle_config, output=str(tmp_path / "cut"))
    real, calls = Stepper.step, []

    def interrupting(*arguments):
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(Stepper, "step", interrupting)
    with pytest.raises(InterruptedRunError):
        train(config)
    again = load_file(train(config).adapter / "adapter_model.safetensors")
    assert len(calls) == 8
    assert adapter.keys() == again.keys()
    assert all(torch.equal(adapter[name], again[name]) for name in adapter)
    assert "init: gradient" in Run(tmp_path / "cut").config_file.read_text()
