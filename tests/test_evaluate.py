import os
import subprocess
import sys

import pytest

from translora.errors import ConfigError, DataError
from translora.scoring.metrics import bleu, bleu_tokenizer, evaluate

REFERENCES = ["The house is wonderful.", "It isn't raining, is it?", "Save the file – now."]
HYPOTHESES = ["The house is nice.", "It is not raining, is it?", "Store the file now."]


def test_scores_are_those_of_the_sacrebleu_command(tmp_path):
    for name, lines in (("ref", REFERENCES), ("hyp", HYPOTHESES)):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", tmp_path / "ref", "-i", tmp_path / "hyp", "-w", "6", "-b", "-m"]
    scores = evaluate(HYPOTHESES, REFERENCES, "en")
    options = {"bleu": ["bleu"], "chrf": ["chrf", "--chrf-word-order", "2"], "ter": ["ter"]}
    for name, metric in options.items():
        printed = subprocess.run([*command, *metric], capture_output=True, text=True, check=True).stdout.strip()
        assert f"{getattr(scores, name).score:.6f}" == printed
    assert scores.bleu.signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2")


def test_a_perfect_translation():
    scores = evaluate(REFERENCES, REFERENCES, "en")
    assert scores.bleu.score == pytest.approx(100)
    assert scores.chrf.score == pytest.approx(100)
    assert scores.ter.score == 0
    assert scores.pairs == 3


def test_the_tokenizer_follows_the_target_language():
    assert [bleu_tokenizer(code) for code in ("en", "zh-Hans", "ja", "ko", "vi")] == [
        "13a", "zh", "ja-mecab", "ko-mecab", "13a",
    ]  # fmt: skip
    assert "tok:zh" in evaluate(["你好吗"], ["你好"], "zh").bleu.signature


@pytest.mark.parametrize(("hypotheses", "message"), [(["a"], "1 hypotheses for 3"), ([], "0 hypotheses for 3")])
def test_sides_of_different_lengths_are_refused(hypotheses, message):
    with pytest.raises(DataError, match=message):
        evaluate(hypotheses, REFERENCES, "en")


def test_nothing_to_score():
    with pytest.raises(DataError, match="no pairs"):
        evaluate([], [], "en")


def test_several_references(tmp_path):
    more = ["The house is great.", "It is not raining, is it?", "Save the file now."]
    assert evaluate(HYPOTHESES, [REFERENCES], "en") == evaluate(HYPOTHESES, REFERENCES, "en")
    two = evaluate(HYPOTHESES, [REFERENCES, more], "en")
    assert two.bleu.score > evaluate(HYPOTHESES, REFERENCES, "en").bleu.score
    assert "nrefs:2" in two.bleu.signature
    assert bleu(HYPOTHESES, REFERENCES, "en") == evaluate(HYPOTHESES, REFERENCES, "en").bleu.score


def test_the_interval_holds_the_score():
    scores = evaluate(HYPOTHESES * 30, REFERENCES * 30, "en")
    for score in (scores.bleu, scores.chrf, scores.ter):
        low, high = score.interval
        assert low < score.score < high
        assert high - low < 20


CODES = {
    "zh": ["zh", "zh_CN", "zho", "zho_Hans", "cmn", "zh-TW", "yue", "yue_Hant", "zh-cmn-Hans"],
    "ja-mecab": ["ja", "jpn", "jpn_Jpan", "ja-JP", "JA"],
    "ko-mecab": ["ko", "kor", "kor_Hang", "ko_KR"],
    "13a": ["de", "deu_Latn", "vi", "hi", "ar", "ja-Latn", "nan-Latn"],
}


@pytest.mark.parametrize(("code", "tokenizer"), [(code, name) for name, codes in CODES.items() for code in codes])
def test_every_spelling_of_a_code_has_the_same_tokenizer(code, tokenizer):
    assert bleu_tokenizer(code) == tokenizer


def test_a_name_is_no_code():
    with pytest.raises(ConfigError, match="language 'chinese' is not a code"):
        evaluate(["你好"], ["你好"], "chinese")


def test_text_without_spaces_counted_as_english_is_said(caplog):
    caplog.set_level("INFO", "translora")
    evaluate(["我喜欢吃苹果。"], ["我很喜欢吃苹果。"], "zh")
    assert "script without spaces" not in caplog.text
    evaluate(["我喜欢吃苹果。"], ["我很喜欢吃苹果。"], "en")
    assert "script without spaces between words, but are counted as en (tok:13a)" in caplog.text


THAI = """
import sys
from pathlib import Path
import sentencepiece
from translora.scoring.metrics import evaluate
folder = Path(sys.argv[1]) / "models"
folder.mkdir(exist_ok=True)
if sys.argv[2] == "with":
    lines = ["ฉันกินข้าวที่บ้าน", "เขาไปโรงเรียนทุกวัน", "วันนี้อากาศดีมาก"] * 20
    (folder / "text").write_text("\\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "m"), vocab_size=30, minloglevel=2)
    (folder / "m.model").rename(folder / "flores200sacrebleuspm")
if sys.argv[2] == "damaged":
    (folder / "flores200sacrebleuspm").write_text("none")
for code in ("th", "tha_Thai"):
    print(evaluate(["ฉันกินข้าวที่บ้าน"], ["ฉันกินข้าวที่บ้าน"], code).bleu.signature)
"""


@pytest.mark.parametrize(("model", "found"), [("with", "tok:flores200"), ("without", "tok:char")])
def test_thai_is_counted_by_pieces_or_by_characters(tmp_path, model, found):
    process = thai(tmp_path, model)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count(found) == 2
    assert process.stderr.count("flores200 is not on disk") == (model == "without")


def test_a_damaged_model_is_one_line(tmp_path):
    assert "DataError: BLEU of th cannot load sacreBLEU's tokenizer flores200" in thai(tmp_path, "damaged").stderr


def thai(folder, model):
    environment = {**os.environ, "SACREBLEU": str(folder), "PYTHONUTF8": "1"}
    command = [sys.executable, "-c", THAI, str(folder), model]
    return subprocess.run(command, env=environment, capture_output=True, text=True)
