"""The run folder and the places in it. Knows paths and small files; knows nothing of training."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from translora.config import Config
from translora.config.load import load_config
from translora.errors import DataError
from translora.io.files import read_json, write_json, write_lines
from translora.runs.summary import Shortened, Summary
from translora.scoring.metrics import METRICS, with_interval

if TYPE_CHECKING:
    from translora import Translator

_ADAPTER_FILE = "adapter_config.json"

AGAIN = "start the same command again"


@dataclass(frozen=True)
class Run:
    """A run folder: configuration, adapter or model, checkpoints, figures, translations."""

    folder: Path

    @property
    def marker(self) -> Path:
        """The file by which a folder is known as a run's; it names the version of translora that began it."""
        return self.folder / "translora-run.json"

    @property
    def config_file(self) -> Path:
        """All fields, resolved."""
        return self.folder / "config.yaml"

    @property
    def inputs(self) -> Path:
        """The hashes of the base model and of the pairs of each split, as they were at the beginning."""
        return self.folder / "inputs.json"

    @property
    def shortened_file(self) -> Path:
        """What was cut at the beginning to fit `config.minutes`."""
        return self.folder / "shortened.json"

    @property
    def shortened(self) -> Shortened | None:
        """What was cut at the beginning to fit `config.minutes`; None where nothing was decided."""
        if not self.shortened_file.exists():
            return None
        with damage(self.shortened_file, "add --overwrite to train the run again"):
            return Shortened(**read_json(self.shortened_file))

    @property
    def adapter(self) -> Path:
        """The adapter, in PEFT's format (`method: lora`)."""
        return self.folder / "adapter"

    @property
    def model(self) -> Path:
        """The whole model, in transformers' format (`method: full`)."""
        return self.folder / "model"

    @property
    def trained_weights(self) -> Path:
        """The folder of the trained weights: the adapter, or the whole model."""
        return self.adapter if self.adapter.exists() else self.model

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, from which a run goes on."""
        return self.folder / "checkpoints"

    @property
    def initial_adapter(self) -> Path:
        """The adapter before training, where the trained one cannot be saved without it (`lora.init: pissa`)."""
        return self.checkpoints / "initial"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: each step's and each validation's figures."""
        return self.folder / "metrics.jsonl"

    @property
    def terms(self) -> Path:
        """The glossary that training wrote into its sources, where the recipe has one."""
        return self.folder / "terms.tsv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files, where the recipe asks for them."""
        return self.folder / "tensorboard"

    @property
    def translations(self) -> Path:
        """`source.txt`, `reference.txt`, `before.txt` and `after.txt` of the test pairs, aligned by line.

        `cut.json` beside them has the numbers of the lines that reached their limit, by label.
        """
        return self.folder / "translations"

    def translated(self, label: str) -> list[str]:
        """The lines of one of the files in `translations`, such as `after`."""
        file = self.translations / f"{label}.txt"
        with damage(file, f"delete {self.summary_file}, and {AGAIN}"):
            lines = file.read_text(encoding="utf-8").split("\n")[:-1]
            if self.finished and len(lines) != self.summary.test_pairs:
                raise ValueError(f"{len(lines)} lines for {self.summary.test_pairs} test pairs")
            return lines

    def write_translations(self, label: str, lines: Sequence[str], cut: Sequence[int] | None) -> None:
        """Keep the translations of the test pairs as `label`, with the numbers of the lines that were cut (from 1).

        `cut` is None where that is not known.
        """
        others = {key: numbers for key, numbers in self._cut_lines().items() if key != label}
        write_json(self.translations / "cut.json", {**others, **({} if cut is None else {label: list(cut)})})
        write_lines(self.translations / f"{label}.txt", list(lines))

    def cut_lines(self, label: str) -> list[int] | None:
        """The numbers of the translations of `label` that reached their limit; None where that is not known."""
        return self._cut_lines().get(label)

    def _cut_lines(self) -> dict[str, list[int]]:
        file = self.translations / "cut.json"
        if not file.exists():  # a run of an older version
            return {}
        with damage(file, f"delete it, and {AGAIN}"):
            return {str(label): [int(number) for number in numbers] for label, numbers in read_json(file).items()}

    @property
    def labels(self) -> list[str]:
        """Which translations of the test pairs a finished run has: `before`, `after`, or both."""
        before, after = self.config.init == "pretrained", self.config.method != "none"
        return [*(["before"] if before else []), *(["after"] if after or not before else [])]

    def final_translations(self) -> list[str]:
        """The test pairs as the run's model translates them in the end."""
        return self.translated(self.labels[-1])

    @property
    def summary_file(self) -> Path:
        """The figures of a finished run."""
        return self.folder / "summary.json"

    @property
    def report(self) -> Path:
        """The figures, plots and texts of a finished run on one page."""
        return self.folder / "report.html"

    @cached_property
    def config(self) -> Config:
        """The configuration of the run; raises `DataError` where there is no run, `ConfigError` where it is broken."""
        if not self.config_file.exists():
            raise DataError(f"{self.folder}: no run folder: give one that translora train wrote")
        with damage(self.config_file, "put a copy back, or choose another --output"):
            if not yaml.safe_load(self.config_file.read_text(encoding="utf-8")).keys() >= {"model", "source", "target"}:
                raise ValueError("no model in it")
        return load_config(self.config_file)

    @property
    def trained(self) -> bool:
        """Whether the run has its adapter or model."""
        return self.adapter.exists() or self.model.exists()

    def figures(self) -> list[dict[str, Any]]:
        """Each step's and each validation's figures; raises `DataError` where the file is missing or damaged."""
        with damage(self.metrics, "add --overwrite to train the run again"):
            lines = self.metrics.read_text(encoding="utf-8").splitlines()
            figures = [dict(json.loads(line)) for line in lines]
            if not any("validation_bleu" in figure for figure in figures):
                raise ValueError("no validation in it")
            return figures

    def validation_bleu(self) -> list[float]:
        """The BLEU of each validation so far."""
        figures = self.figures()
        return [figure["validation_bleu"] for figure in figures if "validation_bleu" in figure]

    @property
    def finished(self) -> bool:
        """Whether the run has its summary."""
        return self.summary_file.exists()

    @property
    def summary(self) -> Summary:
        """The figures of a finished run; raises `DataError` where it has not finished."""
        if not self.finished:
            _ = self.config  # says so where there is no run at all
            raise DataError(f"{self.folder}: the run has not finished: {AGAIN}")
        with damage(self.summary_file, f"delete it, and {AGAIN}"):
            return Summary.of(read_json(self.summary_file))

    def translator(self, device: str = "") -> Translator:
        """The run's model, ready to translate; see `Translator.from_pretrained`."""
        import translora  # by its public name: translating lies above this module

        return translora.Translator.from_pretrained(self.folder, device=device)

    def _repr_html_(self) -> str:
        """The scores before and after, the verdict, and where the report is, for a notebook."""
        if not self.finished:
            return f"<p>{html.escape(str(self.folder))}: the run has not finished.</p>"
        summary = self.summary
        rows = "".join(_row(name, key, summary) for key, name in METRICS.items())
        return (
            f"<table><thead><tr><th></th><th>before</th><th>after</th></tr></thead><tbody>{rows}</tbody></table>"
            f"<p>{html.escape(summary.verdict)}<br>"
            f'<a href="{html.escape(self.report.as_posix())}">{html.escape(str(self.report))}</a></p>'
        )


def _row(name: str, key: str, summary: Summary) -> str:
    """One metric as a row of a table."""
    scores = (getattr(found, key) if found else None for found in (summary.scores_before, summary.scores_after))
    cells = (with_interval(score.score, score.interval) if score else "-" for score in scores)
    return f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


@contextmanager
def damage(file: Path, remedy: str) -> Iterator[None]:
    """Turn the error of a file that is missing, unreadable or changed into a `DataError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{file} is missing: {remedy}") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): {remedy}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{file} is damaged ({error}): {remedy}") from error


def adapter_folder(path: Path) -> Path | None:
    """The PEFT adapter that a path names: a run folder's, or the folder itself; None where there is none."""
    for folder in (path / "adapter", path):
        if (folder / _ADAPTER_FILE).exists():
            return folder
    return None
