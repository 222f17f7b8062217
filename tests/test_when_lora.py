"""The grid of `benchmarks/when_lora.py`: its cells are comparisons, and its shares are of full fine-tuning's gain."""

import argparse
import math

import pytest
import when_lora

from translora.comparison.variants import read_variants


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


def test_the_share_is_of_full_fine_tunings_gain():
    assert when_lora._shares([15, 25], [20, 20], 10) == [0.5, 1.5]
    assert math.isnan(*when_lora._shares([10], [10], 10))
