"""Tokenizers and embeddings of unequal size: one line, or as many rows as the adapter brings."""

import shutil
import warnings

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

import translora
from translora.config import Config
from translora.errors import ModelError
from translora.models.load import load

NEW = ["[NAME]", "[PLACE]", "[DATE]"]


@pytest.fixture
def base(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "base")


def extended(base, folder, tokens):
    """The tokenizer of `base` with `tokens` added, saved in `folder`."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(tokens)
    tokenizer.save_pretrained(folder)
    return tokenizer


def test_tokens_without_a_row_are_one_line(base):
    extended(base, base, NEW)
    with pytest.raises(
        ModelError, match=r"the token '\[NAME\]' with id 10000, and its embedding has 10000 rows: take"
    ) as e:
        load(Config(model=str(base)))
    assert "resize_token_embeddings(10003)" in str(e.value)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(base)
    model.resize_token_embeddings(10003)
    model.save_pretrained(base)
    assert load(Config(model=str(base))).model.shared.weight.shape[0] == 10003


def test_sentinels_need_no_row(base):
    """The tokenizer of MADLAD has them, its model does not, and text that spells them is text."""
    extended(base, base, [f"<extra_id_{i}>" for i in range(100)])
    translator = translora.Translator.from_pretrained(base)
    assert isinstance(translator.translate("Ein <extra_id_3> im Text", max_tokens=3), str)


def stock_adapter(base, folder, rows, **options):
    """An adapter that PEFT saves after the base was resized to `rows`, with weights that are not zero."""
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(base)
    model.resize_token_embeddings(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = LoraConfig(r=2, task_type="SEQ_2_SEQ_LM", **{"target_modules": ["q", "v"], **options})
        adapted = get_peft_model(model, settings)
        torch.manual_seed(3)
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad or "shared" in name or "lm_head" in name:
                parameter.data.normal_(std=0.3)
        adapted.save_pretrained(folder)
    return adapted.eval()


WAYS = {
    "resized": {},
    "saved": {"modules_to_save": ["shared", "lm_head"]},
    "saved-apart": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "adapted": {"target_modules": ["q", "shared", "lm_head"]},
}


@pytest.mark.parametrize("way", WAYS)
def test_an_adapter_on_a_resized_base_brings_its_rows_and_tokenizer(base, tmp_path, way):
    folder = tmp_path / "adapter"
    adapted = stock_adapter(base, folder, 10003, **WAYS[way])
    tokenizer = extended(base, folder, NEW)
    translator = translora.Translator.from_pretrained(folder, source="de", target="en")
    assert translator.tokenizer.convert_tokens_to_ids("[NAME]") == 10000
    assert translator.model.get_input_embeddings().weight.shape[0] == 10003
    inputs = tokenizer("<2en> [NAME] wohnt in [PLACE].", return_tensors="pt")
    labels = tokenizer("[NAME] lives in [PLACE].", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        ours, theirs = (model(**inputs, labels=labels).logits for model in (translator.model, adapted))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    translator.save_pretrained(tmp_path / "again")
    again = translora.Translator.from_pretrained(tmp_path / "again", source="de", target="en")
    text = "[NAME] wohnt hier."
    assert again.translate(text, max_tokens=4) == translator.translate(text, max_tokens=4)


def test_an_adapter_may_have_cut_unused_rows(base, tmp_path):
    """T5's checkpoints have more rows than their tokenizers, and many resize them to what the tokenizer has."""
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(base)
    model.resize_token_embeddings(8128)
    model.save_pretrained(base)
    stock_adapter(base, tmp_path / "adapter", 10000)
    translator = translora.Translator.from_pretrained(tmp_path / "adapter", source="de", target="en")
    assert translator.model.get_input_embeddings().weight.shape[0] == 10000


def test_new_rows_without_a_head_are_one_line(base, tmp_path):
    stock_adapter(base, tmp_path / "adapter", 10003)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({name: w for name, w in load_file(file).items() if "lm_head" not in name}, file)
    with pytest.raises(ModelError, match="an embedding of 10003 rows for the 10000 of its base, and no head"):
        translora.Translator.from_pretrained(tmp_path / "adapter", source="de", target="en")


def test_a_tokenizer_that_outgrows_the_adapters_rows_is_one_line(base, tmp_path):
    """Its owner added tokens, and neither resized the model nor saved the embedding."""
    folder = tmp_path / "adapter"
    stock_adapter(base, folder, 10000)
    extended(base, folder, NEW)
    with pytest.raises(ModelError, match=r"the token '\[NAME\]' with id 10000, and its embedding has 10000 rows"):
        translora.Translator.from_pretrained(folder, source="de", target="en")
