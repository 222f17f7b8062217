import dataclasses
import pickle
from pathlib import Path

import pytest

from translora.config import (
    CleaningConfig,
    CompareConfig,
    Config,
    DataConfig,
    DecodingConfig,
    LoraConfig,
    Recipe,
    SourceConfig,
    TrainingConfig,
)
from translora.config.help import fields_help
from translora.config.load import (
    PACKAGED,
    changed,
    changed_fields,
    leaves,
    load_cleaning,
    load_comparison,
    load_config,
    plain,
    save_config,
)
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


MISTAKES = [
    ("model: mini\nlora:\n  rnk: 4\n", "recipe.yaml:3: unknown field lora.rnk: did you mean lora.rank?"),
    ("rank: 4\n", "recipe.yaml:1: unknown field rank: did you mean lora.rank?"),
    ("training: {lr: 1.0e-3}\n", "recipe.yaml:1: unknown field training.lr: did you mean training.learning_rate?"),
    ("sed: 4\n", "recipe.yaml:1: unknown field sed: did you mean seed?"),
    ("compare: {seed: 4}\n", "recipe.yaml:1: unknown field compare.seed: did you mean compare.seeds?"),
    ("lora: {seed: 4}\n", "recipe.yaml:1: unknown field lora.seed: did you mean data.seed or seed?"),
    ("data: {trian: {path: a}}\n", "recipe.yaml:1: unknown field data.trian: did you mean data.train?"),
    ("max_tokens: 4\n", "unknown field max_tokens: did you mean data.max_tokens or decoding.max_tokens?"),
    ("nonsense: 4\n", "recipe.yaml:1: unknown field nonsense: see translora train --help"),
    ("1: 4\n", "recipe.yaml:1: unknown field 1: see translora train --help"),
    ("model: mini\n\nlora:\n  rank: many\n", "recipe.yaml:4: lora.rank: must be a whole number, not 'many'"),
    ('lora: {rank: "8"}', "recipe.yaml:1: lora.rank: must be a whole number, not '8'"),
    ("lora: {rank: 8.0}", "lora.rank: must be a whole number, not 8.0"),
    ("lora: {rank: true}", "lora.rank: must be a whole number, not True"),
    ("lora: {rank: }", "lora.rank: must be a whole number, not nothing"),
    ("lora: {rank: [1]}", "lora.rank: must be a whole number, not a list"),
    ("lora: {rank: {a: 1}}", "lora.rank: must be a whole number, not a section"),
    ("seed: 1:30", "recipe.yaml:1: seed: must be a whole number, not '1:30'"),
    ("seed: -1", "seed: must be at least 0, not -1"),
    ("seed: 99999999999999999999", "seed: must be below 9223372036854775808, not 99999999999999999999"),
    ("lora: {alpha: nan}", "lora.alpha: must be a finite number, not nan"),
    ("lora: {alpha: .inf}", "lora.alpha: must be a number, not '.inf'"),
    ("lora: {alpha: 1e999}", "lora.alpha: must be a finite number, not inf"),
    (f"lora: {{alpha: 1{'0' * 400}}}", "lora.alpha: must be a number, not 1000"),
    ("lora: {rslora: 1}", "lora.rslora: must be true or false, not 1"),
    ("training:\n  schedule: often\n", "recipe.yaml:2: training.schedule: must be one of 'linear', 'cosine', 'cons"),
    ("training: {batch_tokens: many}", "training.batch_tokens: must be 'auto' or a whole number, not 'many'"),
    ("training: {batch_tokens: 0}", "training.batch_tokens: must be 'auto' or at least 1, not 0"),
    ("training: {freeze: encoder}", "training.freeze: must be a list such as [a, b], not 'encoder'"),
    ("training: {freeze: [a, b]}", "training.freeze: must be one of 'embeddings', 'encoder', 'decoder', not 'a'"),
    ("output:\n", "recipe.yaml:1: output: must be text, not nothing"),
    ('model: ""\n', "recipe.yaml:1: model: must not be empty"),
    ("model: [mini]\n", "recipe.yaml:1: model: must be text, not a list"),
    ("lora:\n", "recipe.yaml:1: lora: must be a section with fields such as rank, alpha, not nothing"),
    ("data:\n  train: a.tsv\n", "recipe.yaml:2: data.train: must be a section with fields such as path, target_path"),
    ("training:\n  - epochs: 3\n", "recipe.yaml:1: training: must be a section with fields such as epochs"),
    ("seed: 1\nlora: {rank: 4}\nseed: 2\n", "recipe.yaml:3: seed is there twice: remove one"),
    ("lora: {rank: 1, rank: 2}", "recipe.yaml:1: lora.rank is there twice: remove one"),
    ("? [a, b]\n: c\n", "recipe.yaml:1: a name must be text"),
    ("lora: [1\n", "recipe.yaml:2: not YAML"),
    ("lora: *x\n", "recipe.yaml:1: not YAML (found undefined alias"),
    ("lora: &a {rank: *a}\n", "lora.rank: must be a whole number, not a section"),
    ("model: !!python/name:os.system\n", "recipe.yaml:1: the tag tag:yaml.org,2002:python/name:os.system: write"),
    ("model: " + "[" * 9999, "recipe.yaml"),
    ("- a\n- b\n", "recipe.yaml:1: a recipe is a list of fields"),
    ("lora:\n  rank: 0\n", "recipe.yaml:2: lora.rank: must be at least 1, not 0"),
    ("lora:\n  dropout: 1\n", "recipe.yaml:2: lora.dropout: must be below 1, not 1"),
    ("training:\n  epochs: 0\n", "recipe.yaml:2: training.epochs: must be above 0, not 0"),
    ("decoding: {max_ratio: 0.5}", "decoding.max_ratio: must be at least 1, not 0.5"),
    ("data: {join_most: 1}", "data.join_most: must be at least 2, not 1"),
    ("source: en\n", "recipe.yaml: source and target are both 'en': name two languages"),
    ("init: random\n", "recipe.yaml: init random goes with method full, not lora: "),
    ("minutes: 3\nmethod: none\n", "recipe.yaml: minutes shortens training, and method none does not train"),
    ("data: {train: {columns: [a]}}\n", "data.train.columns: name two columns, source and target, not 1"),
    ("data: {train: {columns: a}}\n", "data.train.columns: must be a list such as [a, b], not 'a'"),
    ("data: {train: {columns: [a, [b]]}}\n", "data.train.columns: must be text, not a list"),
    ("compare: {rates: [a]}\n", "recipe.yaml:1: compare.rates: must be a number, not 'a'"),
    ("compare: {rates: []}\n", "recipe.yaml:1: compare.rates: must not be empty"),
    ("compare: {seeds: 0}\n", "recipe.yaml:1: compare.seeds: must be at least 1, not 0"),
    ("compare:\n  variants:\n    a: 3\n", "recipe.yaml:3: compare.variants.a: must be a section, not 3"),
    ("compare:\n  variants:\n    a: {}\n    a: {}\n", "recipe.yaml:4: compare.variants.a is there twice"),
    ("compare: {variants: [a]}\n", "compare.variants: must be a section, not a list"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES, ids=[text[:32] for text, _ in MISTAKES])
def test_a_mistake_is_one_line_with_its_place(recipe, text, message):
    with pytest.raises(ConfigError) as caught:
        load_config(recipe(text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_value_is_not_shown_whole(recipe):
    with pytest.raises(ConfigError) as caught:
        load_config(recipe(f"lora: {{rank: {'x' * 5000}}}"))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Config(lora=LoraConfig(rank=0)), "lora.rank: must be at least 1, not 0"),
        (lambda: LoraConfig(rank="8"), "lora.rank: must be a whole number, not '8'"),
        (lambda: LoraConfig(rank=True), "lora.rank: must be a whole number, not True"),
        (lambda: LoraConfig(alpha=float("nan")), "lora.alpha: must be a finite number, not nan"),
        (lambda: LoraConfig(rslora="yes"), "lora.rslora: must be true or false, not 'yes'"),
        (lambda: LoraConfig(rnk=4), "unknown field lora.rnk: did you mean lora.rank?"),
        (lambda: SourceConfig(columns=("a",)), "columns: name two columns, source and target, not 1"),
        (lambda: SourceConfig(format="xls"), "format: must be one of 'auto', 'tsv'"),
        (lambda: DataConfig(train="a.tsv"), "data.train: must be a section with fields such as path, target_path"),
        (lambda: CleaningConfig(max_chars=-1), "data.cleaning.max_chars: must be at least 0, not -1"),
        (lambda: CompareConfig(variants={}), "compare.variants: must not be empty"),
        (lambda: CompareConfig(variants={"a": 3}), "compare.variants.a: must be a section, not 3"),
        (lambda: Config(source="en"), "source and target are both 'en': name two languages"),
        (lambda: Config(init="random"), "init random goes with method full, not lora: random weights are saved"),
        (lambda: Config(init="random", method="none"), "init random goes with method full, not none"),
        (lambda: Config(dtype="float16"), "dtype: T5 overflows in float16, to losses of 0 or NaN: use auto, bfloat16"),
        (lambda: Config(output=""), "output: must not be empty"),
        (lambda: Config(lora={"rank": 0}), "lora.rank: must be at least 1, not 0"),
        (lambda: dataclasses.replace(TrainingConfig(), epochs=0), "training.epochs: must be above 0, not 0"),
        (lambda: dataclasses.replace(Config(), target="de"), "source and target are both 'de'"),
        (lambda: dataclasses.replace(DecodingConfig(), beams=-1), "decoding.beams: must be at least 1, not -1"),
        (lambda: changed(Config(), {"lora": {"rank": 0}}), "lora.rank: must be at least 1, not 0"),
        (lambda: changed(Config(), {"lora": 4}), "lora: must be a section with fields such as rank, alpha, not 4"),
        (lambda: changed(Config(), {"lora": {"rnk": 4}}), "unknown field lora.rnk: did you mean lora.rank?"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_is_built_in_python_is_checked_too(make, message):
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_section_is_an_ordinary_frozen_dataclass():
    config = Config(
        output=Path("runs") / "mine", data=DataConfig(train=SourceConfig(path=Path("a.tsv"), columns=["a", "b"]))
    )
    assert (config.output, config.data.train.path, config.data.train.columns) == ("runs/mine", "a.tsv", ("a", "b"))
    assert [field.name for field in dataclasses.fields(LoraConfig)][:3] == ["rank", "alpha", "dropout"]
    assert dataclasses.asdict(config)["lora"]["rank"] == 8
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(dataclasses.replace(config))
    assert isinstance(LoraConfig(alpha=1).alpha, float)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("source: no\n", {"source": "no"}),
        ("fast: off\n", {"fast": "off"}),
        ("output: 2024\nrevision: 1e5\n", {"output": "2024", "revision": "1e5"}),
        ("data: {train: {name: 2016-01-01, columns: [1, 2]}}\n",
         {"data.train.name": "2016-01-01", "data.train.columns": ["1", "2"]}),
        ("training: {tensorboard: yes, learning_rate: 1e-4, max_steps: 010}\n",
         {"training.tensorboard": True, "training.learning_rate": 1e-4, "training.max_steps": 10}),
        ("training: {batch_tokens: auto, save_every: 5}\n", {"training.save_every": 5}),
        ("lora: {}\n", {}),
        ("", {}),
        ("# nothing\n", {}),
    ],
)  # fmt: skip
def test_a_value_is_read_as_its_field_wants_it(recipe, text, fields):
    found = load_config(recipe(text))
    assert {name: new for name, (_, new) in changed_fields(Config(), found).items()} == fields


def test_variants_are_read_as_their_fields_want_it(recipe):
    text = "compare:\n  variants:\n    plain: {fast: off, rates: [1e-4, 1]}\n  equal_time: off\n"
    comparison = load_comparison(recipe(text))[1]
    assert comparison.variants == {"plain": {"fast": "off", "rates": [1e-4, 1]}}
    assert comparison.equal_time == "off"


TEXTS = ["no", "1e-4", "null", "~", "", "2024", "a: b", "# c", " x ", "a\nb", "ü", "[a]", "{a: b}", "'", '"', "*a", "="]


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_any_text_is_saved_and_read_back(tmp_path, text):
    config = Config(revision=text, data=DataConfig(train=SourceConfig(path=text, columns=(text, "b"))))
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_a_saved_configuration_of_an_earlier_version_says_which_field_is_gone(tmp_path):
    file = tmp_path / "config.yaml"
    save_config(Config(), file)
    file.write_text(file.read_text().replace("  rank: 8\n", "  rank: 8\n  bias: none\n"))
    line = file.read_text().split("\n").index("  bias: none") + 1
    with pytest.raises(ConfigError, match=rf"config.yaml:{line}: unknown field lora.bias"):
        load_config(file)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that exists and cannot be read")
def test_a_recipe_that_cannot_be_read():
    with pytest.raises(ConfigError, match=r"/proc/self/mem cannot be read \(Input/output error\)"):
        load_config("/proc/self/mem")


def test_a_recipe_that_is_not_there():
    with pytest.raises(ConfigError, match=r"nowhere.yaml: no such recipe: .*demo"):
        load_config("nowhere.yaml")


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        (["--lora.rank", "16"], {"lora.rank": 16}),
        (["--lora.rank=3", "--lora.rank=5"], {"lora.rank": 5}),
        (["--lora={rank: 4}", "--lora.alpha=1e1"], {"lora.rank": 4, "lora.alpha": 10.0}),
        (["--training.tensorboard"], {"training.tensorboard": True}),
        (["--training.tensorboard", "--seed", "3"], {"training.tensorboard": True, "seed": 3}),
        (["--training.tensorboard", "true", "--lora.dora=yes"], {"training.tensorboard": True, "lora.dora": True}),
        (['--data.train.columns=["2","4"]'], {"data.train.columns": ["2", "4"]}),
        (["--data.train.columns", "[2, b]"], {"data.train.columns": ["2", "b"]}),
        (["--training.freeze=[encoder]"], {"training.freeze": ["encoder"]}),
        (["--training.batch_tokens=1_000"], {"training.batch_tokens": 1000}),
        (["--output=2024", "--source=no"], {"output": "2024", "source": "no"}),
        (["--output", "a: b # c", "--model", "-x"], {"output": "a: b # c", "model": "-x"}),
        (["--revision=a=b"], {"revision": "a=b"}),
        (["--data.train.split", "train[:5%]"], {"data.train.split": "train[:5%]"}),
    ],
)
def test_flags_are_fields(flags, fields):
    found = load_config(None, flags)
    assert {name: new for name, (_, new) in changed_fields(Config(), found).items()} == fields


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--lora.rank", "x"], "--lora.rank: must be a whole number, not 'x': see translora train --help"),
        (["--lora.rank="], "--lora.rank: must be a whole number, not nothing: see translora train --help"),
        (['--seed="8"'], "--seed: must be a whole number, not '8': see translora train --help"),
        (["--seed=1.0"], "--seed: must be a whole number, not 1.0: see translora train --help"),
        (["--method=half"], "--method: must be one of 'lora', 'full', 'none', not 'half': see translora train --help"),
        (["--training.tensorboard=1"], "--training.tensorboard: must be true or false, not 1: see"),
        (["--data.train.columns=[a"], "--data.train.columns: must be a list such as [a, b], not '[a': see"),
        (["--data.train.columns=[a]"], "--data.train.columns: name two columns, source and target, not 1: see"),
        (["--lora={rank: 0}"], "--lora.rank: must be at least 1, not 0: see translora train --help"),
        (["--lora=x"], "--lora: must be a section with fields such as rank, alpha, not 'x': see"),
        (["--output="], "--output: must not be empty: see translora train --help"),
        (["--source=en"], "source and target are both 'en': name two languages"),
        (["--dtype=float16"], "--dtype: T5 overflows in float16, to losses of 0 or NaN: use auto, bfloat16 or float32"),
        (["--init=random"], "init random goes with method full, not lora"),
        (["--lora.rnk", "3"], "unknown argument --lora.rnk (did you mean --lora.rank?): see translora train --help"),
        (["--training.lr=3"], "unknown argument --training.lr (did you mean --training.learning_rate?): see translora"),
        (["--batch_size", "8"], "unknown argument --batch_size (did you mean --training.batch_tokens?): see translora"),
        (["--rank=3"], "unknown argument --rank (did you mean --lora.rank?): see translora train --help"),
        (["--lora.ran=3"], "unknown argument --lora.ran (did you mean --lora.rank?): see translora train --help"),
        (["--lora.rank"], "--lora.rank: needs a value, as in --lora.rank=VALUE: see translora train --help"),
        (["--lora.rank", "--seed=3"], "--lora.rank: needs a value, as in --lora.rank=VALUE: see"),
        (["--compare.seeds=2"], "unknown argument --compare.seeds: see translora train --help"),
        (["x"], "unknown argument x: see translora train --help"),
    ],
)
def test_a_wrong_flag_is_one_line(flags, message):
    with pytest.raises(ConfigError) as caught:
        load_config("demo", flags)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_flag_does_not_hide_a_mistake_in_the_recipe(recipe):
    with pytest.raises(ConfigError, match=r"recipe.yaml:1: lora: must be a section"):
        load_config(recipe("lora: 4"), ["--lora.rank=3"])


def test_variants_of_a_flag_are_in_place_of_the_recipes(recipe):
    flag = "--compare.variants={plain: {fast: off}}"
    comparison = load_comparison(recipe("compare: {variants: {one: {}}, rates: [1e-3]}"), [flag])[1]
    assert (comparison.variants, comparison.rates) == ({"plain": {"fast": "off"}}, (1e-3,))


def test_an_error_keeps_its_words_on_the_way_between_processes():
    with pytest.raises(ConfigError) as caught:
        LoraConfig(rank=0)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_rules_of_cleaning_are_flags():
    rules = load_cleaning(CleaningConfig(identical="drop"), ["--max_ratio", "4", "--html=unescape"])
    assert rules == CleaningConfig(identical="drop", max_ratio=4, html="unescape")
    with pytest.raises(ConfigError, match=r"--max_ratio: must be at least 0, not -1: see translora data clean --help"):
        load_cleaning(CleaningConfig(), ["--max_ratio=-1"])
    with pytest.raises(ConfigError, match=r"--data.cleaning.max_ratio \(did you mean --max_ratio\?\)"):
        load_cleaning(CleaningConfig(), ["--data.cleaning.max_ratio=4"])


@pytest.mark.parametrize("kind", [Config, Recipe, CleaningConfig])
def test_the_help_has_every_field_with_its_docstring(kind):
    entries = " ".join(fields_help(kind).split()).split(" --")[1:]
    described = {entry.split()[0]: entry.split(" ", 2)[2] for entry in entries}
    found = {f"{name}." if isinstance(value, dict) else name: value for name, value in leaves(plain(kind()))}
    assert {name for name in found if not name.startswith("compare.variants.")} <= described.keys()
    for name, text in described.items():
        assert len(text.split(" (")[0]) > 8, f"{name} has no docstring"
