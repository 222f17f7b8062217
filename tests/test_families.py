import pytest

from translora.errors import ConfigError, ModelError
from translora.models.families import family_of, lora_targets


@pytest.mark.parametrize(
    ("model_type", "tokenizer", "vocabulary", "family", "prompt"),
    [
        ("t5", "T5Tokenizer", {"a"}, "t5", "translate German to English: "),
        ("mt5", "T5Tokenizer", {"a"}, "mt5", "translate German to English: "),
        ("umt5", "T5Tokenizer", {"a"}, "umt5", "translate German to English: "),
        ("t5", "ByT5Tokenizer", {"<0x00>"}, "byt5", "translate German to English: "),
        ("t5", "T5Tokenizer", {"<2en>", "<2de>"}, "target-token", "<2en> "),
        ("m2m_100", "NllbTokenizer", {"a"}, "m2m_100", ""),
        ("mbart", "MBartTokenizer", {"a"}, "mbart", ""),
        ("marian", "MarianTokenizer", {"a"}, "marian", ""),
        ("marian", "MarianTokenizer", {">>eng<<", ">>fra<<"}, "marian", ">>eng<< "),
    ],
)
def test_each_family_gets_its_prompt(model_type, tokenizer, vocabulary, family, prompt):
    found = family_of(model_type, tokenizer, vocabulary, "en")
    assert found.name == family
    assert found.prompt("de", "en") == prompt


def test_a_foreign_architecture_is_refused():
    with pytest.raises(ModelError, match="model type 'bert' is unknown: use a checkpoint of T5"):
        family_of("bert", "BertTokenizer", {"a"}, "en")


def test_a_target_language_without_its_token_is_refused():
    with pytest.raises(ModelError, match="language 'fr': it has de, en"):
        family_of("t5", "T5Tokenizer", {"<2en>", "<2de>"}, "fr")


def test_lora_targets():
    layers = {"q", "k", "v", "o", "wi_0", "wi_1", "wo"}
    assert lora_targets("q,v", layers) == ["q", "v"]
    assert lora_targets("attention", layers) == ["q", "k", "v", "o"]
    assert set(lora_targets("all-linear", layers)) == layers
    assert lora_targets("v,feed-forward", layers) == ["v", "wi_0", "wi_1", "wo"]
    assert lora_targets("q,embeddings", {*layers, "embed_tokens", "lm_head"}) == ["q", "embed_tokens", "lm_head"]
    with pytest.raises(ConfigError, match="query is no layer"):
        lora_targets("q,query", layers)
    with pytest.raises(ConfigError, match="nothing is no layer"):
        lora_targets(" ", layers)


def test_lora_targets_of_other_architectures():
    layers = {"q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"}
    assert lora_targets("q,v", layers) == ["q_proj", "v_proj"]
    assert set(lora_targets("all-linear", layers)) == layers
