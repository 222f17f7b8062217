"""Models and data sets from a hub: a local stand-in serves a real tiny model and a real data set."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file

from hub_stand_in import serving
from translora.config import Config
from translora.errors import DataError, ModelError
from translora.io.network import require_network
from translora.models.load import load


@pytest.fixture
def hub(tiny_model, tmp_path):
    folder, pairs = Path(shutil.copytree(tiny_model, tmp_path / "hub")), tmp_path / "pairs"
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    (pairs / "de-en").mkdir(parents=True)
    (pairs / "README.md").write_text(CARD)
    rows = [{"translation": {"de": f"Satz {i}.", "en": f"Sentence {i}."}} for i in range(20)]
    datasets.Dataset.from_list(rows).to_parquet(pairs / "de-en" / "train.parquet")
    with serving({"models/you/tiny": folder, "datasets/you/pairs": pairs}) as server:
        server.folder = folder
        yield server


@pytest.fixture
def environment(hub, tmp_path):
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower() and name[:3] != "HF_"}
    address = f"http://127.0.0.1:{hub.server_port}"
    return {**kept, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}


CARD = """---
configs:
- config_name: de-en
  data_files: [{split: train, path: de-en/train.parquet}]
---
"""

FETCH = """
import sys
from translora.errors import ModelError
from translora.models.hub import fetch_model
try:
    print(fetch_model(*sys.argv[1:]))
except ModelError as error:
    print(f"refused: {error}")
"""


def fetch(environment, *arguments, **more):
    command = [sys.executable, "-c", FETCH, *(arguments or ["you/tiny"])]
    done = subprocess.run(command, capture_output=True, text=True, env={**environment, **more}, timeout=60)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return line if line.startswith("refused") else Path(line)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_model_is_downloaded_once_and_then_never_asked_for(hub, environment):
    folder = fetch(environment)
    assert names(folder) == names(hub.folder) - {"onnx", "modeling_evil.py"}
    loaded, wanted = (load(Config(model=str(path), method="none")).model.state_dict() for path in (folder, hub.folder))
    assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)
    hub.asked.clear()
    assert fetch(environment) == folder
    assert fetch(environment, HF_HUB_OFFLINE="1") == folder
    assert hub.asked == []


@pytest.mark.parametrize("pickled", [False, True])
def test_an_interrupted_download_is_completed(hub, environment, pickled):
    weights = "pytorch_model.bin" if pickled else "model.safetensors"
    if pickled:
        torch.save(load_file(hub.folder / "model.safetensors"), hub.folder / weights)
        (hub.folder / "model.safetensors").unlink()
    hub.stalled = weights
    process = subprocess.Popen([sys.executable, "-c", FETCH, "you/tiny"], env=environment, stderr=subprocess.DEVNULL)
    assert hub.half_sent.wait(60)
    process.kill()
    process.wait()
    (partial,) = Path(environment["HF_HOME"]).glob("hub/*/snapshots/*")
    assert weights not in names(partial)
    lacks = r"refused: model you/tiny is not (whole )?on disk.*, and HF_HUB_OFFLINE forbids the network"
    assert re.match(lacks, fetch(environment, HF_HUB_OFFLINE="1"))
    hub.stalled = ""
    folder = fetch(environment)
    assert (folder / weights).read_bytes() == (hub.folder / weights).read_bytes()
    assert load(Config(model=str(folder), method="none"))


def test_small_files_that_are_missing_are_fetched_or_said(hub, environment):
    folder = fetch(environment)
    (folder / "generation_config.json").unlink()
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", FETCH, "you/tiny"], capture_output=True, text=True, env=offline)
    assert Path(done.stdout.strip()) == folder
    assert "some of its small files are not on disk, and the hub cannot be asked" in done.stderr
    assert fetch(environment) == folder
    assert (folder / "generation_config.json").exists()


def test_names_that_the_hub_does_not_have(hub, environment):
    assert "the hub has no public model of that name" in fetch(environment, "you/other")
    assert "the hub has no revision 'gone' of it" in fetch(environment, "you/tiny", "gone")
    assert "neither a folder nor a name that the hub could have" in fetch(environment, "a b")
    (hub.folder / "config.json").unlink()
    assert "the hub has no config.json of it" in fetch(environment)


def test_a_hub_behind_a_proxy(hub, environment, tmp_path):
    proxy = f"http://127.0.0.1:{hub.server_port}"  # the stand-in answers as a proxy too
    behind = {**environment, "HF_ENDPOINT": "http://hub.invalid", "NO_PROXY": ""}
    for name in ("http_proxy", "ALL_PROXY"):
        folder = fetch({**behind, name: proxy, "HF_HOME": str(tmp_path / name)})
        assert (folder / "model.safetensors").read_bytes() == (hub.folder / "model.safetensors").read_bytes()
    assert "hub.invalid is not reachable" in fetch(behind)
    assert "hub.invalid is not reachable" in fetch({**behind, "http_proxy": proxy, "NO_PROXY": "hub.invalid"})
    assert "the proxy 127.0.0.1 is not reachable" in fetch({**behind, "http_proxy": "http://127.0.0.1:9"})


READ = """
from translora.config import SourceConfig
from translora.data.readers.sources import read
from translora.errors import DataError
for options in ({"split": "train[5:8]"}, {"split": "train", "limit": 2}, {"split": "dev"}, {"name": "fr-en"}):
    try:
        config = SourceConfig(**{"path": "you/pairs", "format": "hub", "name": "de-en", **options})
        print([pair.target for pair in read(config, "de", "en")])
    except DataError as error:
        print(f"refused: {error}")
"""


def test_a_data_set_is_streamed_from_the_hub(hub, environment):
    done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    part, limited, no_split, no_name = done.stdout.splitlines()
    assert part == str([f"Sentence {i}." for i in (5, 6, 7)])
    assert limited == str(["Sentence 0.", "Sentence 1."])
    assert no_split.startswith("refused: data set you/pairs de-en dev: ")
    assert no_name.startswith("refused: data set you/pairs fr-en: ")


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, ("huggingface.co", 443)),
        ({"HTTPS_PROXY": "http://user:secret@proxy:3128"}, ("proxy", 3128)),
        ({"https_proxy": "proxy:3128"}, ("proxy", 3128)),
        ({"all_proxy": "socks5://proxy"}, ("proxy", 1080)),
        ({"http_proxy": "http://proxy:3128"}, ("huggingface.co", 443)),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "example.org,.co"}, ("huggingface.co", 443)),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "example.org"}, ("proxy", 3128)),
    ],
    ids=str,
)
def test_which_address_must_answer(monkeypatch, variables, asked):
    tried = []

    def refuse(address, timeout):
        tried.append(address)
        raise OSError("no network")

    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://huggingface.co")
    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(DataError, match="data set x is not on disk, and .* is not reachable") as caught:
        require_network("data set x is not on disk", DataError)
    assert tried == [asked]
    assert "secret" not in str(caught.value)


def test_a_port_that_is_no_number(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://huggingface.co")
    monkeypatch.setenv("https_proxy", "http://proxy:port")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ModelError, match="the proxy proxy is not reachable"):
        require_network("model x is not on disk", ModelError)
