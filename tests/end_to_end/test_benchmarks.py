"""The benchmarks run and write what they promise; no speed is asserted."""

import json
from pathlib import Path

import pytest

import forked
from translora.config import Config, LoraConfig
from translora.models.adapter import save_adapter
from translora.models.load import base_hash, load
from translora.models.lora import attach

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    """Few pairs to make batches of, and a small matrix product as the measure."""
    monkeypatch.setenv("TRANSLORA_BENCHMARK_PAIRS", "2000")
    monkeypatch.setenv("TRANSLORA_BENCHMARK_MATRIX", "256")


def run(name, *options):
    done = forked.script(FOLDER / name, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", ["fast", "own"])
def test_the_step_profile_accounts_for_the_whole_step(tmp_path, path):
    file = tmp_path / "figures.json"
    options = ["--shape", "tiny", "--path", path, "--steps", "2", "--length", "16", "--json", str(file)]
    assert "matrix products" in run("step_profile.py", *options)
    figures = json.loads(file.read_text())
    shares = figures["shares"]
    assert {"matrix products", "attention", "gather, scatter, copy", "optimiser", "elsewhere"} < set(shares)
    assert all(share > 0 for share in shares.values()), "an operation is counted twice, or a kind is empty"
    assert figures["share_of_matrix_rate"] > 0
    assert figures["real_tokens_per_step"] == 2048


@pytest.mark.slow
def test_training_throughput_measures_every_side(tmp_path):
    file = tmp_path / "figures.json"
    sides = ["transformers_peft", "padded_128", "translora"]
    quick = ["--shape", "tiny", "--rounds", "1", "--steps", "1", "--lengths", "news"]
    shown = run("train_throughput.py", *quick, "--method", "full", "--sides", *sides, "--json", str(file))
    assert "pairs/s" in shown
    report = json.loads(file.read_text())
    assert list(report["sides"]) == sides
    for figures in report["sides"].values():
        assert figures["share_of_matrix_rate"] > 0
        assert figures["peak_memory_bytes"] > 1e8
        assert figures["real_tokens_per_second"] > figures["pairs_per_second"] > 0
    assert report["sides"]["translora"]["rounds"][0]["padding"] < report["sides"]["padded_128"]["rounds"][0]["padding"]
    assert report["matrix_rate_flops"] > 0


@pytest.mark.slow
def test_kept_encoder_states_are_measured_in_turns(tmp_path):
    file = tmp_path / "figures.json"
    quick = ["--shape", "tiny", "--rounds", "2", "--steps", "2", "--lengths", "corpus", "--json", str(file)]
    assert "states kept" in run("encoder_cache.py", *quick)
    figures = json.loads(file.read_text())
    assert [len(figures["rounds"][side]) for side in ("computed", "kept")] == [2, 2]
    assert figures["once"] > 0
    assert figures["bytes"] == 4 * 32 * figures["source_tokens"]


@pytest.mark.slow
def test_cleaning_counts_pairs_and_memory(tmp_path):
    file = tmp_path / "figures.json"
    assert "also languages" in run("cleaning.py", "--pairs", "5000", "--json", str(file))
    rows = json.loads(file.read_text())
    assert [row["pairs"] for row in rows] == [5000, 5000, 5000, 100]
    assert all(row["seconds"] > 0 and row["peak_memory_bytes"] > 1e7 for row in rows)


@pytest.mark.slow
def test_checkpoints_are_a_part_of_the_training(tmp_path):
    file = tmp_path / "figures.json"
    assert "of the training time" in run("checkpoints.py", "--steps", "3", "--json", str(file))
    figures = json.loads(file.read_text())
    assert figures["checkpoints"] >= 1
    assert figures["checkpoint_bytes"] > 1e6
    assert figures["checkpoint_seconds"] > 0
    assert figures["train_seconds"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "sides"),
    [
        ("mini", ["generate", "generate_sorted", "ctranslate2_int8", "translora"]),
        ("flan-t5-tiny", ["generate", "ctranslate2", "translora", "translora_int8"]),
    ],
)
def test_translating_measures_every_side(tmp_path, model, sides):
    """Each side once, and those whose code differs where lengths are forced, with either model."""
    file = tmp_path / "figures.json"
    quick = ["--model", model, "--lines", "8", "--rounds", "1", "--beams", "2", "--threads", "1"]
    assert "lines/s" in run("translate_throughput.py", *quick, "--sides", *sides, "--json", str(file))
    (report,) = json.loads(file.read_text())
    assert report["beams"] == 2
    assert list(report["sides"]) == sides
    for figures in report["sides"].values():
        assert figures["lines_per_second"] > 0
        assert figures["peak_memory_bytes"] > 1e8
        assert figures["share_of_matrix_rate"] > 0
    tokens = {side: figures["rounds"][0]["target_tokens"] for side, figures in report["sides"].items()}
    if model == "mini":
        assert tokens["translora"] == tokens["generate"] == tokens["generate_sorted"]
    else:
        assert set(tokens.values()) == {33 * 8}, "the sides make translations of unequal lengths"


@pytest.mark.slow
def test_serving_measures_every_side(tmp_path):
    adapter, file = tmp_path / "adapter", tmp_path / "figures.json"
    config = Config(model="mini", lora=LoraConfig(rank=2))
    save_adapter(attach(load(config).model, config.lora, "mini", seed=1), adapter, base_hash(config))
    quick = ["--clients", "4", "--adapters", "2", "--seconds", "1", "--json", str(file)]
    assert "lines/s" in run("serve_load.py", "--adapter", str(adapter), *quick)
    figures = json.loads(file.read_text())
    assert list(figures) == ["translora", "one_client", "generate", "ctranslate2", "translate"]
    assert all(one["lines_per_second"] > 0 for one in figures.values())
    assert all(figures[side]["errors"] == 0 for side in list(figures)[:4])


@pytest.mark.slow
def test_scale_measures_two_ranks_and_their_all_reduce(tmp_path):
    file, side = tmp_path / "figures.json", "2 ranks, 1 thread each"
    quick = ["--shape", "tiny", "--rounds", "1", "--steps", "1", "--sides", side]
    assert "milliseconds" in run("scale.py", *quick, "--json", str(file))
    report = json.loads(file.read_text())
    assert report["sides"][side]["tokens_per_second"] > 0
    assert report["all_reduce"]["small"]["bytes"] == 4 * 344_064
    assert all(one["seconds"] > 0 for one in report["all_reduce"].values())


@pytest.mark.slow
def test_damaged_documents_are_counted(tmp_path):
    file = tmp_path / "outcomes.json"
    assert "23 damaged documents" in run("document_fuzz.py", "--cases", "23", "--json", str(file))
    outcomes = json.loads(file.read_text())
    assert [one["number"] for one in outcomes] == list(range(23))
    assert {one["how"] for one in outcomes} == {"written", "refused"}
