import pytest

from translora.errors import ConfigError, ModelError
from translora.families import family_of, language_name, lora_targets


@pytest.mark.parametrize(
    ("code", "name"),
    [("de", "German"), ("en", "English"), ("zh-Hans", "Simplified Chinese"), ("pt-BR", "Brazilian Portuguese")],
)
def test_language_names_are_english(code, name):
    assert language_name(code) == name


@pytest.mark.parametrize("code", ["xx", "german", "", "de-"])
def test_an_unknown_language_is_refused(code):
    with pytest.raises(ConfigError, match="language"):
        language_name(code)


@pytest.mark.parametrize(
    ("model_type", "tokenizer", "vocabulary", "family", "prompt"),
    [
        ("t5", "T5Tokenizer", {"a"}, "t5", "translate German to English: "),
        ("mt5", "T5Tokenizer", {"a"}, "mt5", "translate German to English: "),
        ("umt5", "T5Tokenizer", {"a"}, "umt5", "translate German to English: "),
        ("t5", "ByT5Tokenizer", {"<0x00>"}, "byt5", "translate German to English: "),
        ("t5", "T5Tokenizer", {"<2en>", "<2de>"}, "target-token", "<2en> "),
    ],
)
def test_each_family_gets_its_prompt(model_type, tokenizer, vocabulary, family, prompt):
    found = family_of(model_type, tokenizer, vocabulary, "en")
    assert found.name == family
    assert found.prompt("de", "en") == prompt


def test_a_foreign_architecture_is_refused():
    with pytest.raises(ModelError, match="marian.*T5 architecture"):
        family_of("marian", "MarianTokenizer", {"a"}, "en")


def test_a_target_language_without_its_token_is_refused():
    with pytest.raises(ModelError, match="<2fr>.*it has de, en"):
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
