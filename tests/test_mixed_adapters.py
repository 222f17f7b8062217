"""Several adapters in one batch, and lines that come while others run: the same tokens and scores as alone."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
import torch
from peft import LoraConfig as PeftLoraConfig

from test_fast_t5 import wide_norms  # noqa: F401  # a fixture of every test here
from test_t5_decode import lively, rules, searched, sources
from translora.models.t5.decode import Decoder, UnknownLayerError
from translora.translation.search import Line, begin, search

pytestmark = pytest.mark.usefixtures("wide_norms")


def several_adapters(architecture):
    """A base with three adapters of other ranks and layers, and what each does."""
    model = lively(architecture, "all-linear,embeddings")
    for name, options in {"b": {"r": 5, "target_modules": ["q", "wo"]}, "c": {"r": 2, "target_modules": ["v"]}}.items():
        model.add_adapter(name, PeftLoraConfig(lora_alpha=9, **options))
    for name, parameter in model.double().named_parameters():
        if ".b" in name or ".c" in name:
            parameter.data.normal_(std=0.5)
    return model.eval()


@pytest.mark.parametrize("architecture", ["flan-t5", "umt5"])
@pytest.mark.parametrize("beams", [1, 3])
def test_adapters_mixed_in_a_batch_are_each_as_alone(architecture, beams):
    """-1 is the base alone."""
    model, rows, names = several_adapters(architecture), sources(16), ("default", "b", "c")
    limits, wanted, found = [7] * len(rows), rules(model, beams), {}
    mixed = [Line(i, row, 7, i % 4 - 1) for i, row in enumerate(rows)]
    decoder = Decoder(model, torch.float64, adapters=names)
    search(decoder, mixed, wanted, lambda longest: 6, lambda number, best: found.update({number: best}))
    texts = []
    for adapter in range(-1, 3):
        with nullcontext() if adapter >= 0 else model.disable_adapter():
            if adapter >= 0:
                model.set_adapter(names[adapter])
            alone = searched(model, rows, limits, wanted)
        texts.append([one[0].ids for one in alone])
        for i in range(adapter + 1, len(rows), 4):
            assert [one.ids for one in found[i]] == [one.ids for one in alone[i]]
            assert [one.score for one in found[i]] == pytest.approx([one.score for one in alone[i]], abs=1e-5)
    assert all(one != other for one, other in combinations(texts, 2))


class Coming:
    """A source of lines that come, and of some that are withdrawn, before the steps of these numbers."""

    def __init__(self, lines, comes, goes):
        self.coming = sorted(zip(comes, lines, strict=True), key=lambda one: one[0])
        self.goes, self.now, self.queue = dict(goes), 0, []

    def withdrawn(self):
        self.now += 1
        while self.coming and self.coming[0][0] <= self.now:
            self.queue.append(self.coming.pop(0)[1])
        return {number for number, step in self.goes.items() if step == self.now}

    def waiting(self):
        return len(self.queue)

    def take(self, fits):
        taken = []
        while self.queue and fits(self.queue[0]):
            taken.append(self.queue.pop(0))
        return taken


@pytest.mark.parametrize("beams", [1, 3])
def test_lines_that_come_while_others_run_are_as_alone(beams):
    """With limits and adapters of their own; places of withdrawn lines are free for others at once."""
    model, rows, names = several_adapters("flan-t5"), [*sources(20, 9), *sources(4, 40)], ("default", "b", "c")
    wanted, decoder = rules(model, beams), Decoder(model, torch.float64, adapters=names)
    lines = [Line(i, row, 4 + 7 * i % 23, i % 4 - 1) for i, row in enumerate(rows)]
    comes = [0, 0, 0, *(1 + 5 * i % 14 for i in range(len(rows) - 3))]
    lines[0], lines[1] = replace(lines[0], limit=60), replace(lines[1], limit=60)
    goes, found, worked = {1: 9, 2: 4}, {}, []

    def places(longest):
        return 9 if longest < 20 else 5

    def tell(number, best):
        assert number not in found
        found[number] = best

    source = Coming(lines, comes, goes)
    running = begin(decoder, source, wanted, places, tell)
    while running.step() or source.coming:
        worked.append([line.number for line in running.lines if line is not None])
        assert len(worked[-1]) <= places(max((len(rows[number]) for number in worked[-1]), default=0))
    assert set(found) == set(range(len(rows))) - set(goes)
    for number, step in goes.items():
        assert number in worked[step - 2]
        assert not any(number in under_way for under_way in worked[step - 1 :])
    joined = {number for before, after in pairwise(worked) if before for number in set(after) - set(before)}
    assert len(joined) > 8
    for number, together in found.items():
        alone = []
        search(decoder, [lines[number]], wanted, lambda longest: 1, lambda i, best, into=alone: into.extend(best))
        for our, other in zip(together, alone, strict=True):
            assert our.ids == other.ids
            assert our[1:] == pytest.approx(other[1:], rel=1e-5, abs=1e-5)


def test_few_lines_that_wait_are_taken_in_before_long():
    """Neither for want of a free place nor because it is one place of many."""
    model, rows = lively("umt5"), sources(40)
    source = Coming([Line(i, row, 90 if i < 30 else 5) for i, row in enumerate(rows)], [0] * 30 + [4] * 10, {})
    began = {}
    running = begin(Decoder(model, torch.float64), source, rules(model, 1), lambda longest: 200, lambda *_: None)
    while running.step():
        began |= {line.number: source.now for line in running.lines if line is not None and line.number not in began}
    assert max(began[number] for number in range(30, 40)) <= 4 + 10


def test_an_adapter_that_is_no_plain_lora_cannot_be_mixed():
    with pytest.raises(UnknownLayerError, match="the adapter default is more than a plain LoRA"):
        Decoder(lively("flan-t5", "q,v", dora=True), torch.float64, adapters=("default",))


@pytest.mark.parametrize(("kind", "module"), [("norms", "T5LayerNorm"), ("position-bias", "Embedding")])
def test_an_adapter_with_norms_or_position_bias_of_its_own_cannot_be_mixed(kind, module):
    model = lively("flan-t5", "q,v", also_train=(kind,))
    with pytest.raises(UnknownLayerError, match=f"the adapter has its own {module}"):
        Decoder(model, torch.float64, adapters=("default",))
    decoder = Decoder(lively("flan-t5", "q,v"), torch.float64, adapters=("default",))
    with pytest.raises(UnknownLayerError, match=f"the adapter has its own {module}"):
        decoder.take(model, "default", "other")
    assert decoder.adapters == ("default",)


def test_tied_adapters_of_embeddings_are_mixed():
    model, rows = lively("t5", "q,embeddings", tie_embeddings=True), sources(5)
    wanted, found = rules(model, 2), {}
    decoder = Decoder(model, torch.float64, adapters=("default",))
    lines = [Line(i, row, 7, 0) for i, row in enumerate(rows)]
    search(decoder, lines, wanted, lambda longest: 6, lambda number, best: found.update({number: best}))
    alone = searched(model, rows, [7] * len(rows), wanted)
    assert [found[i][0].ids for i in range(len(rows))] == [one[0].ids for one in alone]


def test_adapters_that_come_and_go_are_as_if_they_were_there_from_the_start():
    model, rows, names = several_adapters("flan-t5"), sources(12), ("default", "b", "c")
    wanted = rules(model, 2)

    def found(decoder, numbers):
        got = {}
        lines = [Line(i, row, 7, numbers[i % len(numbers)]) for i, row in enumerate(rows)]
        search(decoder, lines, wanted, lambda longest: 6, lambda number, best: got.update({number: best}))
        return [got[i][0].ids for i in range(len(rows))]

    with model.disable_adapter():
        decoder = Decoder(model, torch.float64, adapters=("default",))
    decoder.drop(0)
    assert decoder.adapters == ()
    base = found(decoder, [-1])
    assert [decoder.take(model, name, name) for name in names] == [0, 1, 2]
    whole = Decoder(model, torch.float64, adapters=names)
    assert found(decoder, [-1, 0, 1, 2]) == found(whole, [-1, 0, 1, 2])
    assert decoder.nbytes == whole.nbytes
    decoder.drop(1)
    assert decoder.adapters == ("default", "", "c")
    assert found(decoder, [2, 0]) == found(whole, [2, 0])
    assert decoder.take(model, "b", "again") == 1
    assert found(decoder, [1, 2]) == found(whole, [1, 2])
    with pytest.raises(UnknownLayerError):
        decoder.take(lively("flan-t5", "q,v", dora=True), "default", "dora")
    for number in range(3):
        decoder.drop(number)
    assert found(decoder, [-1]) == base
    with pytest.raises(UnknownLayerError, match="read in place"):
        Decoder(model, torch.float64, own=False).take(model, "b", "b")
