import dataclasses

import pytest

from translora.config import Config
from translora.config.load import PACKAGED, changed_fields, load_config, save_config
from translora.errors import ConfigError


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_no_recipe_gives_the_defaults():
    assert load_config() == Config()


def test_a_flag_wins_over_the_recipe(recipe):
    path = recipe("lora:\n  rank: 4\n  alpha: 9\nmodel: t5-small\n")
    config = load_config(path, ["--lora.rank", "16", "--data.train.path=a.tsv"])
    assert (config.lora.rank, config.lora.alpha, config.model) == (16, 9, "t5-small")
    assert config.data.train.path == "a.tsv"


def test_a_saved_configuration_is_read_back_the_same(tmp_path):
    config = load_config("demo", ["--data.train.columns=[a,b]"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_changed_fields_are_named():
    other = dataclasses.replace(Config(), seed=2, lora=dataclasses.replace(Config().lora, rank=3))
    assert changed_fields(Config(), other) == {"seed": (1, 2), "lora.rank": (8, 3)}


@pytest.mark.parametrize("name", sorted(path.stem for path in PACKAGED.glob("*.yaml")))
def test_every_packaged_recipe_loads(name):
    assert load_config(name).output == f"runs/{name}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: mini\nlora:\n  rnk: 4\n", r"recipe.yaml:3: unknown field lora.rnk: did you mean lora.rank"),
        ("model: mini\n\nlora:\n  rank: many\n", r"recipe.yaml:4: lora.rank: must be a whole number, not many"),
        ("training:\n  schedule: often\n", r"recipe.yaml:2: training.schedule: must be one of 'linear', 'cosine'"),
        ("lora: [1\n", r"recipe.yaml:2: not YAML"),
        ("- a\n- b\n", r"recipe.yaml:1: a recipe is a list of fields"),
        ("lora:\n  rank: 0\n", r"lora.rank: must be at least 1, not 0"),
        ("lora:\n  dropout: 1\n", r"lora.dropout: must be below 1"),
        ("training:\n  epochs: 0\n", r"training.epochs: must be above 0"),
        ("source: en\n", r"source and target are both 'en'"),
        ("data: {train: {columns: [a]}}\n", r"data.train.columns: name two columns"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(recipe, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(recipe(text))
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there():
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such recipe: .*demo"):
        load_config("nowhere.yaml")


@pytest.mark.parametrize("flags", [["--lora.rank", "x"], ["--lora.rnk", "3"], ["--method=half"]])
def test_a_wrong_flag_is_one_line(flags):
    with pytest.raises(ConfigError, match="see translora train --help") as caught:
        load_config("demo", flags)
    assert "\n" not in str(caught.value)
