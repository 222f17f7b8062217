"""One side of `translate_throughput.py`: loads a model, translates the lines, prints one line of JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pyarrow.feather import read_table
from transformers import GenerationConfig
from workload import SHAPES, flan_t5, matrix_rate, translation_flops

from translora.config import Config, DecodingConfig, SourceConfig
from translora.data.readers.sources import read
from translora.data.tokens import encode
from translora.models.hardware import peak_memory_bytes
from translora.models.load import LoadedModel, load
from translora.models.t5.decode import Decoder
from translora.translation.choices import Rules
from translora.translation.decode import places
from translora.translation.exported import ExportedModel
from translora.translation.search import Line
from translora.translation.translator import Translator
from translora.translation.workers import most_workers, search_in_threads

SIDES = {
    "generate": "generate, batches in order",
    "generate_sorted": "generate, batches by length",
    "ctranslate2": "CTranslate2, float32",
    "ctranslate2_int8": "CTranslate2, int8",
    "translora": "translora",
    "translora_int8": "translora, int8 export",
}
_CT2_TOKENS = 2048
"""CTranslate2's batches, in tokens."""
_FORCED = 33
"""Target tokens of every line where the weights are random: the mean of news."""
_LIMIT = 256
_SOURCE_COLUMN = "source"

Rows = list[list[int]]


@dataclasses.dataclass(frozen=True)
class Job:
    """What every side gets: token ids, a model, and how long translations are."""

    loaded: LoadedModel
    rows: Rows
    beams: int
    forced: bool
    """Whether each translation has `_FORCED` tokens, none of them the end token."""

    @property
    def end(self) -> int:
        """The end token; none where lengths are forced."""
        return -1 if self.forced else int(self.loaded.tokenizer.eos_token_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--model", required=True)
    parser.add_argument("--beams", type=int, required=True)
    parser.add_argument("--lines", type=int, required=True)
    parser.add_argument("--data", default="", help="the file of `make_workload`, for a model of random weights")
    parser.add_argument("--converted", default="", help="the folder of the model in CTranslate2's format")
    parser.add_argument("--batch", type=int, default=32, help="lines of a batch of `generate`")
    parser.add_argument("--batch-tokens", type=int, default=DecodingConfig().batch_tokens, help="translora's budget")
    options = parser.parse_args()
    job = make_job(options.model, options.beams, options.lines, options.data)
    translate = _PREPARE[options.side](job, options)
    warm = sorted(range(len(job.rows)), key=lambda i: len(job.rows[i]))[-8:]
    translate([job.rows[i] for i in warm])
    started, computed = time.perf_counter(), time.process_time()
    found = translate(job.rows)
    job.loaded.tokenizer.batch_decode(found, skip_special_tokens=True)
    seconds, computed = time.perf_counter() - started, time.process_time() - computed
    device = job.loaded.device
    rate = matrix_rate(device, job.loaded.dtype)
    flops = translation_flops(
        job.loaded.model.config, [len(row) for row in job.rows], [len(ids) for ids in found], job.beams
    )
    figures = {
        "lines_per_second": len(job.rows) / seconds,
        "peak_memory_bytes": peak_memory_bytes(device),
        "share_of_matrix_rate": flops / seconds / rate,
        "target_tokens": sum(map(len, found)),
        "seconds": seconds,
        "processor_seconds": computed,
    }
    print(json.dumps(figures))


def is_shape(model: str) -> bool:
    """Whether `model` is `flan-t5-SHAPE`, a shape with random weights, and no name to load."""
    return model.startswith("flan-t5-") and model.removeprefix("flan-t5-") in SHAPES


def make_job(model: str, beams: int, count: int, data: str = "") -> Job:
    """The lines as token ids and the model; those of a shape with random weights come from the file `data`."""
    if is_shape(model):
        loaded = load(Config(model="mini"))
        shaped = flan_t5(model.removeprefix("flan-t5-"), dropout=0.0).eval().to(loaded.device, loaded.dtype)
        loaded = dataclasses.replace(loaded, model=shaped)
        rows = read_table(data).column(_SOURCE_COLUMN).to_pylist()[:count] if data else []
        return Job(loaded, rows, beams, forced=True)
    loaded = Translator.from_pretrained(model).loaded
    test = read(SourceConfig(path="mini", split="test"), "de", "en")
    texts = [pair.source for pair, _ in zip(test, range(count), strict=False)]
    return Job(loaded, list(encode(texts, loaded.tokenizer, loaded.prompt)), beams, forced=False)


def _transformers(job: Job, options: Any) -> Callable[[Rows], Rows]:
    """`generate` as its users write it."""
    pad = job.loaded.tokenizer.pad_token_id
    config = GenerationConfig(
        do_sample=False,
        num_beams=job.beams,
        max_new_tokens=_FORCED if job.forced else _LIMIT,
        early_stopping=job.beams > 1,
        pad_token_id=pad,
        eos_token_id=None if job.forced else job.end,
        decoder_start_token_id=pad,
    )

    @torch.inference_mode()
    def translate(rows: Rows) -> Rows:
        order = list(range(len(rows)))
        if options.side == "generate_sorted":
            order.sort(key=lambda i: -len(rows[i]))
        found: dict[int, list[int]] = {}
        for start in range(0, len(order), options.batch):
            part = order[start : start + options.batch]
            longest = max(len(rows[i]) for i in part)
            ids = torch.tensor([rows[i] + [pad] * (longest - len(rows[i])) for i in part])
            mask = torch.tensor([[1] * len(rows[i]) + [0] * (longest - len(rows[i])) for i in part])
            inputs = {"input_ids": ids.to(job.loaded.device), "attention_mask": mask.to(job.loaded.device)}
            made = job.loaded.model.generate(**inputs, generation_config=config).tolist()
            found.update(zip(part, (_until(row[1:], job.end) for row in made), strict=True))
        return [found[i] for i in range(len(rows))]

    return translate


def _ctranslate2(job: Job, options: Any) -> Callable[[Rows], Rows]:
    import ctranslate2

    kind = "int8" if options.side == "ctranslate2_int8" else "float32"
    threads = torch.get_num_threads()
    engine = ctranslate2.Translator(options.converted, compute_type=kind, inter_threads=1, intra_threads=threads)
    tokenizer: Any = job.loaded.tokenizer
    lengths = {"min_decoding_length": _FORCED, "max_decoding_length": _FORCED} if job.forced else {}

    def translate(rows: Rows) -> Rows:
        tokens = [tokenizer.convert_ids_to_tokens(row) for row in rows]
        results = engine.translate_batch(
            tokens,
            beam_size=job.beams,
            max_batch_size=_CT2_TOKENS,
            batch_type="tokens",
            **{"max_decoding_length": _LIMIT, **lengths},
        )
        return [tokenizer.convert_tokens_to_ids(result.hypotheses[0]) for result in results]

    return translate


def _translora(job: Job, options: Any) -> Callable[[Rows], Rows]:
    decoder = Decoder(job.loaded.model, job.loaded.dtype)
    wanted = Rules(int(job.loaded.tokenizer.pad_token_id), job.end, job.beams)
    limit = _FORCED if job.forced else _LIMIT
    decoding = DecodingConfig(beams=job.beams)
    budget = options.batch_tokens // job.beams

    def translate(rows: Rows) -> Rows:
        found: dict[int, list[int]] = {}
        lines = [Line(i, row, limit) for i, row in enumerate(rows)]

        def room(longest: int) -> int:
            return places(job.loaded, decoding, longest, budget, most_workers(job.loaded.device))

        search_in_threads(decoder, lines, wanted, room, lambda number, best: found.update({number: best[0].ids}))
        return [found[i] for i in range(len(rows))]

    return translate


class _ForcedEngine:
    """CTranslate2's engine, but each translation has `_FORCED` tokens; the end token is not among them."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.device = engine.device

    def translate_batch(self, tokens: list[list[str]], **options: Any) -> Any:
        forced = {"min_decoding_length": _FORCED, "max_decoding_length": _FORCED}
        return self._engine.translate_batch(tokens, **{**options, **forced})


def _translora_int8(job: Job, options: Any) -> Callable[[Rows], Rows]:
    import ctranslate2

    engine = ctranslate2.Translator(options.converted, compute_type="int8", intra_threads=torch.get_num_threads())
    tokenizer: Any = job.loaded.tokenizer
    tokens = json.loads((Path(options.converted) / "shared_vocabulary.json").read_text(encoding="utf-8"))
    model = ExportedModel(
        _ForcedEngine(engine) if job.forced else engine, tokenizer, tuple(tokens), job.loaded.prompt, options.converted
    )
    decoding = DecodingConfig(beams=job.beams, max_tokens=_LIMIT)
    if job.forced:  # no line is done again because it is longer than its source allows
        decoding = dataclasses.replace(decoding, max_ratio=_FORCED)

    def translate(rows: Rows) -> Rows:
        found = {number: one.ids for number, one in model.outputs(rows, decoding)}
        return [found[i] for i in range(len(rows))]

    return translate


_PREPARE = {
    "generate": _transformers,
    "generate_sorted": _transformers,
    "ctranslate2": _ctranslate2,
    "ctranslate2_int8": _ctranslate2,
    "translora": _translora,
    "translora_int8": _translora_int8,
}


def _until(ids: Sequence[int], end: int) -> list[int]:
    """`ids` up to the end token."""
    return list(ids[: ids.index(end)]) if end in ids else list(ids)


if __name__ == "__main__":
    main()
