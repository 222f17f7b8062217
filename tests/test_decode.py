import dataclasses

import pytest
import torch

from translora.config import Config, DecodingConfig
from translora.models.load import load
from translora.translation.decode import decode, translate

LINES = ["Guten Morgen!", "", "Ein sehr viel längerer Satz, der anders gefüllt wird als die anderen.", "  ", "Ja."]


@pytest.fixture
def translator(tiny_config):
    return load(tiny_config)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("limits", [{"max_tokens": 12}, {"max_ratio": 1.0}])
def test_each_line_is_translated_as_if_alone(translator, beams, limits):
    """Also a random model's translations, which only end at their limits."""
    decoding = DecodingConfig(beams=beams, **limits)
    together = translate(translator, LINES, decoding)
    alone = [translate(translator, [line], decoding)[0] for line in LINES]
    assert together == alone
    assert [bool(text) for text in together] == [True, False, True, False, True]


def test_the_budget_changes_no_translation(translator):
    small, large = (DecodingConfig(max_tokens=12, batch_tokens=tokens) for tokens in (1, 10_000))
    assert translate(translator, LINES, small) == translate(translator, LINES, large)


def test_greedy_is_what_transformers_generates(translator):
    inputs = translator.tokenizer("<2en> " + LINES[0], return_tensors="pt")
    expected = translator.model.generate(**inputs, max_new_tokens=12, do_sample=False, num_beams=1)
    text = translator.tokenizer.decode(expected[0], skip_special_tokens=True)
    assert translate(translator, LINES[:1], DecodingConfig(max_tokens=12)) == [" ".join(text.split())]


@pytest.mark.parametrize("beams", [1, 3])
def test_the_lines_that_were_cut_are_known_with_the_limit(translator, beams):
    """A random model goes on for ever; limits differ by line."""
    found = decode(translator, LINES, DecodingConfig(beams=beams, max_tokens=25, max_ratio=2.0))
    assert [one.cut_by for one in found] == ["max_ratio", "", "max_tokens", "", "max_ratio"]
    assert [one.cut for one in found] == [True, False, True, False, True]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_translation_that_ends_at_its_limit_by_itself_is_not_cut(beams):
    translator = load(Config(model="mini"))
    (whole,) = decode(translator, ["Guten Morgen!"], DecodingConfig(beams=beams))
    tokens = len(translator.tokenizer(whole.text, add_special_tokens=False)["input_ids"])
    at_limit, below = (
        decode(translator, ["Guten Morgen!"], DecodingConfig(beams=beams, max_tokens=most))[0]
        for most in (tokens, tokens - 1)
    )
    assert (whole.cut, at_limit.cut, below.cut) == (False, False, True)
    assert at_limit.text == whole.text != below.text


@pytest.mark.parametrize("beams", [1, 2])
def test_a_score_is_the_mean_log_probability_by_transformers(beams):
    translator = load(Config(model="mini"))
    lines = ["Guten Morgen!", "Das Haus am See ist sehr groß und alt.", ""]
    found = decode(translator, lines, DecodingConfig(beams=beams), scores=True)
    for line, one in zip(lines[:2], found, strict=False):
        inputs = translator.tokenizer(translator.prompt + line, return_tensors="pt")
        options = {"num_beams": beams, "early_stopping": beams > 1, "do_sample": False}
        output = translator.model.generate(**inputs, max_new_tokens=99, **options)
        with torch.inference_mode():
            loss = translator.model(**inputs, labels=output[:, 1:]).loss
        assert one.score == pytest.approx(-float(loss), abs=1e-4)
    assert found[2].score is None


def test_lengths_are_limited(translator):
    def tokens(**options):
        text = translate(translator, ["Ja."], DecodingConfig(**options))[0]
        return len(translator.tokenizer(text, add_special_tokens=False)["input_ids"])

    source = len(translator.tokenizer("<2en> Ja.")["input_ids"])
    assert tokens(max_tokens=5) <= 5
    assert 20 < tokens(max_ratio=4.0) <= 4 * source + 10


def test_progress_counts_every_line(translator):
    done = []
    translate(translator, LINES, DecodingConfig(max_tokens=2), done.append)
    assert sum(done) == len(LINES)
    assert translate(translator, [], DecodingConfig()) == []


def test_a_line_break_in_the_output_does_not_shift_lines(translator):
    """Every token is one of two kinds of line break: the head knows no others, and one of them is above 0."""
    breaks = [translator.tokenizer.convert_tokens_to_ids(token) for token in ("<0x0A>", "<0x0D>")]
    head = translator.model.lm_head.weight.data
    direction = head[5].clone()
    head.zero_()
    head[breaks[0]], head[breaks[1]] = direction, -direction
    rows = [translator.tokenizer("a", return_tensors="pt")["input_ids"]]
    made = translator.model.generate(input_ids=rows[0], max_new_tokens=3, num_beams=1)[0, 1:].tolist()
    assert set(made) <= set(breaks)
    results = translate(translator, ["a", "b"], dataclasses.replace(DecodingConfig(), max_tokens=3))
    assert results == ["", ""]
