import dataclasses
import json
import re
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

import translora
from translora.config import Config, DataConfig, DecodingConfig, SourceConfig, TrainingConfig
from translora.config.load import changed, changed_fields, leaves, plain
from translora.errors import ConfigError, DataError, TransloraError
from translora.report.run import write_report
from translora.runs.folder import Run
from translora.runs.lifecycle import SAFE_TO_CHANGE, begin_run, delete_run, find_run, is_run
from translora.runs.summary import Summary

FIELDS = dict(leaves(plain(Config())))
OTHER = {
    "data.cleaning.bad_lines": "skip", "data.cleaning.control": "keep", "data.cleaning.identical": "drop",
    "data.cleaning.html": "drop", "data.cleaning.duplicates": "keep", "data.cleaning.leakage": "near",
    "data.cleaning.language": "drop", "lora.init": "pissa", "lora.targets": "q", "training.batch_tokens": 123,
    "training.optimizer": "adafactor", "training.schedule": "cosine", "training.freeze": ["encoder"],
    "training.save_every": 3, "lora.also_train": ["norms"], "training.canary": "skip", "init": "random",
    "training.cache_encoder": "off",
    "dtype": "bfloat16", "fast": "off", "device": "cpu", "quantise": "nf4", "method": "full",
    "data.placeholders": "protect", "data.fuzzy": "memory", "training.shard": "off", "decoding.shortlist": "targets",
}  # fmt: skip


def other_value(name):
    """Another value than the default's that the field may have."""
    value = FIELDS[name]
    if name in OTHER:
        return OTHER[name]
    if name.endswith(".header"):
        return "yes"
    if name.endswith(".format"):
        return "tsv"
    if name.endswith(".codes"):
        return "keep"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if 0 < value < 1 else value + 0.5
    return ["1", "2"] if isinstance(value, list) else f"{value}x"


def nested(name, value):
    *sections, field = name.split(".")
    fields = {field: value}
    for section in reversed(sections):
        fields = {section: fields}
    return fields


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_safe_to_change_or_refused_with_both_values(tmp_path, name):
    config = Config(output=str(tmp_path / "run"), method="full" if name == "init" else "lora")  # random: full alone
    begin_run(Run(tmp_path / "run"), config, {})
    value = str(tmp_path / "elsewhere") if name == "output" else other_value(name)
    other = changed(config, nested(name, value))
    assert list(changed_fields(config, other)) == [name]
    other = dataclasses.replace(other, output=config.output)
    if name in SAFE_TO_CHANGE:
        assert find_run(other).config == config
        return
    with pytest.raises(ConfigError) as caught:
        find_run(other)
    old, new = changed_fields(config, other)[name]
    assert f"({name}: {old!r} there, {new!r} here)" in str(caught.value)
    assert find_run(other, overwrite=True).folder == tmp_path / "run"


def test_what_was_changed_is_said_and_kept(tmp_path, capsys):
    config = Config(output=str(tmp_path))
    begin_run(Run(tmp_path), config, {})
    begin_run(Run(tmp_path), changed(config, nested("training.save_every", 7)), {})
    assert "training.save_every: 'auto' before, 7 from here on" in capsys.readouterr().err
    assert Run(tmp_path).config.training.save_every == 7


@pytest.mark.parametrize("what", ["train pairs", "base model"])
def test_inputs_that_changed_under_their_name_are_refused_with_both_hashes(tmp_path, what):
    config = Config(output=str(tmp_path))
    begin_run(Run(tmp_path), config, {"train pairs": "aa", "base model": "bb"})
    with pytest.raises(ConfigError, match=rf"the {what} changed since the run began \(SHA-256 (aa|bb) there, cc here"):
        begin_run(Run(tmp_path), config, {"train pairs": "aa", "base model": "bb", what: "cc"})
    begin_run(Run(tmp_path), config, {"train pairs": "cc"}, overwrite=True)
    assert json.loads(Run(tmp_path).inputs.read_text()) == {"train pairs": "cc"}


def test_a_corpus_that_changed_between_two_starts_is_refused(tiny_config, corpus_file, tmp_path):
    copied = tmp_path / "corpus.tsv"
    copied.write_bytes(corpus_file.read_bytes())
    data = dataclasses.replace(tiny_config.data, train=SourceConfig(path=str(copied)))
    config = dataclasses.replace(tiny_config, data=data)
    run = translora.train(config)
    run.summary_file.unlink()
    copied.write_text(copied.read_text() + "Noch ein Satz.\tAnother sentence.\n")
    with pytest.raises(ConfigError, match=r"the (train|validation|test) pairs changed since the run began"):
        translora.train(config)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FOREIGN = {
    "config.yaml": "name: a project of mine\n",
    "config.yaml ": "model: mini\nsource: de\ntarget: en\n",
    "inputs.json": "{}",
    "adapter/adapter_config.json": "{}",
    "summary.json": "{}",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_that_only_looks_like_a_run_is_never_emptied(tiny_config, tmp_path, monkeypatch, name):
    """The folder that one works in, too."""
    folder = tmp_path / "work"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "thesis.tex").write_text("years of work")
    (folder / name.strip()).parent.mkdir(exist_ok=True)
    (folder / name.strip()).write_text(FOREIGN[name])
    before = tree(folder)
    monkeypatch.chdir(folder)
    for output in (".", str(folder)):
        with pytest.raises(ConfigError, match="is no run folder: choose another --output"):
            translora.train(dataclasses.replace(tiny_config, output=output), overwrite=True)
    with pytest.raises(ConfigError, match="is no run folder: nothing in it is deleted"):
        delete_run(Run(folder))
    assert tree(folder) == before


KEPT = {
    "notes.txt": "mine",
    "adapter/notes.txt": "mine",
    "translations/deepl.txt": "another system's",
    "model/notes.txt": "mine",
    "data/corpus.tsv": "a\tb\n",
    ".hidden": "mine",
}


def test_overwriting_deletes_only_what_translora_wrote_and_names_the_rest(finished, tmp_path, capsys):
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    for name, text in KEPT.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    config = dataclasses.replace(finished.config, seed=7, output=str(folder))
    translora.train(config, overwrite=True)
    assert {name: (folder / name).read_text() for name in KEPT} == KEPT
    said = capsys.readouterr().err
    for name in ("notes.txt", "adapter/notes.txt", "translations/deepl.txt", "data"):
        assert f"{folder / name}: kept, for translora did not write it" in said
    assert Run(folder).config.seed == 7


def test_what_a_run_writes_is_all_deleted(finished, tmp_path):
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    assert delete_run(Run(folder)) == []
    assert set(tree(folder)) <= {".lock"}
    assert {path.name for path in folder.iterdir()} <= {".lock"}


def test_a_link_in_a_run_is_deleted_and_its_target_is_not(finished, tmp_path):
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "adapter_config.json").write_text("mine")
    shutil.rmtree(folder / "adapter")
    (folder / "adapter").symlink_to(tmp_path / "mine")
    delete_run(Run(folder))
    assert (tmp_path / "mine" / "adapter_config.json").read_text() == "mine"


def test_a_run_of_an_older_version_is_read_and_taken_for_one(finished, tmp_path):
    """Without its marker, and with fewer figures than there are now."""
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    run = Run(folder)
    run.marker.unlink()
    (run.translations / "cut.json").unlink()
    figures = json.loads(run.summary_file.read_text())
    for name in ("cut_before", "cut_after", "hardware"):
        del figures[name]
    run.summary_file.write_text(json.dumps({**figures, "a_field_of_the_future": 1}))
    assert is_run(folder)
    assert run.summary.bleu_after == finished.summary.bleu_after
    assert run.summary.cut_after is None
    write_report(run)
    again = translora.train(dataclasses.replace(finished.config, output=str(folder)), overwrite=True)
    assert again.marker.exists()


def test_the_summary_has_an_attribute_for_every_figure(finished):
    figures = json.loads(finished.summary_file.read_text())
    summary = finished.summary
    assert summary.as_dict() == Summary.of(figures).as_dict()
    assert json.loads(json.dumps(summary.as_dict())) == figures
    for name, value in figures.items():
        if not isinstance(value, dict | list):
            assert getattr(summary, name) == value
    assert (summary.cut_before, summary.cut_after) == (10, 10)  # a random model goes on for ever


@pytest.mark.parametrize(
    ("change", "p_value", "words"),
    [
        (4, 0.001, "Training helped: BLEU changed by +4.0 (p = 0.001, paired bootstrap on 500 pairs)."),
        (4, 0.2, "No significant difference: BLEU changed by +4.0 (p = 0.200, paired bootstrap on 500 pairs)."),
        (-4, 0.001, "Training did harm: BLEU changed by -4.0 (p = 0.001, paired bootstrap on 500 pairs): take a lower "
         "rate, or fewer epochs."),
    ],
)  # fmt: skip
def test_the_verdict_says_whether_training_helped_and_what_to_do_where_it_did_not(finished, change, p_value, words):
    summary = finished.summary
    moved = dataclasses.replace(summary.scores_after.bleu, score=summary.bleu_before + change)
    after = dataclasses.replace(summary.scores_after, bleu=moved)
    found = dataclasses.replace(summary, scores_after=after, p_values={"bleu": p_value}, test_pairs=500)
    assert found.verdict == words


def test_the_verdict_on_few_pairs_decides_nothing(finished):
    for pairs, words in ((1, "1 pair)."), (49, "49 pairs).")):
        found = dataclasses.replace(finished.summary, p_values={"bleu": 0.001}, test_pairs=pairs).verdict
        assert found.startswith("BLEU changed by")
        assert found.endswith(f"{words} So few test pairs ({pairs}) show little: take 50 or more.")


def test_overwrite_deletes_nothing_that_the_run_reads(tmp_path, tiny_model, tiny_config):
    config = dataclasses.replace(tiny_config, output=str(tmp_path / "run"))
    translora.train(config, overwrite=True)
    found = str(tmp_path / "run" / "translations" / "after.txt")
    train = dataclasses.replace(config.data.train, path=found)
    for fields in ({"model": str(tmp_path / "run")}, {"data": dataclasses.replace(config.data, train=train)}):
        with pytest.raises(ConfigError, match="which --overwrite empties first: choose another --output"):
            translora.train(dataclasses.replace(config, **fields), overwrite=True)
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").exists()


def test_a_run_shows_itself_in_a_notebook(finished, tmp_path):
    shown = finished._repr_html_()
    assert f"{finished.summary.bleu_after:.1f} ±" in shown
    assert finished.summary.verdict.split(":")[0] in shown
    assert str(finished.report) in shown
    assert "has not finished" in Run(tmp_path / "<b>")._repr_html_()
    assert "<b>" not in Run(tmp_path / "<b>")._repr_html_()


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(DataError, match="no run folder: give one that translora train wrote"):
        _ = Run(tmp_path).config


def test_the_page_on_reliability_names_the_fields_that_may_change():
    page = (Path(__file__).parent.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    section = page.split("## What may change while a run is stopped")[1].split("Any other field")[0]
    assert tuple(re.findall(r"`([a-z._]+)`", section)) == SAFE_TO_CHANGE


@pytest.fixture(scope="module")
def finished(tiny_model, corpus_file, tmp_path_factory):
    """A finished run of two steps."""
    data = DataConfig(train=SourceConfig(path=str(corpus_file)), validation_size=10, test_size=10)
    training = TrainingConfig(max_steps=2, batch_tokens=600)
    output = str(tmp_path_factory.mktemp("finished") / "run")
    decoding = DecodingConfig(max_tokens=6)
    return translora.train(
        Config(model=str(tiny_model), data=data, training=training, decoding=decoding, output=output)
    )


DAMAGE = {
    "empty": b"",
    "object": b"{}",
    "list": b"[1]\n",
    "binary": b"\0\xff\xfe\n" * 5,
    "gone": None,
    "a folder": Path,
}
REPORTED = ["config.yaml", "metrics.jsonl", "summary.json", "translations/before.txt", "translations/after.txt",
            "translations/source.txt", "translations/reference.txt"]  # fmt: skip


def damage(file, data):
    file.unlink()
    if data is Path:
        file.mkdir()
    elif data is not None:
        file.write_bytes(data)


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("name", REPORTED)
def test_a_damaged_run_folder_is_one_line_that_names_the_file(finished, tmp_path, name, kind):
    run = Run(Path(shutil.copytree(finished.folder, tmp_path / "run")))
    damage(run.folder / name, DAMAGE[kind])
    with pytest.raises(TransloraError) as caught:
        write_report(run)
    named = str(run.folder) if (name, kind) in {("config.yaml", "gone"), ("summary.json", "gone")} else name
    assert named in str(caught.value)
    with suppress(TransloraError):
        translora.train(dataclasses.replace(finished.config, output=str(run.folder)))


@pytest.mark.parametrize("kind", ["empty", "binary", "gone"])
@pytest.mark.parametrize("name", ["translations/before.txt", "translations/reference.txt", "translations/after.txt"])
def test_translations_of_an_unfinished_run_are_made_again_where_they_are_damaged(finished, tmp_path, name, kind):
    run = Run(Path(shutil.copytree(finished.folder, tmp_path / "run")))
    run.summary_file.unlink()
    damage(run.folder / name, DAMAGE[kind])
    translora.train(dataclasses.replace(finished.config, output=str(run.folder)))
    assert (run.folder / name).read_bytes() == (finished.folder / name).read_bytes()
    assert run.summary.bleu_after == finished.summary.bleu_after


@pytest.mark.parametrize("kind", ["empty", "object", "list", "binary", "a folder"])
def test_damaged_hashes_of_the_inputs_are_named(finished, tmp_path, kind):
    run = Run(Path(shutil.copytree(finished.folder, tmp_path / "run")))
    run.summary_file.unlink()
    damage(run.inputs, DAMAGE[kind])
    with pytest.raises(DataError, match=r"inputs.json .*add --overwrite to start over"):
        translora.train(dataclasses.replace(finished.config, output=str(run.folder)))
