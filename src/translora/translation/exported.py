"""A model that CTranslate2 runs: what `translora export --format ctranslate2` writes, read and translated with.

Knows the folder of an export and CTranslate2's engine; knows nothing of how the export was made.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from translora.config import Config, DataConfig, DecodingConfig
from translora.data.batching import sorted_batches
from translora.data.placeholders import texts_of
from translora.data.tokens import encode
from translora.errors import ConfigError, DataError, ModelError, reason_of
from translora.io.files import one_line, read_json
from translora.languages import same_language
from translora.models.load import quiet_transformers
from translora.models.shortlist import REMEDY
from translora.models.tokenizer import load_tokenizer
from translora.translation.result import Translation, limit_name, limit_of

MARKER = "translora-export.json"
"""The file by which an export is known: its format, its languages, its prompt, and what it was made from."""
_VOCABULARY = "shared_vocabulary.json"
_MOST_TOKENS = 2048
"""The most source tokens of a batch on a CPU, where larger batches are slower."""

READING = ("max_tokens", "placeholders", "glossary", "fuzzy", "fuzzy_least")
"""Fields of `DataConfig` that say how a line is read."""


@dataclass(frozen=True)
class Marker:
    """What an export says of itself."""

    format: str
    """`merged` or `ctranslate2`."""
    compute: str
    """The type of the stored weights, such as `float32` or `int8`."""
    source: str
    target: str
    prompt: str
    base: str
    """The base model as the recipe named it."""
    decoding: dict[str, Any]
    """The fields of `DecodingConfig`."""
    data: dict[str, Any] = field(default_factory=dict)
    """The fields of `DataConfig` that say how a line is read, `READING`; none in an older export."""

    def config(self, folder: Path) -> Config:
        """The default configuration with the model, the languages and the decoding of the export."""
        return Config(
            model=str(folder),
            method="none",
            source=self.source,
            target=self.target,
            data=DataConfig(**self.data),
            decoding=DecodingConfig(**self.decoding),
        )

    def require_languages(self, folder: Path, source: str, target: str) -> None:
        """Raise `ConfigError` for other languages than the export's: its prompt is of these two."""
        if not (same_language(source, [self.source]) and same_language(target, [self.target])):
            raise ConfigError(
                f"{folder} translates {self.source} to {self.target}, not {source} to {target}: export the model "
                f"again, with --source and --target"
            )


def read_marker(folder: Path) -> Marker | None:
    """What the export in `folder` says of itself, or None where there is none; raises `DataError` for a damaged one."""
    file = folder / MARKER
    if not file.is_file():
        return None
    try:
        found = read_json(file)
        known = {name: found[name] for name in Marker.__dataclass_fields__ if name != "data"}
        data = found.get("data") or {"glossary": found.get("glossary", DataConfig.glossary)}
        return Marker(**known, data={name: data[name] for name in READING if name in data})
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{file} is damaged ({error}): export the run again") from error


def refuse_shortlist(folder: Path, decoding: DecodingConfig) -> None:
    """Raise `ConfigError` where a shortlist is asked for, which CTranslate2 has none of."""
    if decoding.shortlist != "off":
        raise ConfigError(f"decoding.shortlist: {folder} is translated by CTranslate2, which knows none: {REMEDY}")


def engine_library() -> Any:
    """The module `ctranslate2`; raises `ConfigError` where it is not installed."""
    try:
        import ctranslate2
    except ImportError as error:
        raise ConfigError('CTranslate2 is not installed: pip install "translora[ctranslate2]"') from error
    ctranslate2.set_log_level(logging.ERROR)
    return ctranslate2


def compute_types(device: str) -> set[str]:
    """The types of weights that CTranslate2 can compute with on this machine's `device` (`cpu` or `cuda`)."""
    return set(engine_library().get_supported_compute_types(device))


@dataclass(frozen=True)
class Output:
    """What the engine made of one row."""

    ids: list[int]
    ended: bool
    """Whether the model ended it."""
    score: float | None
    """The mean log-probability of its tokens."""


@dataclass(frozen=True)
class ExportedModel:
    """A CTranslate2 model with all that is needed to translate with it."""

    engine: Any
    tokenizer: PreTrainedTokenizerBase
    tokens: tuple[str, ...]
    """The vocabulary: the token of each id."""
    prompt: str
    """What precedes each source text."""
    name: str
    """The folder, as it was named."""

    @classmethod
    def load(cls, folder: Path, prompt: str, device: str = "auto") -> ExportedModel:
        """Load the model and its tokenizer from `folder`.

        Raises `ModelError` for a damaged one.
        """
        library = engine_library()
        if device == "auto":
            device = "cuda" if library.get_cuda_device_count() else "cpu"
        with _errors_named(folder):
            engine = library.Translator(str(folder), device=device, intra_threads=torch.get_num_threads())
            with quiet_transformers():
                tokenizer = load_tokenizer(folder)
            tokens = tuple(json.loads((folder / _VOCABULARY).read_text(encoding="utf-8")))
        return cls(engine, tokenizer, tokens, prompt, str(folder))

    @cached_property
    def _ids(self) -> dict[str, int]:
        """The id of each token; the first, where a name comes twice."""
        return {token: i for i, token in reversed(list(enumerate(self.tokens)))}

    def decode(
        self,
        lines: Sequence[str],
        decoding: DecodingConfig,
        progress: Callable[[int], None] = lambda done: None,
        scores: bool = False,
    ) -> list[Translation]:
        """Translate each of `lines` as `translora.translation.decode.decode` does, with the same limits."""
        results = [Translation("")] * len(lines)
        filled = [i for i, line in enumerate(lines) if line.strip()]
        rows = list(encode([lines[i] for i in filled], self.tokenizer, self.prompt))
        for number, one in self.outputs(rows, decoding, scores):
            text = one_line(texts_of([one.ids], self.tokenizer)[0])
            cut_by = "" if one.ended else limit_name(len(rows[number]), decoding)
            results[filled[number]] = Translation(text, one.score, cut_by)
            progress(1)
        progress(len(lines) - len(filled))
        return results

    def candidates(
        self, lines: Sequence[str], decoding: DecodingConfig, scores: bool = False
    ) -> list[list[Translation]]:
        """The best translation of each of `lines`, alone."""
        return [[one] for one in self.decode(lines, decoding, scores=scores)]

    def outputs(
        self, rows: Sequence[Sequence[int]], decoding: DecodingConfig, scores: bool = False
    ) -> Iterator[tuple[int, Output]]:
        """Translate `rows` of token ids in batches by length: the number of each row and what the engine made of it."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        most = max(1, decoding.batch_tokens // decoding.beams)
        if self.engine.device == "cpu":
            most = min(most, _MOST_TOKENS)
        for batch in sorted_batches(lengths, np.zeros_like(lengths), most):
            yield from zip(batch.tolist(), self._translated([rows[i] for i in batch], decoding, scores), strict=True)

    def _translated(self, rows: Sequence[Sequence[int]], decoding: DecodingConfig, scores: bool) -> list[Output]:
        """One batch; the engine has one limit for all, so a row that runs past its own is done again with its own."""
        limits = [limit_of(len(row), decoding) for row in rows]
        found = self._run(rows, max(limits) + 1, decoding, scores)
        over = [i for i, (one, limit) in enumerate(zip(found, limits, strict=True)) if len(one.ids) > limit + one.ended]
        for limit in sorted({limits[i] for i in over}):
            again = [i for i in over if limits[i] == limit]
            for i, one in zip(again, self._run([rows[i] for i in again], limit, decoding, scores), strict=True):
                found[i] = one
        return found

    def _run(self, rows: Sequence[Sequence[int]], limit: int, decoding: DecodingConfig, scores: bool) -> list[Output]:
        """Let the engine translate `rows`, at most `limit` tokens each, the end token included."""
        results = self.engine.translate_batch(
            [[self.tokens[i] for i in row] for row in rows],
            beam_size=decoding.beams,
            length_penalty=decoding.length_penalty,
            no_repeat_ngram_size=decoding.no_repeat_ngram_size,
            repetition_penalty=decoding.repetition_penalty,
            max_decoding_length=limit,
            min_decoding_length=0,
            max_input_length=0,
            return_scores=scores,
            return_end_token=True,
        )
        end = self.tokenizer.eos_token_id
        outputs = []
        for result in results:
            row = [self._ids[token] for token in result.hypotheses[0]]
            score = result.scores[0] if scores and row else None
            if score is not None:  # it is ranked by the sum over a power of the length
                score *= len(row) ** (decoding.length_penalty - 1)
            outputs.append(Output(row, bool(row) and row[-1] == end, score))
        return outputs


@contextmanager
def _errors_named(folder: Path) -> Iterator[None]:
    """Turn what is said of a broken folder into a `ModelError` that names it."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        reason = reason_of(error)
        raise ModelError(f"{folder}: cannot be read ({reason}): export the run again") from error
