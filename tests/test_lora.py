import pytest
import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration

from translora.config import Config, LoraConfig
from translora.errors import ConfigError, ModelError
from translora.models.adapter import base_of, load_adapter, save_adapter
from translora.models.load import give_own_head, load, quiet_transformers
from translora.models.lora import attach, count_parameters, freeze, merged_copy


@pytest.fixture
def model(tiny_model):
    return load(Config(model=str(tiny_model))).model


def run(model):
    with torch.no_grad():
        ids = torch.arange(3, 9).unsqueeze(0)
        return model(input_ids=ids, decoder_input_ids=ids).logits


def perturb(model):
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()


def test_flan_t5_small_has_the_published_counts():
    config = T5Config(
        vocab_size=32128, d_model=512, d_kv=64, d_ff=1024, num_layers=8, num_heads=6, feed_forward_proj="gated-gelu"
    )
    with torch.device("meta"):
        model = T5ForConditionalGeneration(config)
        give_own_head(model)
    assert count_parameters(model).total == 76_961_152
    adapted = attach(model, LoraConfig(rank=8, targets="q,v"), "flan-t5-small", seed=1)
    count = count_parameters(adapted)
    assert count.trainable == 344_064
    assert count.total == 76_961_152 + 344_064


def test_a_fresh_adapter_changes_nothing_and_follows_the_seed(model):
    before = run(model)
    adapted = attach(model, LoraConfig(rank=2, targets="all-linear"), "tiny", seed=3)
    torch.testing.assert_close(run(adapted), before)
    trained = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    assert adapted.peft_config["default"].lora_alpha == 4
    assert adapted.peft_config["default"].task_type == "SEQ_2_SEQ_LM"


def test_a_merged_copy_computes_the_same_and_leaves_the_original(model):
    adapted = attach(model, LoraConfig(rank=2), "tiny", seed=3)
    perturb(adapted)
    merged = merged_copy(adapted)
    assert not isinstance(merged, PeftModel)
    torch.testing.assert_close(run(merged), run(adapted), rtol=1e-4, atol=1e-4)
    assert isinstance(adapted, PeftModel)


def test_peft_alone_loads_a_saved_adapter(model, tiny_model, tmp_path):
    adapted = attach(model, LoraConfig(rank=2), str(tiny_model), seed=3)
    perturb(adapted)
    adapted.save_pretrained(tmp_path)
    expected = run(adapted)
    base = AutoModelForSeq2SeqLM.from_pretrained(tiny_model)
    with quiet_transformers():
        alone = PeftModel.from_pretrained(base, tmp_path).eval()
    torch.testing.assert_close(run(alone), expected)
    ours = load_adapter(load(Config(model=str(tiny_model))).model, tmp_path, lambda: "")
    torch.testing.assert_close(run(ours), expected)


def test_targets_and_rank_are_checked(model):
    with pytest.raises(ConfigError, match="query is no layer of this model"):
        attach(model, LoraConfig(targets="query"), "tiny", seed=1)


@pytest.mark.parametrize(
    "options",
    [{"rslora": True}, {"dora": True}, {"init": "pissa"}, {"init": "pissa", "rslora": True}],
    ids=lambda options: "+".join(options),
)
def test_every_kind_of_adapter_starts_as_no_change_and_is_loaded_by_peft_alone(model, tiny_model, tmp_path, options):
    before = run(model)
    adapted = attach(model, LoraConfig(rank=2, targets="q,v,wo", **options), str(tiny_model), seed=3)
    torch.testing.assert_close(run(adapted), before, rtol=1e-4, atol=1e-4)
    initial = None
    if "init" in options:
        initial = tmp_path / "initial"
        save_adapter(adapted, initial, "")
    perturb(adapted)
    save_adapter(adapted, tmp_path / "adapter", "", initial)
    with quiet_transformers():
        alone = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(tiny_model), tmp_path / "adapter")
    torch.testing.assert_close(run(alone.eval()), run(adapted), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(run(merged_copy(adapted)), run(adapted), rtol=1e-3, atol=1e-3)


def test_rslora_scales_by_the_root_of_the_rank(model):
    adapted = attach(model, LoraConfig(rank=16, alpha=8, rslora=True), "tiny", seed=3)
    assert {m.scaling["default"] for m in adapted.modules() if isinstance(m, LoraLayer)} == {2.0}


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        (["encoder"], ["decoder", "lm_head", "shared"]),
        (["decoder", "embeddings"], ["encoder"]),
        (["encoder", "decoder"], ["lm_head", "shared"]),
    ],
)
def test_frozen_parts_are_not_trained(model, parts, left):
    freeze(model, parts)
    assert sorted({name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}) == left


def test_frozen_parts_get_no_adapter(model):
    adapted = attach(model, LoraConfig(rank=2, targets="all-linear,embeddings"), "tiny", 3, ["encoder", "embeddings"])
    adapters = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert adapters
    assert all(".decoder.block." in name for name in adapters)


def test_what_cannot_be_combined_is_named(model):
    with pytest.raises(ConfigError, match="leave embeddings out"):
        attach(model, LoraConfig(init="pissa", targets="q,embeddings"), "tiny", seed=1)
    with pytest.raises(ConfigError, match="leaves none of lora.targets 'lm_head'"):
        attach(model, LoraConfig(targets="lm_head"), "tiny", 1, ["embeddings"])


def test_a_base_that_is_elsewhere_is_named_with_the_file_to_change(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/content/drive/base"}')
    with pytest.raises(ModelError, match="adapter_config.json: its base model /content/drive/base is not here"):
        base_of(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("embeddings", ["auto", True])
def test_an_adapter_of_stock_peft_with_copies_of_base_weights_loads(tiny_model, tmp_path, embeddings):
    base = AutoModelForSeq2SeqLM.from_pretrained(tiny_model)
    settings = PeftLoraConfig(
        r=4, target_modules=["q", "v", "lm_head"], task_type="SEQ_2_SEQ_LM", init_lora_weights=False
    )
    get_peft_model(base, settings).eval().save_pretrained(tmp_path / "adapter", save_embedding_layers=embeddings)
    names = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert any(name.endswith(("base_layer.weight", "lm_head.weight")) for name in names)
    ids = torch.arange(3, 9)[None]
    inputs = {"input_ids": ids, "decoder_input_ids": ids}
    stock = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(tiny_model), tmp_path / "adapter").eval()
    loaded = load_adapter(load(Config(model=str(tiny_model), method="none")).model, tmp_path / "adapter", lambda: "")
    assert torch.equal(stock(**inputs).logits, loaded(**inputs).logits)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_weight_that_the_adapter_should_have_is_missed(tiny_model, tmp_path):
    base = AutoModelForSeq2SeqLM.from_pretrained(tiny_model)
    settings = PeftLoraConfig(r=4, target_modules=["q"], modules_to_save=["lm_head"], task_type="SEQ_2_SEQ_LM")
    get_peft_model(base, settings).save_pretrained(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: weight for name, weight in load_file(file).items() if "lm_head" not in name}, file)
    with pytest.raises(ModelError, match="does not fit the base model"):
        load_adapter(load(Config(model=str(tiny_model), method="none")).model, tmp_path / "adapter", lambda: "")
