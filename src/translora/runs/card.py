"""The model card: what a model or adapter was made from, how good it is, and how to use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from translora import __version__
from translora.config import Config
from translora.io.files import read_json
from translora.languages import language_name, subtags
from translora.runs.folder import Run, damage
from translora.runs.summary import Summary
from translora.scoring.metrics import METRICS, with_interval

_LICENCE = (
    "**Licence: not stated yet.** Name one here and in the head of this file, as the licences of the base model and of "
    "the data allow."
)

_TIED = "where layers are one weight, as T5's embeddings are, PEFT adds the adapters of all of them to it"


def model_card(config: Config, adapter: bool, run: Run | None = None) -> str:
    """The card, in Markdown with the hub's YAML head, of an adapter or of a whole model.

    `config` names the model and the languages; `run`, where there is one, adds its data, scores, recipe and hardware.
    """
    if run is not None:
        config = run.config
    summary = run.summary if run is not None and run.finished else None
    names = f"{language_name(config.source)} to {language_name(config.target)}"
    kind = "A LoRA adapter" if adapter else "A model"
    parts = [
        _head(config, adapter),
        f"# {names}",
        f"{kind} that translates {names}, made with translora {summary.version if summary else __version__} from the "
        f"base model `{config.model}`.",
        _LICENCE,
        f"## Use\n\n{_use(config, adapter)}",
    ]
    if run is not None and summary is not None:
        parts.append(f"## Scores\n\n{_scores(summary, run.config.decoding.search)}")
    if run is not None:
        parts.append(f"## Data\n\n{_data(run, summary)}")
        if summary is not None and summary.hardware:
            parts.append(f"## Training\n\n{_training(summary)}")
        recipe = run.config_file.read_text(encoding="utf-8").strip()
        parts.append(f"## Recipe\n\n```yaml\n{recipe}\n```")
    return "\n\n".join(parts) + "\n"


def _head(config: Config, adapter: bool) -> str:
    """The YAML that the hub reads."""
    fields: dict[str, Any] = {
        "language": [subtags(code).language for code in (config.source, config.target)],
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "translation",
        "tags": ["translation", "translora", *(["lora"] if adapter else [])],
    }
    if config.model.count("/") == 1 and not Path(config.model).exists():  # a name on the hub
        fields["base_model"] = config.model
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    return f"---\n{text}# license: fill in, such as apache-2.0\n---"


def _use(config: Config, adapter: bool) -> str:
    languages = f"source={json.dumps(config.source)}, target={json.dumps(config.target)}"
    lines = [
        "```python",
        "import translora",
        "",
        f'translator = translora.Translator.from_pretrained("FOLDER", {languages})',
        'print(translator.translate("..."))',
        "```",
    ]
    if adapter:
        base = "translora.mini.MODEL" if config.model == "mini" else json.dumps(config.model)
        lines += [
            "",
            "Or with PEFT alone, where each source has its prompt before it:",
            "",
            "```python",
            *(["import translora.mini"] if config.model == "mini" else []),
            "from peft import PeftModel",
            "from transformers import AutoModelForSeq2SeqLM",
            "",
            f"base = AutoModelForSeq2SeqLM.from_pretrained({base})",
            'model = PeftModel.from_pretrained(base, "FOLDER")',
            "```",
        ]
        if any(name in config.lora.targets for name in ("embeddings", "embed_tokens", "lm_head")):
            lines += ["", f"Merge it with `translora export`: {_TIED}."]
    return "\n".join(lines)


def _scores(summary: Summary, search: str) -> str:
    """A table by sacreBLEU, with the signatures."""
    lines = [
        f"On {summary.test_pairs:,} test pairs, {search} (±: 95% confidence, by resampling the pairs). "
        f"{summary.verdict}",
        "",
        "| metric | before | after | signature |",
        "|---|---|---|---|",
    ]
    for key, name in METRICS.items():
        after = getattr(summary.scores_after, key)
        before = getattr(summary.scores_before, key) if summary.scores_before else None
        cells = [with_interval(score.score, score.interval) if score else "-" for score in (before, after)]
        lines.append(f"| {name} | {' | '.join(cells)} | `{after.signature.replace('|', ', ')}` |")
    return "\n".join(lines)


def _data(run: Run, summary: Summary | None) -> str:
    """Where each split came from, its pairs, and its hash."""
    data = run.config.data
    with damage(run.inputs, "add --overwrite to start over"):
        hashes = read_json(run.inputs) if run.inputs.exists() else {}
    lines = ["| split | from | pairs | SHA-256 of the texts |", "|---|---|---|---|"]
    for name in ("train", "validation", "test"):
        config = getattr(data, name)
        path = " ".join(filter(None, (config.path, config.name, config.split))) or "cut from train by seed"
        pairs = f"{getattr(summary, f'{name}_pairs'):,}" if summary else "-"
        lines.append(f"| {name} | {path} | {pairs} | `{hashes.get(f'{name} pairs', '-')}` |")
    if data.both_directions:
        lines.append("\nEach training pair was also given from target to source.")
    for reason, dropped in (summary.dropped if summary else {}).items():
        lines.append(f"\nLeft out of train: {dropped.count:,} pairs ({reason}).")
    return "\n".join(lines)


def _training(summary: Summary) -> str:
    speed = f", {summary.pairs_per_second:.0f} pairs per second" if summary.pairs_per_second else ""
    return (
        f"{summary.trainable_parameters:,} of {summary.total_parameters:,} parameters, {summary.steps:,} steps in "
        f"{summary.train_seconds:,.0f} seconds{speed}; peak memory {summary.peak_memory_bytes / 2**30:.2f} GiB; "
        f"on {summary.hardware}, {summary.dtype}."
    )
