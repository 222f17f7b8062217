import subprocess
import sys

import pytest

from translora.errors import DataError
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
