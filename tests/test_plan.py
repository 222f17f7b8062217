import numpy as np
import pytest

from translora.config import TrainingConfig
from translora.training.plan import Plan

LENGTHS = np.random.default_rng(0).integers(3, 30, 500)


def plan(**options):
    return Plan(LENGTHS, LENGTHS, TrainingConfig(batch_tokens=500, **options), seed=1)


def seen(steps):
    return sorted(i for _, pairs in steps for i in pairs)


@pytest.mark.parametrize("size", [{}, {"step_pairs": 16}, {"step_tokens": 200}, {"step_pairs": 9, "step_tokens": 200}])
def test_an_epoch_sees_every_pair_once(size):
    whole = plan(epochs=2, **size)
    steps = [(step, whole.pairs(step)) for step in range(whole.total_steps)]
    assert len(steps) == whole.total_steps == whole.epoch_ends[-1]
    first = whole.epoch_ends[0]
    assert seen(steps[:first]) == seen(steps[first:]) == list(range(500))
    assert all(len(pairs) <= size.get("step_pairs", 500) for _, pairs in steps)
    assert all(LENGTHS[pairs].sum() <= size.get("step_tokens", 15_000) for _, pairs in steps)


def test_going_on_sees_what_an_uninterrupted_run_sees():
    def rest(start):
        again = plan(epochs=2, step_pairs=7)
        return [again.pairs(step).tolist() for step in range(start, again.total_steps)]

    for cut in (1, 17, 40):
        assert rest(0)[cut:] == rest(cut)


def test_parts_of_epochs_and_step_limits():
    one = plan(epochs=1).total_steps
    assert plan(epochs=0.5).total_steps == -(-one // 2)
    assert plan(epochs=1.5).epoch_ends == [one, plan(epochs=1.5).total_steps]
    limited = plan(epochs=9, max_steps=one + 3)
    assert limited.total_steps == one + 3
    assert limited.epochs_done(one) == 1
    assert 1 < limited.epochs_done(one + 3) < 1.5


def test_validations():
    by_epoch = plan(epochs=2)
    assert [s for s in range(by_epoch.total_steps + 1) if by_epoch.validates_after(s)] == by_epoch.epoch_ends
    by_steps = plan(epochs=1, max_steps=10, evaluate_every=4)
    assert [s for s in range(11) if by_steps.validates_after(s)] == [4, 8, 10]
