import pytest

from translora.errors import ConfigError
from translora.languages import language_name, same_language

NLLB = ["deu_Latn", "eng_Latn", "zho_Hans", "zho_Hant", "srp_Cyrl", "arb_Arab", "por_Latn", "nob_Latn", "pes_Arab"]
NLLB += ["kor_Hang", "twi_Latn", "aka_Latn", "prs_Arab"]
MBART = ["de_DE", "en_XX", "zh_CN", "pt_XX", "fa_IR"]
M2M100 = ["de", "en", "zh", "pt"]


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
    ("code", "known", "found"),
    [
        ("de", NLLB, "deu_Latn"),
        ("de-AT", NLLB, "deu_Latn"),
        ("zh", NLLB, "zho_Hans"),
        ("zh-Hant", NLLB, "zho_Hant"),
        ("zh-TW", NLLB, "zho_Hant"),
        ("sr", NLLB, "srp_Cyrl"),
        ("sr-Latn", NLLB, None),
        ("ar", NLLB, "arb_Arab"),
        ("fa", NLLB, "pes_Arab"),
        ("pt-BR", NLLB, "por_Latn"),
        ("nb", NLLB, "nob_Latn"),
        ("no", NLLB, "nob_Latn"),
        ("nb", ["no", "de"], "no"),
        ("ko", NLLB, "kor_Hang"),
        ("ko-Latn", NLLB, None),
        ("tw", ["twi_Latn"], "twi_Latn"),
        ("de", MBART, "de_DE"),
        ("en", MBART, "en_XX"),
        ("zh", MBART, "zh_CN"),
        ("zh-Hant", MBART, None),
        ("pt-BR", MBART, "pt_XX"),
        ("de", M2M100, "de"),
        ("fr", M2M100, None),
        ("pt-BR", ["pt_PT", "pt_BR"], "pt_BR"),
        ("nonsense", NLLB, None),
    ],
)
def test_the_models_own_code_for_a_language(code, known, found):
    assert same_language(code, known) == found
