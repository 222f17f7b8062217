"""The benchmarks run and write what they promise; no speed is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_training_throughput_measures_every_side(tmp_path):
    file = tmp_path / "figures.json"
    command = ["train_throughput.py", "--shape", "tiny", "--rounds", "1", "--steps", "1", "--lengths", "news"]
    sides = ["transformers_peft", "padded_128", "translora"]
    done = subprocess.run(
        [sys.executable, *command, "--method", "full", "--sides", *sides, "--json", str(file)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "pairs/s" in done.stdout
    report = json.loads(file.read_text())
    assert list(report["sides"]) == sides
    for figures in report["sides"].values():
        assert 0 < figures["share_of_matrix_rate"] < 1
        assert figures["peak_memory_bytes"] > 1e8
        assert figures["real_tokens_per_second"] > figures["pairs_per_second"] > 0
    assert report["sides"]["translora"]["rounds"][0]["padding"] < report["sides"]["padded_128"]["rounds"][0]["padding"]
    assert report["matrix_rate_flops"] > 1e9
