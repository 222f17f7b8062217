"""Models from a hub: a local stand-in serves a real tiny model by the protocol that huggingface_hub speaks."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from translora.config import Config
from translora.errors import DataError, ModelError
from translora.io.network import require_network
from translora.models.load import load

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Serves the files of `server.folder` as the model `you/tiny`; holds back the second half of `server.stalled`."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.server.asked.append(path)
        files = sorted(path.relative_to(self.server.folder).as_posix() for path in self.server.folder.rglob("*.*"))
        if path.startswith("/api/models/you/tiny/tree/"):
            self._send_json([self._entry(file) for file in files])
        elif path in ("/api/models/you/tiny", "/api/models/you/tiny/revision/main"):
            self._send_json({"id": "you/tiny", "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]})
        elif path.startswith("/you/tiny/resolve/") and path.split("/", 5)[5] in files:
            self._send_file(path.split("/", 5)[5], body)
        else:
            code = "RevisionNotFound" if path.startswith("/api/models/you/tiny/") else "RepoNotFound"
            self._send(404, b"", {"X-Error-Code": code})

    def _entry(self, file):
        data = (self.server.folder / file).read_bytes()
        return {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def _send_file(self, file, body):
        data = (self.server.folder / file).read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            self.server.resumed.append((file, first))
        self._send(206 if first else 200, data[first:], headers, body, file == self.server.stalled)

    def _send_json(self, value):
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status, data, headers, body=True, stalls=False):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body and stalls:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.server.half_sent.set()
            self.server.go_on.wait(60)
        elif body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tiny_model, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.folder = Path(shutil.copytree(tiny_model, tmp_path / "hub"))
    (server.folder / "onnx").mkdir()
    (server.folder / "onnx" / "config.json").write_text("{}")
    (server.folder / "modeling_evil.py").write_text("raise SystemExit")
    server.asked, server.resumed, server.stalled = [], [], ""
    server.half_sent, server.go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def environment(hub, tmp_path):
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower() and name[:3] != "HF_"}
    address = f"http://127.0.0.1:{hub.server_port}"
    return {**kept, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}


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
