"""Translora's own decoder and search against transformers' `generate`: the same tokens and the same scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
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
from translora.translation.search import Line, search

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
