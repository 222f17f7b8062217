import pytest

from translora.errors import ConfigError
from translora.languages import (
    is_unspaced,
    language_name,
    matching_languages,
    require_code,
    require_two,
    same_language,
    subtags,
)

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


@pytest.mark.parametrize(
    ("codes", "language", "script"),
    [
        (
            ["zh", "zh_CN", "zho", "zho_Hans", "cmn", "zh-CHS", "zh-cmn-Hans", "ZH-cn", "chi", "zh_CN.UTF-8"],
            "zh",
            "Hans",
        ),
        (["zh-TW", "zho_Hant", "zh-HK", "zh-CHT"], "zh", "Hant"),
        (["yue", "zh-yue", "yue_Hant"], "yue", "Hant"),
        (["ja", "jpn", "jpn_Jpan", "ja-JP"], "ja", "Jpan"),
        (["ko", "kor", "kor_Hang", "ko-KR"], "ko", "Kore"),
        (["no", "nb", "nob", "nor", "nb-NO"], "no", "Latn"),
        (["en", "eng", "en_XX", "en-x-private"], "en", "Latn"),
        (["sh", "sr-Latn", "hbs"], "sr", "Latn"),
    ],
)
def test_every_spelling_of_a_code_is_one_language(codes, language, script):
    assert {subtags(code)[:2] for code in codes} == {(language, script)}


@pytest.mark.parametrize("name", ["chinese", "German", "Thai", "", "x1", "klingonisch-de"])
def test_names_are_no_codes(name):
    with pytest.raises(ConfigError, match="is not a code: use codes such as de"):
        require_code(name)


@pytest.mark.parametrize(
    ("code", "known", "found"),
    [
        ("en", ["en-GB", "en_US", "en"], ["en", "en_US", "en-GB"]),
        ("pt-BR", ["pt-PT", "pt-BR"], ["pt-BR"]),
        ("de-AT", ["de-CH", "de-DE"], ["de-DE", "de-CH"]),
        ("zh-Hans", ["zh-TW"], []),
        ("zh-CN", ["zh-TW"], []),
        ("zh", ["zh-TW"], ["zh-TW"]),
        ("zh", ["zh-TW", "zh-SG"], ["zh-SG"]),
    ],
)
def test_matching_codes_the_nearest_first(code, known, found):
    assert matching_languages(code, known) == found


@pytest.mark.parametrize(("source", "target"), [("de", "de"), ("de", "deu"), ("zh", "zh-CN"), ("nb", "no")])
def test_one_language_is_not_two(source, target):
    with pytest.raises(ConfigError, match="both|one language"):
        require_two(source, target)
    require_two("pt-BR", "pt-PT")
    require_two("zh-Hans", "zh-Hant")


@pytest.mark.parametrize(
    ("text", "unspaced"),
    [("我喜欢吃苹果。", True), ("すしを食べる", True), ("ฉันกินข้าว", True), ("나는 밥을 먹는다", False),
     ("Ja, 3 × 北京.", False), ("", False), ("123 !", False), ("हिन्दी पाठ", False)],
)  # fmt: skip
def test_scripts_without_spaces(text, unspaced):
    assert is_unspaced(text) is unspaced
