"""A plain server for `serve_load.py`: one model behind FastAPI, one request at a time, as people write it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from translate_throughput import convert

from translora import Translator


def main() -> None:
    side, adapter, port, folder = sys.argv[1:]
    translate = _generate(adapter) if side == "generate" else _ctranslate2(adapter, folder)
    app, lock = FastAPI(), threading.Lock()

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/translate")
    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        with lock:
            return {"translations": [{"text": translate(text, asked["beams"])} for text in asked["texts"]]}

    uvicorn.run(app, port=int(port), log_level="error", access_log=False)


def _generate(adapter: str) -> Callable[[str, int], str]:
    loaded = Translator.from_pretrained(adapter).loaded

    @torch.inference_mode()
    def translate(text: str, beams: int) -> str:
        inputs = loaded.tokenizer(loaded.prompt + text, return_tensors="pt")
        made = loaded.model.generate(**inputs, num_beams=beams, do_sample=False, max_new_tokens=256)
        return str(loaded.tokenizer.decode(made[0], skip_special_tokens=True))

    return translate


def _ctranslate2(adapter: str, folder: str) -> Callable[[str, int], str]:
    import ctranslate2

    convert(adapter, folder, f"{folder}/converted")
    engine = ctranslate2.Translator(f"{folder}/converted", intra_threads=torch.get_num_threads())
    loaded = Translator.from_pretrained(adapter).loaded
    tokenizer: Any = loaded.tokenizer

    def translate(text: str, beams: int) -> str:
        tokens = tokenizer.convert_ids_to_tokens(tokenizer(loaded.prompt + text)["input_ids"])
        (found,) = engine.translate_batch([tokens], beam_size=beams, max_decoding_length=256)
        return str(tokenizer.decode(tokenizer.convert_tokens_to_ids(found.hypotheses[0]), skip_special_tokens=True))

    return translate


if __name__ == "__main__":
    main()
