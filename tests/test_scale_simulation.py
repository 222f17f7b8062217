"""The simulation of many ranks: its steps are those of a training, and its parts add up."""

import pytest
import scale_simulation
from workload import flan_t5, news_lengths

LENGTHS = news_lengths(20_000)


def setting(**changed):
    values = {
        "shape": scale_simulation.shape_config("small"),
        "gradient_bytes": 8_000_000,
        "method": "lora",
        "flops": 1e12,
        "bandwidth": 1e9,
        "latency": 1e-4,
        "jitter": 0.0,
        "budget": 4096,
    }
    return scale_simulation.Setting(**values | changed)


def test_ranks_that_need_no_network_are_as_fast_as_their_shares_are_even():
    free = setting(gradient_bytes=0, latency=0.0)
    alone, eight = (scale_simulation.simulated(free, ranks, 16_384, LENGTHS) for ranks in (1, 8))
    assert (alone["waiting"], alone["network"], eight["network"]) == (pytest.approx(0), 0, 0)
    assert eight["tokens_per_second"] == pytest.approx(8 * alone["tokens_per_second"] * (1 - eight["waiting"]))
    assert 0 < eight["waiting"] < 0.1
    assert scale_simulation.simulated(setting(jitter=0.1), 8, 16_384, LENGTHS)["waiting"] > eight["waiting"]


def test_the_ring_sends_all_but_its_own_part_twice():
    assert scale_simulation.network_seconds(setting(), 1) == 0
    assert scale_simulation.network_seconds(setting(latency=0.0), 8) == pytest.approx(2 * 7 / 8 * 0.008)
    assert scale_simulation.network_seconds(setting(gradient_bytes=0), 8) == pytest.approx((2 * 7 + 3 * 2 * 3) * 1e-4)
    seconds = scale_simulation.network_seconds(setting(), 8)
    found = scale_simulation.simulated(setting(), 8, 16_384, LENGTHS)
    steps = scale_simulation.STEPS
    tokens = sum(
        LENGTHS[0][pairs].sum() + LENGTHS[1][pairs].sum()
        for pairs in scale_simulation.epoch_groups(LENGTHS[1], 0, 16_384, seed=1, epoch=0)[:steps]
    )
    assert found["network"] == pytest.approx(steps * seconds / (tokens / found["tokens_per_second"]))


def test_full_fine_tuning_sends_every_weight():
    model = flan_t5("tiny", dropout=0.0)
    assert scale_simulation.gradient_bytes("tiny", "full") == 4 * sum(one.numel() for one in model.parameters())
