"""Servers on real ports with small real models: a base of random weights and adapters of random weights on it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import torch
import uvicorn

from translora.config import Config, LoraConfig
from translora.models.adapter import save_adapter
from translora.models.load import base_hash, load
from translora.models.lora import attach
from translora.serve.app import create_app
from translora.serve.models import Loading, Models
from translora.serve.server import Address, bind
from translora.serve.service import Service, Settings

LINES = ["Guten Morgen!", "Wo ist der Bahnhof?", "Klicken Sie auf Speichern.", "Das ist gut.", "Ja"]


def make_adapter(folder: Path, base: Path, seed: int, **lora) -> Path:
    """An adapter of random weights, which changes every translation."""
    options = {"rank": 3, "targets": "all-linear,embeddings", **lora}
    config = Config(model=str(base), lora=LoraConfig(**options))
    model = attach(load(config).model, config.lora, str(base), seed)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name and "magnitude" not in name:
            parameter.data.normal_(std=0.3)
    save_adapter(model, folder, base_hash(config))
    return folder


@dataclass
class Server:
    """A server in a thread of this process."""

    url: str
    service: Service

    client: httpx.Client

    def request(self, method, path, **options):
        return self.client.request(method, self.url + path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def delete(self, path):
        return self.request("DELETE", path)

    def wait_for(self, lines):
        """Until so many lines wait in the queue."""
        while self.service.batcher.room.used != lines:
            time.sleep(0.01)

    def wait_idle(self):
        """Until nothing is being translated."""
        while len(self.service.batcher._scheduler):
            time.sleep(0.01)

    def texts(self, lines, **options):
        """The translations by `/v1/translate`."""
        answer = self.post("/v1/translate", json={"texts": lines, **options})
        assert answer.status_code == 200, answer.text
        return [one["text"] for one in answer.json()["translations"]]

    @contextmanager
    def busy(self):
        """The worker is at work on something else while the block runs."""
        begun, done = threading.Event(), threading.Event()

        def work():
            begun.set()
            done.wait(60)

        thread = threading.Thread(target=self.service.batcher.exclusive, args=(work,))
        thread.start()
        begun.wait(60)
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def serving(paths, **settings):
    """A server of the models at `paths`."""
    models = Models(Loading())
    models.load_all([str(path) for path in paths])
    app = create_app(models, Settings(**settings))
    listening = bind(Address(port=0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not app.service.batcher.alive:
            thread.join(0.01)
            assert thread.is_alive()
        with httpx.Client(timeout=60) as client:
            yield Server(f"http://127.0.0.1:{listening.getsockname()[1]}", app.service, client)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
