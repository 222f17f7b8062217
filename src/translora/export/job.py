"""The `translora export` job: merge, write or convert, and compare each step with the one before it.

An export that fails a check leaves no files.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from translora.config import Config, SourceConfig
from translora.data.pairs import Corpus
from translora.data.readers.sources import default_split, read_corpus
from translora.data.splits import read_splits
from translora.errors import ConfigError, ModelError
from translora.export import ctranslate2, merged, parity
from translora.io import console
from translora.io.console import meter
from translora.io.files import atomic_folder, is_empty, write_json, write_text
from translora.models.adapter import load_adapter
from translora.models.load import LoadedModel, base_hash, load, model_folder
from translora.models.lora import merged_copy
from translora.models.shortlist import copy_shortlist
from translora.runs.card import model_card
from translora.runs.folder import Run, adapter_folder
from translora.scoring.metrics import evaluate
from translora.translation.configuration import Shortlisting, as_trained, model_config
from translora.translation.decode import decode
from translora.translation.exported import MARKER, READING, ExportedModel, Marker, read_marker

_BEAMS = 4
"""The beam size for comparing texts and scores; greedy texts would not show a wrong scale of the logits."""


@dataclass(frozen=True)
class Request:
    """What to export, and how."""

    model: str
    """A run, an adapter, a model folder, a hub name, or `mini`."""
    output: str
    format: Literal["merged", "ctranslate2"] = "merged"
    compute: str = "float32"
    """The type of CTranslate2's weights."""
    data: SourceConfig | None = None
    """The pairs to try the export on; the run's validation pairs where it is not given."""
    lines: int = 200
    """How many lines both engines translate."""
    max_loss: float = 1.0
    """The most BLEU that smaller weights may cost on the pairs."""
    source: str = ""
    target: str = ""
    overwrite: bool = False


def export(request: Request) -> Path:
    """Export the model into the folder `request.output`, and return that folder.

    Raises `ConfigError` for a request that cannot be met, and `ModelError` where a check fails.
    """
    output = Path(request.output)
    _check(request, output)
    config = _config(request)
    pairs = _pairs(request, config)
    loaded, said = _merged(Path(request.model), config, pairs)
    with atomic_folder(output) as folder:
        if request.format == "merged":
            said += _write_merged(loaded, folder, pairs, config)
        else:
            said += _write_converted(loaded, folder, pairs, config, request)
        own = replace(config.decoding, shortlist=_shortlisting(request, config, folder))
        write_json(folder / MARKER, asdict(_marker(request, replace(config, decoding=own), loaded)))
        write_text(folder / "README.md", _card(request, config, said))
    console.notice(f"{output}: written, {_size(output):.1f} MB, with its card")
    return output


def _check(request: Request, output: Path) -> None:
    """Raise `ConfigError` for a request that cannot succeed, before any work."""
    if read_marker(Path(request.model)):
        raise ConfigError(f"{request.model} is an export: export the run or the adapter that it was made from")
    if output.exists() and not (output.is_dir() and is_empty(output)):
        if not (output / MARKER).is_file():
            raise ConfigError(f"{output} exists and is no export: choose another --output")
        if not request.overwrite:
            raise ConfigError(f"{output} exists: choose another --output, or add --overwrite")
    if request.format == "ctranslate2":
        ctranslate2.require_compute(request.compute, "cpu")
    elif request.compute != "float32":
        raise ConfigError(f"--compute {request.compute}: it is for --format ctranslate2; merged weights are float32")


def _config(request: Request) -> Config:
    """The run's configuration, or the default one, in float32 on the CPU, with the whole vocabulary."""
    config = model_config(request.model)
    return replace(
        as_trained(config),
        source=request.source or config.source,
        target=request.target or config.target,
        device="cpu",
        dtype="float32",
        decoding=replace(config.decoding, shortlist="off"),
    )


def _pairs(request: Request, config: Config) -> Corpus:
    """The pairs to try the export on."""
    if request.data:
        split = request.data.split or default_split(request.data, "test")
        return read_corpus(replace(request.data, split=split), config.source, config.target)
    run = Run(Path(request.model))
    if run.config_file.exists():
        return read_splits(run.config).validation
    if request.model == "mini":
        return read_corpus(SourceConfig(path="mini", split="validation"), config.source, config.target)
    raise ConfigError(f"{request.model}: no run, so there are no pairs to try the export on: name some with --data")


def _merged(path: Path, config: Config, pairs: Corpus) -> tuple[LoadedModel, list[str]]:
    """The model with its adapter merged in, and a line for the card on the check that it passed."""
    loaded = load(config)
    adapter = adapter_folder(path)
    if adapter is None:
        return loaded, []
    adapted = load_adapter(loaded.model, adapter, lambda: base_hash(config))
    before = parity.logits(adapted, loaded, pairs, config.data.max_tokens)
    loaded.model = merged_copy(adapted)
    after = parity.logits(loaded.model, loaded, pairs, config.data.max_tokens)
    return loaded, [_say_logits(before, after, "merging the adapter")]


def _say_logits(before: Tensor, after: Tensor, step: str) -> str:
    difference = parity.require_same_logits(before, after, step)
    return _said(f"{step}: logits differ by {difference:.1e} of the largest at most")


def _said(line: str) -> str:
    console.notice(line)
    return line


def _write_merged(loaded: LoadedModel, folder: Path, pairs: Corpus, config: Config) -> list[str]:
    merged.save_merged(loaded, folder)
    before = parity.logits(loaded.model, loaded, pairs, config.data.max_tokens)
    plain = merged.load_plain(folder, loaded.model)
    scale = merged.scale_by_transformers(loaded.model, plain)
    after = parity.logits(plain, loaded, pairs, config.data.max_tokens) / scale
    said = [_say_logits(before, after, "loading with transformers alone")]
    if scale != 1.0:
        said.append(_said(f"transformers alone scales the logits of UMT5 by {scale:.3f} here: beams rank otherwise"))
    return said


def _write_converted(loaded: LoadedModel, folder: Path, pairs: Corpus, config: Config, request: Request) -> list[str]:
    """Convert, compare with our own decoder in float32, then with smaller weights by BLEU."""
    ctranslate2.convert(loaded, folder, "float32")
    exported = ExportedModel.load(folder, loaded.prompt, "cpu")
    said = [_compare_texts(loaded, exported, pairs.head(request.lines), config)]
    if request.compute == "float32":
        return said
    whole = _bleu(exported, pairs, config, "float32")
    ctranslate2.convert(loaded, folder, request.compute)
    bleu = _bleu(ExportedModel.load(folder, loaded.prompt, "cpu"), pairs, config, request.compute)
    said.append(
        _said(f"{request.compute}: BLEU {bleu:.1f} on {len(pairs):,} pairs, {bleu - whole:+.2f} against float32")
    )
    if whole - bleu > request.max_loss:
        raise ModelError(
            f"{request.compute} costs {whole - bleu:.2f} BLEU, more than --max-loss {request.max_loss:g}: nothing was "
            f"exported; use --compute float32, or allow more"
        )
    return said


def _compare_texts(loaded: LoadedModel, exported: ExportedModel, pairs: Corpus, config: Config) -> str:
    """Translate the same lines with both engines, by beam search."""
    decoding = replace(config.decoding, beams=_BEAMS)
    lines = pairs.sources
    with meter("translate with both engines", 2 * len(lines), "sentences") as shown:
        ours = decode(loaded, lines, decoding, shown.advance, scores=True)
        theirs = exported.decode(lines, decoding, shown.advance, scores=True)
    same = parity.require_same_texts(ours, theirs, "converting for CTranslate2")
    parts = [f"{same.lines} of {len(lines)} lines have the same text and score at beam {_BEAMS}"]
    if same.ties:
        parts.append(f"{same.ties} of them another text of the same score")
    if same.cut:
        parts.append(f"{same.cut} run to the limit with both and were left out")
    return _said(f"CTranslate2 in float32: {'; '.join(parts)} (largest difference of scores {same.largest:.1e})")


def _bleu(exported: ExportedModel, pairs: Corpus, config: Config, label: str) -> float:
    with meter(f"translate in {label}", len(pairs), "sentences") as shown:
        found = exported.decode(pairs.sources, config.decoding, shown.advance)
    return evaluate([one.text for one in found], pairs.targets, config.target).bleu.score


def _marker(request: Request, config: Config, loaded: LoadedModel) -> Marker:
    return Marker(
        format=request.format,
        compute=request.compute,
        source=config.source,
        target=config.target,
        prompt=loaded.prompt,
        base=config.model,
        decoding=asdict(config.decoding),
        data={name: getattr(config.data, name) for name in READING},
    )


def _shortlisting(request: Request, config: Config, folder: Path) -> Shortlisting:
    """Give the shortlist of the run to the export in `folder`; returns the export's `decoding.shortlist`."""
    wanted = model_config(request.model).decoding.shortlist
    if request.format == "ctranslate2":
        if wanted != "off":
            console.notice("decoding.shortlist: CTranslate2 knows none: the export takes the whole vocabulary")
        return "off"
    copy_shortlist(adapter_folder(Path(request.model)) or model_folder(config.model, config.revision), folder)
    return wanted


def _card(request: Request, config: Config, said: list[str]) -> str:
    """The run's card, with the export's format and its checks."""
    run = Run(Path(request.model))
    text = model_card(config, False, run if run.config_file.exists() else None)
    form = "merged" if request.format == "merged" else f"CTranslate2, {request.compute}"
    lines = "\n".join(f"- {line}" for line in said)
    return f"{text}\n## Export\n\nFormat: {form}.\n\n{lines}\n"


def _size(folder: Path) -> float:
    """The size of `folder` in megabytes (10^6 bytes)."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
