"""Names and links that lead elsewhere: nothing is written outside the run folder."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

import translora
from translora.comparison.variants import read_variants
from translora.config import CompareConfig, Config
from translora.config.load import load_config, save_config
from translora.errors import ConfigError, TransloraError
from translora.report.run import write_report
from translora.runs.folder import Run
from translora.training.checkpoint import checkpoint_fault

LINKED = [
    "config.yaml", "inputs.json", "metrics.jsonl", "summary.json", "report.html", ".lock", "adapter", "checkpoints",
    "translations", "tensorboard", "translations/before.txt", "adapter/adapter_model.safetensors",
    "checkpoints/step-00000004", "checkpoints/best-00000004/weights.safetensors",
]  # fmt: skip
NAMES = [
    "../up", "..", ".", "/absolute", "a/b", "a/../../b", "a\\b", "a\0b", "", " ", "-o", "~", "a\nb", "untouched",
    "C:\\x", "a/", ".hidden",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """A finished run."""
    training = dataclasses.replace(config.training, max_steps=8, evaluate_every=4)
    output = tmp_path_factory.mktemp("finished") / "run"
    return translora.train(dataclasses.replace(config, training=training, output=str(output)))


@pytest.fixture
def outside(tmp_path):
    """What must stay as it is: a file and a folder beside the run folder."""
    folder = tmp_path / "outside"
    (folder / "folder").mkdir(parents=True)
    (folder / "file").write_text("years of work")
    (folder / "folder" / "file").write_text("years of work")
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
@pytest.mark.parametrize("name", LINKED)
@pytest.mark.parametrize("overwrite", [True, False], ids=["overwrite", "go on"])
def test_a_link_in_a_run_folder_is_never_written_through(finished, outside, tmp_path, name, absolute, overwrite):
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    (folder / "summary.json").unlink()
    target = outside / ("folder" if (folder / name).is_dir() or "." not in name else "file")
    place = folder / name
    if name == "config.yaml":
        shutil.copy(place, target)
    before = contents(outside)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(target if absolute else os.path.relpath(target, place.parent))
    config = dataclasses.replace(finished.config, output=str(folder))
    with pytest.raises(TransloraError) as caught:
        translora.train(config, overwrite=overwrite)
    assert "\n" not in str(caught.value)
    assert contents(outside) == before


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_variant_has_no_path_for_a_name(name):
    with pytest.raises(ConfigError, match="compare.variants"):
        read_variants(Config(), CompareConfig(variants={name: {"lora": {"rank": 4}}}))


@pytest.mark.parametrize("name", ["../../outside/file", "/etc/passwd", "..", "a/b"])
def test_a_manifest_that_names_other_files_is_no_checkpoint(finished, tmp_path, name):
    folder = Path(shutil.copytree(finished.checkpoints / "step-00000008", tmp_path / "step-00000008"))
    assert not checkpoint_fault(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = manifest["files"]["state.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "which is not in the folder" in checkpoint_fault(folder)


def test_a_report_is_written_where_the_run_lies_and_not_where_it_says(finished, outside, tmp_path):
    folder = Path(shutil.copytree(finished.folder, tmp_path / "run"))
    save_config(dataclasses.replace(load_config(folder / "config.yaml"), output=str(outside)), folder / "config.yaml")
    before = contents(outside)
    (folder / "report.html").unlink()
    assert write_report(Run(folder)) == folder / "report.html"
    assert contents(outside) == before
