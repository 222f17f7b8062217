"""The grid of `benchmarks/when_lora.py`: its cells are comparisons, and its shares are of full fine-tuning's gain."""

import argparse
import dataclasses
from pathlib import Path

import pytest
import when_lora
from when_lora import bleu_of

from translora.comparison.variants import read_variants
from translora.pipeline import train


def options(**changed):
    values = {"folder": "grid", "steps": 750, "test_pairs": 0, "seeds": 3, "variants": list(when_lora.VARIANTS)}
    return argparse.Namespace(**values | changed)


@pytest.mark.parametrize("pairs", when_lora.PAIRS)
def test_a_cell_has_the_same_steps_for_all_whatever_the_pairs(pairs):
    config, comparison = when_lora.cell_config(options(), "mini", pairs)
    variants = read_variants(config, comparison)
    assert [variant.name for variant in variants] == list(when_lora.VARIANTS)
    for variant in variants:
        assert variant.config.data.train.limit == pairs
        assert variant.config.training.max_steps == 750
        assert variant.config.training.epochs * pairs >= 750 * when_lora.MOST_PAIRS_A_STEP
    assert (comparison.seeds, comparison.equal_time) == (3, "off")


def test_the_runs_that_are_done_tell_the_shares(tiny_model, tmp_path):
    """Validation decides about the rate, and shares are of the gain of full fine-tuning with the same seed."""
    wanted = options(folder=str(tmp_path), steps=2, test_pairs=4, variants=[when_lora.FULL, "rank-4"], read=True)
    config, comparison = when_lora.cell_config(wanted, str(tiny_model), 20)
    full, rank = read_variants(config, comparison)
    folder = Path(config.output)
    before = train(dataclasses.replace(config, method="none", output=str(folder / "untouched"))).summary
    runs = [(full, full.rates[0], 1), (rank, rank.rates[0], 1), (rank, rank.rates[1], 1)]
    done = {one: _trained(folder, *one) for one in runs}
    found = when_lora.cell(wanted, str(tiny_model), 20)
    assert found["untouched_bleu"] == before.scores_after.bleu.score
    whole, adapter = found["variants"]
    assert whole["bleu"] == [bleu_of(done[runs[0]])]
    assert set(whole["share_of_gain"]) <= {1}
    best = max(runs[1:], key=lambda one: max(done[one].validation_bleu()))
    assert (adapter["rate"], adapter["bleu"]) == (best[1], [bleu_of(done[best])])
    gains = [bleu_of(done[one]) - found["untouched_bleu"] for one in (best, runs[0])]
    assert adapter["share_of_gain"] == pytest.approx([gains[0] / gains[1]] if gains[1] > 0 else [])
    assert 0 < adapter["trained_share"] < whole["trained_share"] == 1


def _trained(folder, variant, rate, seed):
    output = folder / variant.name / f"rate-{rate:g}" / f"seed-{seed}"
    return train(variant.run_config(output, rate, seed))


def test_a_cell_without_runs_says_nothing(tmp_path):
    found = when_lora.cell(options(folder=str(tmp_path), read=True), "mini", 500)
    assert (found["variants"], found["untouched_bleu"]) == ([], None)
