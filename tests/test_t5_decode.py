"""Translora's own decoder and search against transformers' `generate`: the same tokens and the same scores."""

from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from peft import LoraConfig as PeftLoraConfig
from transformers import GenerationConfig, LogitsProcessorList

from test_fast_t5 import ARCHITECTURES, build, wide_norms  # noqa: F401  # a fixture of every test here
from translora.config import Config, DecodingConfig, RanksConfig, SourceConfig
from translora.data.readers.sources import read
from translora.models.load import load
from translora.models.lora import merged_copy
from translora.models.t5.cache import Cache
from translora.models.t5.decode import Decoder, UnknownLayerError, copied_bytes
from translora.pipeline import make_trainable
from translora.training.validation import translate_merged
from translora.translation import choices
from translora.translation.choices import Rules, first_best, top
from translora.translation.decode import decode
from translora.translation.generate import OwnLimits, generation_config
from translora.translation.search import Line, begin, search

pytestmark = pytest.mark.usefixtures("wide_norms")

START = 0


def lively(architecture, targets="all-linear,embeddings", **lora):
    """A model of random weights whose translations end by themselves at times."""
    model = build(architecture, targets, **lora).double()
    for parameter in model.parameters():
        parameter.data.mul_(1.6)
    return model.eval()


def sources(count=14, longest=13):
    random = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, longest + 1, (count,), generator=random)
    return [torch.randint(3, 97, (int(length),), generator=random).tolist() for length in lengths]


def rules(model, beams, **options):
    return Rules(START, model.config.eos_token_id, beams, scores=True, **options)


def searched(model, rows, limits, wanted, places=5, **options):
    """The hypotheses of every line."""
    found = {}
    decoder = Decoder(model, next(model.parameters()).dtype, **options)
    lines = [Line(i, *line) for i, line in enumerate(zip(rows, limits, strict=True))]
    search(decoder, lines, wanted, lambda longest: places, lambda number, best: found.update({number: best}))
    return [found[i] for i in range(len(rows))]


def generated(model, rows, limits, wanted):
    """Token ids and scores by transformers, of all `rows` in a batch; for each row as many as beams."""
    end, beams = wanted.end, wanted.beams
    longest, pad = max(map(len, rows)), model.config.pad_token_id
    config = GenerationConfig(
        do_sample=False, num_beams=beams, num_return_sequences=beams, max_new_tokens=max(limits) + 1,
        early_stopping=beams > 1, length_penalty=wanted.length_penalty if beams > 1 else None, pad_token_id=pad,
        eos_token_id=end, decoder_start_token_id=START, no_repeat_ngram_size=wanted.no_repeat_ngram_size,
        repetition_penalty=wanted.repetition_penalty, return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    with torch.inference_mode():
        output = model.generate(
            input_ids=torch.tensor([row + [pad] * (longest - len(row)) for row in rows]),
            attention_mask=torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
            generation_config=config,
            logits_processor=LogitsProcessorList([OwnLimits(limits, beams, end)]),
        )
    ids = [row[1 : row.index(end, 1)] for row in output.sequences.tolist()]
    scores = output.sequences_scores.tolist() if beams > 1 else [0.0] * len(ids)
    return [list(zip(ids[i : i + beams], scores[i : i + beams], strict=True)) for i in range(0, len(ids), beams)]


def assert_same(ours, theirs, beams):
    for our, their in zip(ours, theirs, strict=True):
        assert [one.ids for one in our] == [ids for ids, _ in their]
        if beams > 1:
            assert [one.score for one in our] == pytest.approx([score for _, score in their], abs=2e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("beams", [1, 4])
def test_tokens_and_scores_are_those_of_generate(architecture, beams):
    """In a batch whose lines are taken in a few at a time, with a limit of their own each, and alone."""
    model, rows = lively(architecture), sources()
    limits = [3 + 5 * i % 17 for i in range(len(rows))]
    wanted = rules(model, beams, length_penalty=0.7)
    found = searched(model, rows, limits, wanted)
    assert_same(found, generated(model, rows, limits, wanted), beams)
    for i in (0, 7):
        assert_same(found[i : i + 1], generated(model, rows[i : i + 1], limits[i : i + 1], wanted), beams)
    assert len({len(one[0].ids) for one in found}) > 4
    assert {one[0].cut for one in found} == {True} if architecture == "t5" else {True, False}


GUARDS = [
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 1},
    {"repetition_penalty": 1.4},
    {"repetition_penalty": 0.7, "no_repeat_ngram_size": 3, "length_penalty": -0.5},
]


@pytest.mark.parametrize("guards", GUARDS, ids=str)
@pytest.mark.parametrize("beams", [1, 3])
def test_repetition_guards_are_those_of_generate(guards, beams):
    model, rows = lively("flan-t5"), sources()
    limits = [18] * len(rows)
    wanted = rules(model, beams, **guards)
    found = searched(model, rows, limits, wanted)
    assert_same(found, generated(model, rows, limits, wanted), beams)
    assert [one[0].ids for one in found] != [one[0].ids for one in searched(model, rows, limits, rules(model, beams))]


@pytest.mark.parametrize("beams", [1, 4])
def test_a_line_is_the_same_in_every_batch(beams):
    model, rows = lively("umt5"), sources(30)
    limits = [90 if i % 7 == 0 else 6 for i in range(len(rows))]  # some run on past several refills of the others
    wanted = rules(model, beams)
    together, alone, few = (searched(model, rows, limits, wanted, places) for places in (30, 1, 8))
    for others in (alone, few):
        for our, other in zip(together, others, strict=True):
            assert [one.ids for one in our] == [one.ids for one in other]
            assert [one[1:3] for one in our] == [pytest.approx(one[1:3], rel=1e-5, abs=1e-5) for one in other]
    assert max(len(one[0].ids) for one in together) == 90


@pytest.mark.parametrize("beams", [1, 4])
def test_log_probabilities_are_those_of_teacher_forcing(beams):
    model, rows = lively("mt5"), sources()
    limits, wanted = [9] * len(rows), rules(model, beams, repetition_penalty=1.2)
    for row, hypotheses in zip(rows, searched(model, rows, limits, wanted), strict=True):
        for one in hypotheses:
            ids = torch.tensor([[START, *one.ids, wanted.end]])
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([row]), decoder_input_ids=ids[:, :-1]).logits
            logs = logits.log_softmax(-1).gather(2, ids[:, 1:, None]).flatten()
            assert one.chosen == len(one.ids) + (not one.cut)
            assert one.log_probability == pytest.approx(float(logs[: one.chosen].sum()), abs=1e-4)


BUNDLE = {
    "ranks": RanksConfig(embeddings=2), "scale_by_weight": True, "tie_embeddings": True,
    "also_train": ("norms", "position-bias"),
}  # fmt: skip


@pytest.mark.parametrize("options", [{"dora": True}, {"rslora": True}, {"init": "pissa"}, BUNDLE], ids=str)
@pytest.mark.parametrize("own", [True, False])
def test_every_kind_of_adapter_is_merged_or_called(options, own):
    targets = "q,v,wo" if "init" in options else "q,v,wo,embeddings"
    model, rows = lively("t5" if options == BUNDLE else "flan-t5", targets, **options), sources(6)
    limits, wanted = [8] * len(rows), rules(model, 1)
    assert_same(searched(model, rows, limits, wanted, own=own), generated(model, rows, limits, wanted), 1)


def test_copies_are_counted_and_the_model_is_left_as_it_was():
    model = build("umt5", "all-linear,embeddings")
    model.get_base_model().encoder.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    decoder = Decoder(model, torch.float32)
    assert decoder.nbytes == copied_bytes(model, torch.float32)
    assert Decoder(model, torch.float32, own=False).nbytes == 0
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_layer_with_a_bias_is_refused():
    model = build("flan-t5", "")
    model.decoder.block[0].layer[-1].DenseReluDense.wo.bias = torch.nn.Parameter(torch.ones(24))
    with pytest.raises(UnknownLayerError, match="Linear has a bias"):
        Decoder(model, torch.float32)


@pytest.mark.parametrize("beams", [1, 3])
def test_float32_chooses_the_same_tokens(beams):
    model, rows = lively("flan-t5"), sources()
    limits, wanted = [6] * len(rows), rules(model, beams)
    exact, rough = (searched(model.to(dtype), rows, limits, wanted) for dtype in (torch.float64, torch.float32))
    assert [one[0].ids for one in exact] == [one[0].ids for one in rough]


def test_bfloat16_logits_are_near():
    logits = []
    for dtype in (torch.float64, torch.bfloat16):
        decoder, rows = Decoder(lively("flan-t5").to(dtype), dtype), sources()
        encoded = decoder.encode(rows)
        cache = Cache(decoder.shape, len(rows), 1, int(encoded.lengths.max()))
        cache.put(np.arange(len(rows)), encoded.sources, encoded.lengths, START)
        for token in (5, 9):
            states = decoder.step(cache)
            cache.advance(torch.full((len(rows), 1), token))
        with torch.no_grad():
            logits.append(decoder.head()(states).double())
    with torch.no_grad():
        assert decoder.head()(states).dtype == torch.bfloat16
    near = torch.cosine_similarity(*logits)
    assert float(near.mean()) > 0.98
    assert float(near.min()) > 0.9


@pytest.mark.parametrize("width", [97, 1031, 2048, 8000, 32_100])
def test_the_largest_are_found_in_blocks(width):
    random = torch.Generator().manual_seed(0)
    scores = torch.randint(0, width // 4, (7, width), generator=random).float()  # many are equal
    scores[3] = -torch.inf
    scores[3, 5] = 1.0
    assert torch.equal(first_best(scores), torch.tensor([int((row == row.max()).nonzero()[0]) for row in scores]))
    sums = torch.tensor([[0.0, -3.0], [-torch.inf, 1.0], [5.0, 5.0]])
    values, beams, ids, highest = top(scores[:6], sums, 8)
    every = scores[:6].view(3, 2, width) + sums[:, :, None]
    assert torch.equal(values, every.flatten(1).topk(8)[0])
    assert torch.equal(every.flatten(1).gather(1, beams * width + ids), values)
    assert all(len(set(row)) == 8 for row in (beams * width + ids).tolist())
    assert torch.equal(highest, scores[:6].amax(1).view(3, 2))


def test_logits_are_computed_in_blocks(monkeypatch):
    model, rows = lively("flan-t5"), sources()
    limits, wanted = [6] * len(rows), rules(model, 3, no_repeat_ngram_size=2)
    whole = searched(model, rows, limits, wanted)
    monkeypatch.setattr(choices, "_LEAST_ROWS", 2)
    monkeypatch.setattr(choices, "_BLOCK_LOGITS", {"cpu": 1})
    blocks = searched(model, rows, limits, wanted)
    assert [[one.ids for one in line] for line in whole] == [[one.ids for one in line] for line in blocks]


def mini_lines(count):
    pairs = read(SourceConfig(path="mini", split="test"), "de", "en")
    return [pair.source for pair, _ in zip(pairs, range(count), strict=False)]


@pytest.mark.parametrize("beams", [1, 4])
def test_texts_of_the_embedded_model_equal_those_of_generate(beams):
    translator = load(Config(model="mini"))
    translator.model.double()
    translator.dtype = torch.float64
    lines, decoding = mini_lines(12), DecodingConfig(beams=beams, max_tokens=40)
    ours = decode(translator, lines, decoding, scores=True)
    translator.path = "own"
    theirs = decode(translator, lines, decoding, scores=True)
    assert [one.text for one in ours] == [one.text for one in theirs]
    assert [one.cut_by for one in ours] == [one.cut_by for one in theirs]
    assert [one.score for one in ours] == pytest.approx([one.score for one in theirs], abs=1e-5)


def test_guards_reach_generate_too(tiny_config):
    config = generation_config(load(tiny_config), DecodingConfig(no_repeat_ngram_size=3, repetition_penalty=1.5), 9)
    assert (config.no_repeat_ngram_size, config.repetition_penalty) == (3, 1.5)


@pytest.mark.parametrize("fails", [[0], [3], [3, 4, 20]])
def test_where_memory_runs_out_the_rest_goes_on_in_halves(tiny_config, monkeypatch, fails):
    translator = load(tiny_config)
    lines, decoding = mini_lines(12), DecodingConfig(max_ratio=1.0, batch_tokens=120)
    expected, steps, done = decode(translator, lines, decoding), [], []
    step = Decoder.step

    def tight(self, cache):
        steps.append(cache.lines)
        if len(steps) - 1 in fails:
            raise torch.OutOfMemoryError
        return step(self, cache)

    monkeypatch.setattr(Decoder, "step", tight)
    assert decode(translator, lines, decoding, done.append) == expected
    assert sum(done) == len(lines)
    assert steps[fails[-1] + 1] < max(steps)


def test_a_model_with_rules_of_its_own_is_left_to_generate(tiny_config, monkeypatch):
    translator = load(tiny_config)
    translator.model.generation_config.bad_words_ids = [[5]]
    monkeypatch.setattr(Decoder, "step", lambda *_: pytest.fail("not by our own decoder"))
    assert decode(translator, ["Ja."], DecodingConfig(max_tokens=3))[0].text is not None


def test_no_line_at_all():
    model = lively("flan-t5")
    assert searched(model, [], [], rules(model, 1)) == []


def test_validation_copies_no_model_and_leaves_it_as_it_was(tiny_config, monkeypatch):
    translator = load(tiny_config)
    make_trainable(translator, tiny_config)
    for name, parameter in translator.model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3)
    merged = replace(translator, model=merged_copy(translator.model), path="own")
    expected = decode(merged, mini_lines(5), tiny_config.decoding)
    before = {name: tensor.clone() for name, tensor in translator.model.state_dict().items()}
    monkeypatch.setattr("copy.deepcopy", lambda *_: pytest.fail("copied"))
    found = translate_merged(translator, mini_lines(5), tiny_config.decoding, "validate")
    assert [one.text for one in found] == [one.text for one in expected]
    assert all(torch.equal(tensor, before[name]) for name, tensor in translator.model.state_dict().items())


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


def test_alternatives_are_the_next_best_hypotheses(tiny_model):
    """Each line of a batch of several parts has as many as its part asks for."""
    from translora.translation.decode import Part, decode_parts, make_decoder

    translator = load(Config(model=str(tiny_model)))
    decoding = DecodingConfig(beams=3, max_tokens=8)
    lines = ["Guten Morgen!", "", "Ja"]
    first, second = decode_parts(
        [Part(translator, lines, decoding, alternatives=2), Part(translator, lines, replace(decoding, max_tokens=5))],
        make_decoder(translator),
        scores=True,
    )
    alone = decode(translator, lines, decoding, scores=True)
    assert [one.text for one in first] == [one.text for one in alone]
    assert [len(one.alternatives) for one in first] == [2, 0, 2]
    assert not any(one.alternatives for one in second)
    assert [one.text for one in second] == [
        one.text for one in decode(translator, lines, replace(decoding, max_tokens=5))
    ]
    texts = [one.text for one in (first[0], *first[0].alternatives)]
    assert len(set(texts)) == 3
