import dataclasses
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

import forked
import translora
from short_runs import RUN
from translora.cli import main
from translora.comparison import results, runner
from translora.comparison.folder import delete_comparison, mark
from translora.comparison.jobs import SAME_TIME, Outcome, _untouched_config, check_same_pairs, run_equal_time
from translora.comparison.places import places
from translora.comparison.variants import read_variants
from translora.comparison.workers import Workers
from translora.config import CompareConfig, Config, DecodingConfig
from translora.config.load import load_comparison
from translora.errors import ConfigError, DataError
from translora.io.files import write_json
from translora.io.interrupt import StopRequest
from translora.report.comparison import write_comparison
from translora.runs.folder import Run
from translora.scoring.metrics import METRICS

RECIPE = (
    RUN
    + """compare:
  rates: [1e-3, 1e-2]
  variants:
    lora: {{lora: {{rank: 4}}}}
    full: {{method: full, rates: [1e-3]}}
"""
)


def variants(fields, **options):
    return read_variants(Config(), CompareConfig(variants={"one": fields}, **options))


def test_a_variant_is_the_recipe_with_its_own_fields():
    (one,) = variants({"lora": {"rank": 4, "rslora": True}, "training": {"epochs": 2}}, rates=(1e-3,))
    expected = Config()
    assert one.config.lora == dataclasses.replace(expected.lora, rank=4, rslora=True)
    assert one.config.training == dataclasses.replace(expected.training, epochs=2)
    assert one.rates == (1e-3,)
    (other,) = variants({"rates": ["1e-4", 3e-4, 3e-4]})
    assert other.rates == (1e-4, 3e-4)


def test_a_run_has_its_own_seed_but_the_pairs_of_all():
    (one,) = variants({"method": "full"})
    config = one.run_config("folder", 1e-4, seed=7)
    assert (config.seed, config.data.seed, config.training.learning_rate) == (7, Config().seed, 1e-4)


def test_the_untouched_model_needs_no_shortlist():
    config = Config(decoding=DecodingConfig(beams=4, shortlist="targets"))
    assert _untouched_config(config, Path("folder")).decoding == DecodingConfig(beams=4)


MISTAKES = [
    ({"lora": {"rnk": 4}}, "unknown field lora.rnk: did you mean lora.rank"),
    ({"method": "lorra"}, "method: must be one of 'lora', 'full', 'none', not 'lorra'"),
    ({"method": "none"}, "it trains nothing"),
    ({"method": "full", "lora": {"rank": 4}}, "lora.rank has no effect with method full"),
    ({"minutes": 3}, "minutes: would shorten each variant"),
    ({"training": {"learning_rate": 1e-3}}, "name the rates to try as rates"),
    ({"seed": 3}, "has the same seed for all"),
    ({"decoding": {"beams": 4}}, "has the same decoding for all"),
    ({"data": {"test": {"path": "x.tsv"}}}, "has the same data.test for all"),
    ({"data": {"train": {"limit": 5}}}, "would change the pairs cut from it"),
    ({"rates": 3}, "rates: must be a list of numbers"),
    ({"rates": []}, "name at least one rate"),
    ({"rates": [-1]}, "all above 0"),
    ({"lora": {"rank": 0}}, "lora.rank: must be at least 1"),
    ({"training": {"freeze": ["head"]}}, "training.freeze"),
]


@pytest.mark.parametrize(("fields", "message"), MISTAKES, ids=[message[:24] for _, message in MISTAKES])
def test_what_cannot_be_compared_is_named_before_anything_runs(fields, message):
    with pytest.raises(ConfigError, match="compare.variants.one") as caught:
        variants(fields)
    assert message in str(caught.value)


def test_mistakes_in_the_section_itself(tmp_path):
    same = {"a": {"lora": {"rank": 4}}, "b": {"lora": {"rank": 4}}}
    with pytest.raises(ConfigError, match=r"compare.variants.b: the same as a"):
        read_variants(Config(), CompareConfig(variants=same))
    for section in ({"variants": {"untouched": {}}}, {"variants": {"../up": {}}}, {"variants": {}}, {"seeds": 0}):
        with pytest.raises(ConfigError):
            read_variants(Config(), CompareConfig(**section))
    file = tmp_path / "recipe.yaml"
    for text, message in (("seed: 3", "did you mean compare.seeds"), ("seeds: many", "must be a whole number")):
        file.write_text(f"compare:\n  {text}\n")
        with pytest.raises(ConfigError, match=f"recipe.yaml:2: .*{message}"):
            load_comparison(file)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, tiny_model, corpus_file):
    """A finished comparison of the untouched model, LoRA with two seeds, and full fine-tuning; one has failed."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "recipe.yaml").write_text(RECIPE.format(model=tiny_model, corpus=corpus_file))
    config, comparison = load_comparison(folder / "recipe.yaml")
    lora, full = read_variants(config, comparison)
    data = dataclasses.replace(config.data, seed=1)
    untouched = dataclasses.replace(config, method="none", output=str(folder / "untouched"), data=data)
    runs = {
        name: [translora.train(variant.run_config(folder / f"{name}-{seed}", 1e-2, seed)) for seed in seeds]
        for name, variant, seeds in (("lora", lora, (1, 2)), ("full", full, (1,)))
    }
    return [
        Outcome("untouched", "none", [translora.train(untouched)]),
        Outcome(
            "lora",
            "lora",
            runs["lora"],
            {1e-3: None, 1e-2: 4.2},
            {1e-3: "the loss is nan"},
            1e-2,
            equal_time=runs["lora"][0],
        ),
        Outcome("full", "full", runs["full"], {1e-3: 5.0}, rate=1e-3),
        Outcome("broken", "lora", error="lora.targets 'query': no layer"),
    ]


def test_the_result_has_every_figure(outcomes):
    result = results.build(outcomes, "translora compare recipe.yaml")
    json.dumps(result, allow_nan=False)
    untouched, lora, full, broken = result["variants"]
    assert untouched["train_seconds"] is untouched["adapter_bytes"] is untouched["learning_rate"] is None
    assert untouched["trainable_parameters"] == 0
    scores = [run.summary.bleu_after for run in outcomes[1].runs]
    assert lora["bleu"]["per_seed"] == scores
    assert lora["bleu"]["mean"] == pytest.approx(sum(scores) / 2)
    assert lora["seeds"] == [1, 2]
    assert lora["rates"] == {"0.001": None, "0.01": 4.2}
    assert lora["failed_rates"] == {"0.001": "the loss is nan"}
    assert lora["equal_time"]["bleu"] == scores[0]
    assert full["adapter_bytes"] > 10 * lora["adapter_bytes"] > 0
    assert [point["step"] for point in full["curve"]] == [3, 6]
    assert broken["error"]
    assert broken["bleu"] is None
    assert {a: set(others) for a, others in result["p_values"].items()} == {
        "untouched": {"lora", "full"}, "lora": {"full"},
    }  # fmt: skip
    assert [len(result["p_values"]["lora"]["full"][key]) for key in METRICS] == [2, 2, 2]
    assert list(result["ratios"]) == ["lora"]
    assert result["ratios"]["lora"]["trainable_parameters"] == pytest.approx(
        lora["trainable_parameters"] / full["trainable_parameters"]
    )
    assert set(result["signatures"]) == set(METRICS)


def test_its_tables_and_its_page(outcomes, tmp_path, capsys):
    result = results.build(outcomes, "translora compare recipe.yaml")
    runner.show(result)
    printed = capsys.readouterr().out
    assert "untouched" in printed
    assert result["verdict"][:30] in printed
    page = tmp_path / "report.html"
    write_comparison(page, result, {outcome.name: outcome.runs[0] for outcome in outcomes if outcome.runs})
    text = page.read_text(encoding="utf-8")
    assert "broken failed: lora.targets" in text
    assert "lora failed at rate 0.001: the loss is nan" in text
    assert text.count("<svg") == 3
    assert f"{result['variants'][1]['bleu']['mean']:.1f} ±" in text


def test_a_page_of_few_test_pairs_has_no_plot_by_length(outcomes, tmp_path):
    run = Run(Path(shutil.copytree(outcomes[0].runs[0].folder, tmp_path / "run")))
    for file in run.translations.iterdir():
        file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:5]), encoding="utf-8")
    run.summary_file.write_text(json.dumps({**run.summary.as_dict(), "test_pairs": 5}))
    result = results.build(outcomes, "translora compare recipe.yaml")
    write_comparison(tmp_path / "page.html", result, {"untouched": run})
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<svg") == 2


def figures(name, method, *bleu, parameters=100, seconds=10.0, memory=2**30):
    mean = sum(bleu) / len(bleu)
    return {
        "name": name, "method": method, "bleu": {"mean": mean, "per_seed": list(bleu)},
        "trainable_parameters": parameters, "train_seconds": seconds, "peak_memory_bytes": memory,
    }  # fmt: skip


VERDICTS = [
    ([20.0], [18.7], [0.002], "full is better than lora by 1.3 BLEU (p = 0.002), with 20 x the trained parameters"),
    ([20.0], [19.9], [0.4], "No significant difference between full (20.0 BLEU) and lora (19.9): p = 0.400, with 20 x"),
    ([18.0], [19.0], [0.01], "lora is better than full by 1.0 BLEU (p = 0.010), with 5.0% of the trained parameters"),
    *(([20.0, last], [19.0, 19.5], [0.01, p], "No significant difference") for last, p in ((18.0, 0.01), (20.0, 0.2))),
    ([20.0, 20.0], [19.0, 19.0], [0.01, 0.02], "p = 0.020 at most, over 2 seeds"),
]


@pytest.mark.parametrize(("full", "lora", "p_values", "verdict"), VERDICTS)
def test_the_verdict(full, lora, p_values, verdict):
    compared = [figures("full", "full", *full, parameters=2000), figures("lora", "lora", *lora)]
    found = results.verdict(compared, {"full": {"lora": {"bleu": p_values}}})
    assert verdict in found
    assert found.endswith(".")


def test_the_verdict_where_little_is_there():
    untouched = figures("untouched", "none", 3.0, parameters=0, seconds=None, memory=None)
    lora = figures("lora", "lora", 9.0)
    p_values = {"untouched": {"lora": {"bleu": [0.001]}}}
    assert results.verdict([untouched, lora], p_values) == "lora is better than untouched by 6.0 BLEU (p = 0.001)."
    assert results.verdict([untouched], {}) == "There is nothing to compare."
    assert "cannot be compared" in results.verdict([lora, figures("b", "lora", 3.0)], {})


def test_several_runs_side_by_side(outcomes, tmp_path, capsys):
    runs = [outcome.runs[0] for outcome in outcomes if outcome.runs]
    page = runner.side_by_side(runs, tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert all(f"<td>{name}</td>" in text for name in ("untouched", "lora-1", "full-1"))
    assert str(runs[0].folder.parent) not in text.split("<h2>Recipe")[0]
    with pytest.raises(ConfigError, match="is named twice"):
        runner.side_by_side([runs[0], runs[0]], page)
    other = Run(tmp_path / "other")
    with pytest.raises(DataError, match="other: no run folder"):
        runner.side_by_side([runs[0], other], page)


def test_an_incomplete_run_folder_names_what_is_missing(outcomes, tmp_path):
    copied = Run(Path(shutil.copytree(outcomes[2].runs[0].folder, tmp_path / "run")))
    (copied.translations / "after.txt").unlink()
    with pytest.raises(DataError, match="after.txt is missing: delete .*summary.json, and start the same command"):
        runner.side_by_side([outcomes[0].runs[0], copied], tmp_path / "page.html")
    copied.summary_file.write_text("{")
    with pytest.raises(DataError, match="summary.json is damaged"):
        runner.side_by_side([outcomes[0].runs[0], copied], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.slow
def test_a_comparison_stopped_and_taken_up_with_one_variant_that_fails(
    tmp_path, tiny_model, corpus_file, monkeypatch, capfd
):
    """Stopped in a process of its own, and taken up in this one; the runs have theirs."""

    def compare(*flags):
        with pytest.raises(SystemExit) as ended:
            main(["compare", "recipe.yaml", *flags])
        return ended.value.code, *capfd.readouterr()

    monkeypatch.chdir(tmp_path)
    recipe = (
        RECIPE.format(model=tiny_model, corpus=corpus_file) + "    broken: {lora: {targets: query}, rates: [1e-3]}\n"
    )
    (tmp_path / "recipe.yaml").write_text(recipe)
    process = forked.start("compare", "recipe.yaml", cwd=tmp_path)
    while not list(tmp_path.glob("out/lora/*/*/checkpoints/step-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGTERM)
    _, printed = process.communicate()
    assert process.returncode == 143
    assert printed.splitlines()[-1].startswith("translora: stopped in lora, rate ")
    assert not (tmp_path / "out" / "compare.json").exists()

    code, out, printed = compare()
    assert code == 1
    assert "1 of 3 variants failed: broken: lora.targets 'query'" in printed.splitlines()[-1]
    assert "is better than" in out or "No significant difference" in out
    result = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [variant["name"] for variant in result["variants"]] == ["untouched", "lora", "full", "broken"]
    assert len(result["variants"][1]["rates"]) == 2
    assert result["variants"][1]["equal_time"]
    assert result["recipe"] == "translora compare recipe.yaml"
    assert (tmp_path / "out" / "report.html").exists()

    written = times_written(tmp_path)
    assert compare()[0] == 1
    assert times_written(tmp_path) == written

    changed = recipe.replace("{method: full, rates: [1e-3]}", "{method: full, rates: [1e-3], training: {max_steps: 2}}")
    assert changed != recipe
    (tmp_path / "recipe.yaml").write_text(changed)
    _, _, printed = compare()
    assert (
        "full, rate 0.001, seed 1: the run there is of another recipe (training.max_steps: 6 before, 2 now)" in printed
    )
    result = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [variant["curve"][-1]["step"] for variant in result["variants"][1:3]] == [6, 2]
    figures = {
        one["name"]: Run(tmp_path / f"out/{one['name']}/rate-{one['learning_rate']:g}/seed-1").summary
        for one in result["variants"][1:3]
    }
    slower, quicker = sorted(figures, key=lambda name: figures[name].train_seconds, reverse=True)
    share = figures[quicker].train_seconds / figures[slower].train_seconds
    again = Run(tmp_path / "out" / slower / "equal-time")
    if abs(share - 1) >= SAME_TIME:
        assert again.config.training.max_steps == max(1, round(share * figures[slower].steps))
    kept = [name for name, time in times_written(tmp_path).items() if written.get(name) == time]
    assert {name for name in written if name.startswith("lora/rate")} <= set(kept)
    assert not any(name.startswith("full/rate") for name in kept)

    _, _, printed = compare("--training.max_steps=5")
    assert printed.splitlines()[-1].endswith("choose another --output, or add --overwrite")
    assert "untouched holds a run of another recipe (training.max_steps: 6 there, 5 here)" in printed


@pytest.mark.parametrize("name", ["train pairs", "test pairs"])
def test_runs_of_a_corpus_that_has_changed_are_never_compared(outcomes, tmp_path, name):
    check_same_pairs(outcomes)
    last = outcomes[2]
    other = Run(shutil.copytree(last.runs[0].folder, tmp_path / "run"))
    write_json(other.inputs, {**json.loads(other.inputs.read_text()), name: "changed"})
    with pytest.raises(DataError, match=f"other {name} than in .*: a file of the corpus has changed in between"):
        check_same_pairs([*outcomes[:2], dataclasses.replace(last, runs=[*last.runs, other])])


def times_written(folder):
    """When the metrics of each run were last written."""
    files = folder.glob("out/**/metrics.jsonl")
    return {str(file.relative_to(folder / "out")): file.stat().st_mtime_ns for file in files}


@pytest.mark.slow
def test_a_run_of_equal_time_is_done_again_where_its_length_changed(
    tmp_path, outcomes, tiny_model, corpus_file, capsys
):
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(model=tiny_model, corpus=corpus_file))
    lora, _ = read_variants(*load_comparison(tmp_path / "recipe.yaml"))
    untouched, outcome, seconds = outcomes[0], outcomes[1], outcomes[1].runs[0].summary.train_seconds
    config = lora.run_config(tmp_path / "lora" / "equal-time", 1e-2, 1)
    epochs = config.training.epochs + 1
    translora.train(
        dataclasses.replace(config, training=dataclasses.replace(config.training, max_steps=3, epochs=epochs))
    )
    capsys.readouterr()
    for share, steps in ((0.5, 3), (0.67, 4)):
        run_equal_time(
            lora, outcome, tmp_path, share * seconds, untouched, Workers(places(1, lora.config), StopRequest())
        )
        assert outcome.equal_time.summary.steps == steps
        said = capsys.readouterr().err
        assert bool(re.search(r"lora, \d+ s: train", said)) == (steps == 4), said
        assert ("the run there is of another recipe (training.max_steps: 3 before, 4 now)" in said) == (steps == 4)


def test_overwriting_deletes_runs_and_results_and_nothing_of_a_stranger(tmp_path, outcomes):
    folder = tmp_path / "out"
    mark(folder)
    for name in ("untouched", "lora/rate-0.01/seed-1", "lora/equal-time"):
        shutil.copytree(outcomes[0].runs[0].folder, folder / name)
    strangers = ["notes.txt", "thesis/config.yaml", "lora/rate-0.01/seed-2/chapter.txt", "untouched/adapter/mine.txt"]
    for name in strangers:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("years of work")
    outside = tmp_path / "outside"
    shutil.copytree(outcomes[0].runs[0].folder, outside)
    (folder / "linked").symlink_to(tmp_path)
    (folder / "rate").mkdir()
    (folder / "rate" / "equal-time").symlink_to(outside)
    for name in ("compare.json", "report.html"):
        (folder / name).write_text("old")
    before = {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()}
    delete_comparison(folder)
    left = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    assert sorted(str(path.relative_to(folder)) for path in left) == sorted([*strangers, "translora-comparison.json"])
    assert not (folder / "lora" / "equal-time").exists()
    assert {path: path.read_bytes() for path in outside.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("overwrite", [True, False], ids=["overwrite", "go on"])
def test_a_folder_that_is_no_comparison_is_left_alone(tmp_path, tiny_config, overwrite):
    (tmp_path / "thesis" / "first").mkdir(parents=True)
    (tmp_path / "thesis" / "first" / "config.yaml").write_text("years of work")
    for output in (tmp_path / "thesis", tmp_path, tmp_path / "thesis" / "first" / "config.yaml"):
        config = dataclasses.replace(tiny_config, output=str(output))
        with pytest.raises(ConfigError, match="exists and is no comparison: choose another --output"):
            runner.compare(config, CompareConfig(), "recipe.yaml", overwrite=overwrite)
    assert (tmp_path / "thesis" / "first" / "config.yaml").read_text() == "years of work"


def test_a_run_folder_is_no_place_for_a_comparison(outcomes):
    config = dataclasses.replace(outcomes[0].runs[0].config, method="lora")
    for overwrite in (True, False):
        with pytest.raises(ConfigError, match="holds a run: choose another --output for the comparison"):
            runner.compare(config, CompareConfig(), "recipe.yaml", overwrite=overwrite)
    assert outcomes[0].runs[0].finished


def test_of_several_full_fine_tunings_the_best_is_the_measure():
    compared = [figures("under-tuned", "full", 20.0), figures("tuned", "full", 25.0), figures("lora", "lora", 24.0)]
    assert results._ratios(compared)["lora"]["bleu"] == pytest.approx(24 / 25)
    assert list(results._ratios(compared)) == ["lora"]
