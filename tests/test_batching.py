import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from translora.data.batching import epoch_batches, padding_share, sorted_batches

lengths = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=200).map(
    lambda pairs: (np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]))
)


@given(lengths, st.integers(1, 500), st.integers(0, 9))
def test_every_pair_occurs_once_and_no_batch_passes_the_budget(sides, budget, epoch):
    source, target = sides
    for batches in (epoch_batches(source, target, budget, 1, epoch), sorted_batches(source, target, budget)):
        assert sorted(i for batch in batches for i in batch) == list(range(len(source)))
        for batch in batches:
            padded = len(batch) * (source[batch].max() + target[batch].max())
            assert padded <= budget or len(batch) == 1


def test_batches_are_a_pure_function_of_seed_and_epoch():
    random = np.random.default_rng(0)
    source, target = random.integers(1, 50, 1000), random.integers(1, 50, 1000)

    def flat(seed, epoch):
        return [batch.tolist() for batch in epoch_batches(source, target, 400, seed, epoch)]

    assert flat(1, 0) == flat(1, 0)
    assert flat(1, 0) != flat(1, 1)
    assert flat(1, 0) != flat(2, 0)


def test_sorting_by_length_leaves_little_padding():
    random = np.random.default_rng(0)
    source = random.integers(3, 60, 5000)
    target = np.maximum(1, source + random.integers(-3, 4, 5000))
    assert padding_share(epoch_batches(source, target, 2000, 1, 0), source, target) < 0.10
    unsorted = [np.arange(i, i + 20) for i in range(0, 5000, 20)]
    assert padding_share(unsorted, source, target) > 0.30


def test_evaluation_batches_begin_with_the_longest():
    batches = sorted_batches(np.array([2, 9, 4]), np.array([1, 1, 1]), 1)
    assert [int(batch[0]) for batch in batches] == [1, 2, 0]
