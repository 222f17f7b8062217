import dataclasses
import os
import re
import signal
from pathlib import Path

import pytest

import translora
from translora.cli import main
from translora.config import SourceConfig
from translora.data.readers.sources import read
from translora.errors import ConfigError, InterruptedRunError
from translora.runs.summary import Shortened
from translora.scoring.metrics import bleu
from translora.training import duration
from translora.training.estimate import Rates, Size, Work, clock, estimate, evenly, rounded, shortened

RATES = Rates(train=2e-4, search=1e-3, greedy=5e-4, loss=5e-5, score=1e-2)
"""So that a step of 1,000 tokens takes 0.2 s."""
WORK = Work(
    steps=[1000] * 700,
    validates=[step % 250 == 0 or step == 700 for step in range(1, 701)],
    validation_sources=4000,
    validation_tokens=10_000,
    validation_pairs=200,
    test_sources=20_000,
    test_pairs=1000,
)


def test_a_run_is_the_sum_of_its_parts():
    found = estimate(WORK, RATES, WORK.whole)
    assert found.training == pytest.approx(140)
    assert found.validations == 3
    assert found.validating == pytest.approx(3 * (2 + 0.5))
    assert found.translating == pytest.approx(2 * 20)
    assert found.scoring == pytest.approx(10)
    assert found.total == pytest.approx(197.5)
    assert found.words == (
        "about 3.5 minutes on this machine: training 2:20, 3 validations 0:08, translating the test set twice 0:40, "
        "scores and report 0:10"
    )


@pytest.mark.parametrize(("steps", "validations"), [(0, 0), (1, 1), (250, 1), (251, 2), (500, 2), (501, 3), (700, 3)])
def test_a_shorter_training_has_a_validation_at_its_end(steps, validations):
    assert estimate(WORK, RATES, Size(steps, 200, 1000)).validations == validations


def test_a_run_that_goes_on_has_only_what_is_left():
    left = dataclasses.replace(WORK, steps=WORK.steps[:100], validates=WORK.validates[-100:], translations=1)
    found = estimate(left, RATES, left.whole)
    assert (found.training, found.validations) == (pytest.approx(20), 1)
    assert "translating the test set 0:20" in found.words
    done = estimate(dataclasses.replace(left, steps=[], validates=[], translations=0), RATES, Size(0, 200, 1000))
    assert done.words == "about 10 seconds on this machine: scores and report 0:10"


@pytest.mark.parametrize("seconds", [400, 200, 160, 120, 80, 40, 20])
def test_what_is_left_of_a_run_fits_and_fills_the_time(seconds):
    size = shortened(WORK, RATES, seconds)
    assert estimate(WORK, RATES, size).total <= 0.9 * seconds
    if size != WORK.whole:
        step = 0.2 + 2.5  # one more, which may bring another validation
        assert estimate(WORK, RATES, size).total > 0.9 * seconds - step - 0.1
    held_out = 2.5 + 40 + 10  # one validation, both translations, scores
    if held_out < 0.45 * seconds:
        assert size[1:] == (200, 1000)
    else:
        assert 50 <= size.validation_pairs <= 200
        assert 50 <= size.test_pairs < 1000


def test_steps_are_cut_before_any_pair():
    assert shortened(WORK, RATES, 300) == WORK.whole
    assert shortened(WORK, RATES, 150) == (400, 200, 1000)


def test_a_time_that_nothing_fits_is_refused_with_one_that_does():
    with pytest.raises(
        ConfigError, match=r"shortest run takes about \d+ seconds more .* 10 seconds are left"
    ) as caught:
        shortened(WORK, RATES, 6)
    enough = int(re.search(r"about (\d+) seconds", str(caught.value))[1])
    assert shortened(WORK, RATES, enough).steps >= 20


def test_a_run_of_few_steps_and_pairs_is_shortened_to_no_less():
    few = Work([1000] * 8, [False] * 7 + [True], 80, 200, 4, 100, 5)
    assert shortened(few, RATES, 5) == (8, 4, 5)
    with pytest.raises(ConfigError, match="shortest run"):
        shortened(few, RATES, 1)


def test_pairs_are_taken_evenly():
    assert evenly(4, 10) == [0, 2, 5, 7]
    assert evenly(10, 3) == [0, 1, 2]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "10 seconds"), (64, "60 seconds"), (100, "1.5 minutes"), (299, "5 minutes"), (970, "16 minutes")],
)
def test_times_in_words(seconds, words):
    assert rounded(seconds) == words


def test_times_of_a_clock():
    assert [clock(seconds) for seconds in (0.4, 59.7, 215)] == ["0:00", "1:00", "3:35"]


class Stopping:
    """A tracker that interrupts the run as Ctrl-C does."""

    def log(self, figures, step):
        if step == 5 and "loss" in figures:
            os.kill(os.getpid(), signal.SIGINT)

    def close(self):
        pass


@pytest.fixture
def known_rates(monkeypatch):
    """A machine whose rates are known, after the real measurement has run."""
    real = duration.measure

    def measured(*arguments):
        found = real(*arguments)
        assert all(rate > 0 for rate in found)
        return Rates(train=0.01, search=1e-4, greedy=1e-4, loss=1e-5, score=1e-4)

    monkeypatch.setattr(duration, "measure", measured)


def test_a_run_that_is_shortened_says_so_and_goes_on_as_it_began(tiny_config, known_rates, monkeypatch, caplog):
    training = dataclasses.replace(tiny_config.training, max_steps=60, evaluate_every=0, canary="skip")
    config = dataclasses.replace(tiny_config, training=training, minutes=2)
    whole = translora.train(dataclasses.replace(config, minutes=0, output=f"{config.output}-whole"), estimate=True)
    assert "minutes on this machine: training" in caplog.text
    assert whole.summary.shortened is None
    caplog.clear()
    with pytest.raises(InterruptedRunError):
        translora.train(config, trackers=[Stopping()])
    began = translora.Run(whole.folder.parent / "run").shortened
    run = translora.train(config)
    cut = run.summary.shortened
    assert cut == began == Shortened(2, cut.steps, 60, 20, 20, 20, 20)
    assert 15 <= cut.steps < 60
    assert run.summary.steps == cut.steps
    assert caplog.text.count(f"shortened to fit 2 minutes: {cut.steps} of 60 steps") == 1
    assert run.config == config
    assert run.translator().translate(["Guten Tag!"])
    assert cut.words in run.report.read_text(encoding="utf-8")
    tokens, all_tokens = ([row["target_tokens"] for row in one.figures() if "loss" in row] for one in (run, whole))
    assert tokens == all_tokens[: cut.steps]  # the same pairs, in the same order


def test_the_demo_in_reverse_says_how_long_it_takes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = ["--data.train.limit=60", "--data.validation.limit=8", "--data.test.limit=8"]
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--reverse", *few, "--training.max_steps=2", "--decoding.max_tokens=8"])
    assert caught.value.code == 0
    shown = capsys.readouterr()
    assert "prompt '<2de> '" in shown.err
    assert re.search(r"About .* on this machine: training \d+:\d\d, 1 validation .*test set twice .*report", shown.err)
    run = translora.Run(Path("runs/demo-reverse"))
    assert (run.config.source, run.config.target) == ("en", "de")
    english = [pair.source for pair in read(SourceConfig(path="mini", split="test", limit=8), "en", "de")]
    assert run.translated("source") == english
    summary = run.summary
    assert summary.bleu_after == bleu(run.translated("after"), run.translated("reference"), "de")
    assert "tok:13a" in summary.signature
    assert summary.shortened is None
    assert "English to German, lora" in run.report.read_text(encoding="utf-8")
    assert translora.Translator.from_pretrained(run.folder).config.target == "de"
