"""The shortlist of a vocabulary: searches with one, the file beside the weights, and all that translates with it."""

import json
import shutil
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

import translora
from test_cli import call
from test_fast_t5 import wide_norms  # noqa: F401  # a fixture
from test_mixed_adapters import several_adapters
from test_t5_decode import START, assert_same, generated, lively, rules, searched, sources
from translora.config import Config, DataConfig, DecodingConfig, LoraConfig, SourceConfig, TrainingConfig
from translora.data.tokens import control_tokens, encode
from translora.errors import ConfigError, ModelError
from translora.export.job import Request, export
from translora.models.load import load
from translora.models.shortlist import SHORTLIST, Shortlist
from translora.models.t5.decode import Decoder
from translora.runs.folder import Run
from translora.serve.engines import Options, Work
from translora.serve.models import Loading, Models
from translora.translation.decode import Part, decode
from translora.translation.running import PartTicket
from translora.translation.search import Line, search
from translora.translation.shortlist import with_shortlist
from translora.translation.stream import TextOptions, asked_of, require_same

VOCABULARY = 97
GUARDS = {"no_repeat_ngram_size": 2, "repetition_penalty": 1.3}
LINES = ["Guten Morgen!", "", "Wo ist der Bahnhof?", "Klicken Sie auf Speichern.", "Ja"]
SOME = Shortlist(np.array([START, 1, *range(4, VOCABULARY, 3)]), "some")


@pytest.mark.parametrize(
    ("architecture", "beams", "guards"),
    [("umt5", 1, {}), ("flan-t5", 1, GUARDS), ("flan-t5", 4, {}), ("umt5", 4, GUARDS)],
)
@pytest.mark.usefixtures("wide_norms")
def test_tokens_and_scores_are_those_of_generate_without_the_others(architecture, beams, guards):
    """Where the logits of all other tokens are minus infinity: in a batch, alone, and with the weights in place."""
    model, rows = lively(architecture), sources()
    limits, outside = [3 + 5 * i % 17 for i in range(len(rows))], torch.ones(VOCABULARY, dtype=torch.bool)
    outside[SOME.ids] = False
    wanted = rules(model, beams, shortlist=SOME, **guards)
    found = searched(model, rows, limits, wanted)
    free = searched(model, rows, limits, wanted._replace(shortlist=None))
    assert [one[0].ids for one in found] != [one[0].ids for one in free]
    everything = Shortlist.of(range(VOCABULARY), VOCABULARY)
    assert searched(model, rows, limits, wanted._replace(shortlist=everything)) == free
    for own, places in ((True, 1), (False, 5)):
        for our, other in zip(searched(model, rows, limits, wanted, places, own=own), found, strict=True):
            assert [one.ids for one in our] == [one.ids for one in other]
            assert our[0][1:3] == pytest.approx(other[0][1:3], abs=1e-5)
    head = model.get_output_embeddings()
    head.register_forward_hook(lambda module, inputs, output: output.masked_fill(outside, -torch.inf))
    assert_same(found, generated(model, rows, limits, wanted), beams)


@pytest.mark.usefixtures("wide_norms")
def test_a_list_with_all_tokens_of_the_translations_changes_no_greedy_one():
    model, rows = lively("flan-t5"), sources()
    limits, free = [18] * len(rows), rules(model, 1, **GUARDS)
    before = [one[0].ids for one in searched(model, rows, limits, free)]
    listed = Shortlist(np.unique([START, free.end, *chain.from_iterable(before)]), "used")
    assert len(listed) < VOCABULARY - 20
    after = searched(model, rows, limits, free._replace(shortlist=listed))
    assert [one[0].ids for one in after] == before


@pytest.mark.usefixtures("wide_norms")
def test_adapters_mixed_in_a_batch_are_each_as_alone_with_a_shortlist():
    """Those that come after the list was in use too."""
    model, rows, names = several_adapters("flan-t5"), sources(12), ("default", "b", "c")
    wanted = rules(model, 3, shortlist=SOME)
    decoder = Decoder(model, torch.float64, adapters=names[:2])

    def together(adapters):
        found = {}
        lines = [Line(i, row, 7, i % adapters) for i, row in enumerate(rows)]
        search(decoder, lines, wanted, lambda longest: 6, lambda number, best: found.update({number: best}))
        return [found[i] for i in range(len(rows))]

    copied = decoder.nbytes
    two = together(2)
    assert decoder.nbytes > copied
    decoder.take(model, "c", "c")
    three = together(3)
    for number, name in enumerate(names):
        model.set_adapter(name)
        alone = searched(model, rows, [7] * len(rows), wanted)
        for found, count in ((two, 2), (three, 3)):
            for i in range(number, len(rows), count) if number < count else ():
                assert [one.ids for one in found[i]] == [one.ids for one in alone[i]]
    for number in range(3):
        decoder.drop(number)
    with model.disable_adapter():
        assert [one[0].ids for one in together(1)] != [one[0].ids for one in two]


@pytest.mark.parametrize(
    ("wanted", "rows", "count"), [([3, 700], 1000, 256), ([*range(300)], 1000, 512), ([5], 100, 100)]
)
def test_a_list_is_filled_up_with_the_lowest_tokens(wanted, rows, count):
    found = Shortlist.of([*wanted, -1, rows], rows)
    assert len(found) == count
    assert {*wanted} <= {*found.ids.tolist()} <= {*range(rows)}
    others = sorted({*found.ids.tolist()} - {*wanted})
    assert others == [i for i in range(rows) if i not in wanted][: len(others)]
    assert found == Shortlist.of(found.ids, rows)
    assert found != Shortlist.of(range(2), rows + 1)


def recipe(model, corpus, output, **fields):
    return Config(
        model=str(model), output=str(output),
        data=DataConfig(train=SourceConfig(path=str(corpus)), validation_size=10, test_size=10),
        lora=LoraConfig(rank=4, targets="q,v,lm_head"),
        training=TrainingConfig(max_steps=2, batch_tokens=600, learning_rate=1e-2, canary="skip"),
        decoding=DecodingConfig(max_tokens=8, beams=2, shortlist="targets"),
        **fields,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tiny_model, corpus_file, tmp_path_factory):
    """A run whose recipe asks for the shortlist; its random model writes all kinds of tokens."""
    return translora.train(recipe(tiny_model, corpus_file, tmp_path_factory.mktemp("listed") / "run"), quiet=True)


@pytest.fixture(scope="module")
def translator(run):
    return run.translator()


def test_a_run_writes_its_list_and_translates_with_it(run, translator, corpus_file):
    """In a batch and alone."""
    found = json.loads((run.adapter / SHORTLIST).read_text())
    assert set(found) == {"made_from", "vocabulary_sha256", "tokens"}
    assert found["made_from"]["train pairs"] == json.loads(run.inputs.read_text())["train pairs"]
    listed, tokenizer = set(found["tokens"]), translator.tokenizer
    assert translator.shortlist == Shortlist.of(found["tokens"], len(tokenizer))
    assert len(listed) % 256 == 0
    assert len(listed) < len(tokenizer) / 2
    targets = [line.split("\t")[1] for line in corpus_file.read_text().splitlines()]
    pairs = [set(ids) for ids in encode(targets, tokenizer, target=True)]
    assert sum(ids <= listed for ids in pairs) >= len(targets) - 20  # validation and test are not training targets
    assert {*tokenizer.convert_tokens_to_ids([*control_tokens(tokenizer), "▁", "7", "q", "ö", "<0x41>"])} <= listed
    assert "beam 2, tokens of the training targets alone" in (run.adapter / "README.md").read_text()
    sources = run.translated("source")
    texts = translator.translate(sources, protect="off")
    assert texts == run.translated("after") != run.translated("before")
    free = translora.Translator.from_pretrained(run.folder, shortlist="off")
    assert free.shortlist is None
    assert free.translate(sources, protect="off") != texts
    decoder = Decoder(translator.model, torch.float32)
    for part in (sources[:1], sources):
        ours = decode(translator.loaded, part, translator.config.decoding, scores=True, decoder=decoder)
        assert [one.text for one in ours] == texts[: len(part)]


def test_scores_of_evaluate_and_lines_of_translate(run, tmp_path, capsys, monkeypatch):
    lines = run.translated("source")
    (tmp_path / "in.txt").write_text("".join(f"{line}\n" for line in lines))
    pairs = zip(lines, run.translated("reference"), strict=True)
    (tmp_path / "ref.tsv").write_text("".join("\t".join(pair) + "\n" for pair in pairs))
    for option, same in ((["--shortlist", "targets"], True), ([], True), (["--shortlist", "off"], False)):
        output = tmp_path / f"{'-'.join(option)}.txt"
        assert call("translate", run.folder, tmp_path / "in.txt", "--protect", "off", *option, "-o", output) == 0
        assert (output.read_text().splitlines() == run.translated("after")) == same
    output = tmp_path / "scored.txt"
    assert call("evaluate", run.folder, "--data", tmp_path / "ref.tsv", "--json", "-o", output) == 0
    assert output.read_text().splitlines() == run.translated("after")
    assert json.loads(capsys.readouterr().out)["bleu"]["score"] == pytest.approx(run.summary.bleu_after, abs=1e-4)
    assert call("evaluate", "--hypotheses", output, "--data", tmp_path / "ref.tsv", "--shortlist", "off") == 2
    assert "--shortlist says how a model translates" in capsys.readouterr().err
    both = [
        asked_of(translora.Translator.from_pretrained(run.folder, shortlist=one), TextOptions(), "", 3)
        for one in ("off", "targets")
    ]
    with pytest.raises(ConfigError, match="was begun with another shortlist"):
        require_same(*both, output, output)


def served_lines(models, name, lines):
    """What a server's engine makes of `lines`, and the key of the group that it is translated in."""
    served = models.get(name)
    translator = next(iter(served.translators.values()))
    reading = served.engine.read(Work(translator, lines, Options(), served.adapter), lambda ticket: None)
    group = served.engine.group(reading.ticket)
    group.add(reading.ticket)
    while group.step():
        pass
    return [one.text for one in reading.finish(reading.ticket.future.result(0))], reading.ticket.key


def test_a_server_translates_with_each_runs_list(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run.folder, other)
    content = json.loads((other / "adapter" / SHORTLIST).read_text())
    content["tokens"] = sorted({*content["tokens"], *range(4000, 9000, 9)})
    (other / "adapter" / SHORTLIST).write_text(json.dumps(content))
    models, keys = Models(Loading()), []
    for name, folder in (("first", run.folder), ("same", run.folder / "adapter" / ".."), ("other", other)):
        models.add(name, str(folder))
        texts, key = served_lines(models, name, LINES)
        assert texts == Run(folder).translator().translate(LINES)
        keys.append(key)
    assert len({served.engine for served in models}) == 1
    assert keys[0] == keys[1] != keys[2]
    models = Models(Loading(shortlist="off"))
    models.add("free", str(run.folder))
    free, key = served_lines(models, "free", LINES)
    assert free == translora.Translator.from_pretrained(run.folder, shortlist="off").translate(LINES)
    assert key[-1] is None
    (other / "adapter" / SHORTLIST).unlink()
    with pytest.raises(ConfigError, match="has no shortlist.json"):
        Models(Loading()).add("other", str(other))


def test_lists_of_other_models_are_other_groups_and_a_missing_one_is_refused(tiny_model):
    bare, decoding = load(Config(model=str(tiny_model))), DecodingConfig(max_tokens=5, shortlist="targets")
    listed = [replace(bare, shortlist=Shortlist.of([0, 1, i], 1000)) for i in (600, 600, 700)]
    first, same, other = (PartTicket.of(Part(one, ["Ja"], decoding), False).key for one in listed)
    assert first == same != other
    with pytest.raises(ConfigError, match="has no shortlist.json, which training writes"):
        PartTicket.of(Part(bare, ["Ja"], decoding), False)
    with pytest.raises(ConfigError, match="has no shortlist.json, which training writes"):
        decode(bare, ["Ja"], decoding)


DAMAGES = {
    "cannot be read": ["", "[]", "{}", '{"tokens": 3}', '{"tokens": [], "vocabulary_sha256": ""}'],
    "no ascending numbers": [[1, 0], [0, 0, 1], [0, 1, 2.0], [0, True], "01", [0, None]],
    "not those of a vocabulary": [[], [0, 1, 10**30], [-1, 0, 1], [2, 3], [0, 2]],
}


@pytest.mark.parametrize(("words", "content"), [(words, one) for words, many in DAMAGES.items() for one in many])
def test_a_damaged_list_is_said_in_one_line(run, translator, tmp_path, words, content):
    known = json.loads((run.adapter / SHORTLIST).read_text())
    text = content if words == "cannot be read" else json.dumps({**known, "tokens": content})
    (tmp_path / SHORTLIST).write_text(text)
    with pytest.raises(ModelError, match=rf"{SHORTLIST}: cannot be read .*{words}|{words}.*--shortlist off") as caught:
        with_shortlist(translator.loaded, tmp_path, translator.config.decoding)
    assert "\n" not in str(caught.value)
    (tmp_path / SHORTLIST).write_text(json.dumps({**known, "vocabulary_sha256": "ab"}))
    with pytest.raises(ModelError, match="made for another vocabulary than the model's"):
        with_shortlist(translator.loaded, tmp_path, translator.config.decoding)


def test_a_model_that_cannot_have_one_is_refused_with_a_remedy(run, tiny_model, corpus_file, tmp_path):
    with pytest.raises(
        ConfigError, match=r"generate \(fast is off\), which knows no shortlist: use decoding.shortlist"
    ):
        translora.train(recipe(tiny_model, corpus_file, tmp_path / "slow", fast="off"), quiet=True)
    with pytest.raises(ConfigError, match=rf"{tiny_model} has no shortlist.json"):
        translora.train(recipe(tiny_model, corpus_file, tmp_path / "none", method="none"), quiet=True)
    with pytest.raises(ConfigError, match="has no shortlist.json, which training writes beside the weights: use"):
        translora.Translator.from_pretrained("mini", shortlist="targets")
    with pytest.raises(ConfigError, match="decoding.shortlist: must be one of 'off', 'targets', not 'target'"):
        translora.Translator.from_pretrained(run.folder, shortlist="target")


def test_exports_and_saved_folders(run, translator, tmp_path, capsys):
    """A merged export keeps the list, one for CTranslate2 says that it has none."""
    texts = translator.translate(LINES)
    translator.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / SHORTLIST).read_bytes() == (run.adapter / SHORTLIST).read_bytes()
    assert (
        translora.Translator.from_pretrained(tmp_path / "saved", shortlist="targets", max_tokens=8).translate(
            LINES, beams=2
        )
        == texts
    )
    merged = export(Request(str(run.folder), str(tmp_path / "merged"), lines=2))
    assert translora.Translator.from_pretrained(merged).translate(LINES) == texts
    translora.Translator.from_pretrained(merged).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / SHORTLIST).exists()
    capsys.readouterr()
    converted = export(Request(str(run.folder), str(tmp_path / "ct2"), "ctranslate2", lines=2))
    assert "CTranslate2 knows none: the export takes the whole vocabulary" in capsys.readouterr().err
    assert translora.Translator.from_pretrained(converted).config.decoding.shortlist == "off"
    with pytest.raises(
        ConfigError, match="is translated by CTranslate2, which knows none: use decoding.shortlist: off"
    ):
        translora.Translator.from_pretrained(converted, shortlist="targets")
