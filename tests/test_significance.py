import re
import subprocess
import sys

import pytest

from translora.config import SourceConfig
from translora.data.readers.sources import read_corpus
from translora.errors import DataError
from translora.scoring.metrics import evaluate
from translora.scoring.significance import compared_scores, paired_test

TARGETS = read_corpus(SourceConfig(path="mini", split="test", limit=150), "de", "en").targets
WORSE = [" ".join(text.split()[:-1]) or text for text in TARGETS]
BOTH = [text if i % 2 else worse for i, (text, worse) in enumerate(zip(TARGETS, WORSE, strict=True))]
OTHER = [worse if i % 2 else text for i, (text, worse) in enumerate(zip(TARGETS, WORSE, strict=True))]


@pytest.mark.parametrize(("method", "name"), [("bootstrap", "bs"), ("randomisation", "ar")])
def test_a_clear_difference_and_none(method, name):
    clear = paired_test(WORSE, TARGETS, [TARGETS], "en", method, samples=200)
    assert list(clear) == ["bleu", "chrf", "ter"]
    assert all(difference.significant for difference in clear.values())
    assert clear["bleu"].system.score == pytest.approx(100)
    assert clear["bleu"].baseline.score < 95
    before, after = compared_scores(clear, len(TARGETS))
    for scores, lines in ((before, WORSE), (after, TARGETS)):
        alone = evaluate(lines, TARGETS, "en")
        assert scores.pairs == alone.pairs
        for key in clear:
            ours, theirs = getattr(scores, key), getattr(alone, key)
            assert (ours.score, ours.signature) == (pytest.approx(theirs.score), theirs.signature)
            assert ours.interval == pytest.approx(theirs.interval, abs=1.5)
    assert f"|{name}:200|" in clear["bleu"].signature
    none = paired_test(BOTH, OTHER, [TARGETS], "en", method, samples=200)
    assert not none["bleu"].significant


def test_p_values_are_those_of_the_sacrebleu_command(tmp_path):
    for name, lines in (("ref", TARGETS), ("one", BOTH), ("two", OTHER)):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    files = [tmp_path / "ref", "-i", tmp_path / "one", tmp_path / "two"]
    command = [sys.executable, "-m", "sacrebleu", *files, "-m", "bleu", "-w", "4", "-f", "text"]
    command += ["--paired-bs", "--paired-bs-n", "200"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ours = paired_test(BOTH, OTHER, [TARGETS], "en", samples=200)["bleu"]
    assert f"{ours.system.score:.4f}" in printed
    (p_value,) = re.findall(r"p = ([0-9.]+)", printed)
    assert f"{ours.p_value:.4f}" == p_value


@pytest.mark.parametrize("method", ["bootstrap", "randomisation"])
def test_the_same_translations_do_not_differ(method):
    found = paired_test(WORSE, list(WORSE), [TARGETS], "en", method, samples=100)
    assert {difference.p_value for difference in found.values()} == {1.0}


def test_lists_that_do_not_pair_up():
    with pytest.raises(DataError, match="2 hypotheses for 1 references"):
        paired_test(["a", "b"], ["a", "b"], [["a"]], "en")
    with pytest.raises(DataError, match="no pairs"):
        paired_test([], [], [[]], "en")
