import json

import pytest

from translora.cli.program import main
from translora.comparison.advice import RANKS, advise, verdict
from translora.comparison.folder import delete_advice
from translora.config import CompareConfig
from translora.config.load import load_comparison
from translora.errors import ConfigError, TrainingError

RECIPE = """
model: {model}
output: {output}
data:
  train: {{path: {corpus}}}
  validation_size: 20
  test_size: 40
lora: {{rank: 2, targets: all-linear}}
training: {{max_steps: 60, batch_tokens: 600}}
decoding: {{max_tokens: 8}}
compare: {{rates: [1e-9, 1e-2]}}
"""


def call(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code or 0


@pytest.fixture
def recipe(tmp_path, tiny_model, corpus_file):
    file = tmp_path / "recipe.yaml"
    file.write_text(RECIPE.format(model=tiny_model, corpus=corpus_file, output=tmp_path / "out"))
    return file


def test_the_share_of_each_rank_and_a_second_call_trains_nothing(recipe, tmp_path, capfd):
    flags = ["compare", str(recipe), "--advise", "--steps", "3"]
    assert call(*flags) == 0
    found = json.loads((tmp_path / "out" / "advice.json").read_text())
    names = [variant["name"] for variant in found["variants"]]
    assert names == ["full", "lora-2", *(f"lora-{rank}" for rank in RANKS)]
    full, first, *others = found["variants"]
    assert full["share_of_gain"] == pytest.approx(1)
    assert full["validation_loss"] < found["untouched_validation_loss"]
    assert set(first["rates"]) == {"1e-09", "0.01"}
    assert abs(first["rates"]["1e-09"] - found["untouched_validation_loss"]) < 1e-4
    assert all(list(other["rates"]) == [f"{first['learning_rate']:g}"] for other in others)
    gain = found["untouched_validation_loss"] - full["validation_loss"]
    for one in found["variants"]:
        assert one["share_of_gain"] == pytest.approx(
            (found["untouched_validation_loss"] - one["validation_loss"]) / gain
        )
    sizes = [one["trainable_parameters"] for one in (first, *others)]
    assert sizes == sorted(set(sizes))
    shown = capfd.readouterr()
    assert found["verdict"] in shown.out.replace("\n", " ")
    assert "lora-2, rate 0.01, 3 steps" in shown.err

    assert call(*flags) == 0
    assert "steps: train" not in capfd.readouterr().err
    delete_advice(tmp_path / "out")
    assert not (tmp_path / "out" / "advice").exists()
    assert not (tmp_path / "out" / "advice.json").exists()


def test_what_it_cannot_compare(recipe, capfd):
    config, comparison = load_comparison(recipe)
    with pytest.raises(ConfigError, match=r"--advise compares with full fine-tuning: add a variant of method full"):
        advise(config, CompareConfig(variants={"one": {}}), 3)
    with pytest.raises(ConfigError, match=r"--steps: must be at least 1, not 0"):
        advise(config, comparison, 0)
    for flags, message in (
        (["--advise", "--seeds", "3"], "leave out --seeds, --parallel and --engine"),
        (["--advise", "--parallel", "2"], "leave out --seeds, --parallel and --engine"),
        (["--seeds", "0"], "compare.seeds: must be at least 1, not 0"),
        (["--steps", "3"], "--steps: is of --advise: add that, or set --training.max_steps"),
    ):
        assert call("compare", str(recipe), *flags) == 2
        assert message in capfd.readouterr().err


def test_a_side_that_fails_is_named(recipe):
    config, _ = load_comparison(recipe)
    variants = {"wrong": {"lora": {"targets": "query"}}, "full": {"method": "full"}}
    with pytest.raises(TrainingError, match=r"wrong: .*query"):
        advise(config, CompareConfig(variants=variants, rates=(1e-3,)), 1)


def test_the_verdict_takes_the_smallest_adapter_that_keeps_up_and_promises_nothing():
    def variant(name, share, size, method="lora"):
        return {"name": name, "method": method, "share_of_gain": share, "trainable_parameters": size}

    full = variant("full", 1.0, 1000, "full")
    tried = [full, variant("lora-4", 0.7, 40), variant("lora-8", 0.96, 80), variant("lora-16", 0.99, 160)]
    assert verdict(tried, "full", 60) == (
        "lora-8 keeps up for 60 steps: with 8.0% of the trained parameters it gains 96% of what full gains. That is no "
        "forecast of a longer run, in which full fine-tuning mostly gets ahead: --steps with a third of the run's "
        "steps tells more."
    )
    assert "The best adapter, lora-4, gains 70%" in verdict(tried[:2], "full", 60)
    lost = [variant("full", None, 1000, "full"), variant("lora-4", None, 40)]
    assert "full does not lower the validation loss in 60 steps" in verdict(lost, "full", 60)
