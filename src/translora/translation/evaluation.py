"""Score a model, or a file of translations, on a test set; compare it with another; show it for people or machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import translora.scoring.metrics as metrics
from translora.config import SourceConfig
from translora.data.pairs import Corpus, chunks
from translora.data.readers.files import kind_of
from translora.data.readers.sources import default_split, format_of, read_corpus
from translora.data.readers.wmt import Layer, text_segments
from translora.errors import ConfigError, DataError
from translora.io import console
from translora.io.files import cache_folder, sha256, write_lines
from translora.scoring.comet import CometScore, comet, find_comet
from translora.scoring.metrics import Scores
from translora.scoring.significance import Difference, Method, compared_scores, few_pairs, paired_test
from translora.translation.configuration import Shortlisting

if TYPE_CHECKING:
    from translora.scale.lines import LineJob
    from translora.scale.shards import Engine

RANGE = 500
"""Lines that are translated at a time, the longest first; on Ray they are a shard, which keeps the batches the same."""
_WITH_COLUMNS = ("tsv", "csv", "json", "jsonl", "parquet", "folder", "hub")
"""Formats of data that columns may be named of."""


@dataclass(frozen=True)
class Request:
    """A request to score a model or translations; an empty field is not given."""

    model: str = ""
    """A run, an adapter, a model; or `hypotheses`, its translations."""
    data: SourceConfig | None = None
    """The pairs; its targets are references. Of a data set with splits, `test` is read unless it names another."""
    hypotheses: str = ""
    """A file of translations, one per line."""
    references: tuple[str, ...] = ()
    """Files of further references, one per line."""
    baseline: str = ""
    """A file of other translations of the same sources, to test the difference with."""
    test: Method = "bootstrap"
    source: str = ""
    target: str = ""
    beams: int = 0
    max_tokens: int = 0
    shortlist: Shortlisting | None = None
    output: str = ""
    """Where to write the translations."""
    comet: bool = False


@dataclass(frozen=True)
class Evaluation:
    """The scores, and the texts that they were computed on."""

    hypotheses: list[str]
    references: list[list[str]]
    """One list per set of references."""
    target: str
    scores: Scores
    differences: dict[str, Difference] | None
    """Against the baseline, by metric."""
    comet: CometScore | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = self.scores.as_dict()
        if self.differences:
            found["baseline"] = {
                key: {"score": one.baseline.score, "p_value": one.p_value, "signature": one.signature}
                for key, one in self.differences.items()
            }
        if self.comet:
            found["comet"] = self.comet._asdict()
        return found


def run_evaluation(request: Request, engine: Engine | None = None) -> Evaluation:
    """Translate the sources where a model is given, by `engine` where there is one, and score the translations.

    Raises `ConfigError` for a request that does not say what to score, and `DataError`, naming the files, where lists
    of lines do not pair up.
    """
    _check(request)
    if request.comet:
        find_comet()
    sources, hypotheses, references, target = _texts(request, engine)
    if request.output:
        write_lines(Path(request.output), hypotheses)
    differences = None
    if request.baseline:
        baseline = _read(request.baseline, "hyp", len(references[0]), "references")
        differences = paired_test(baseline, hypotheses, references, target, request.test)
    scores = (
        compared_scores(differences, len(hypotheses))[1]
        if differences and request.test == "bootstrap"
        else metrics.evaluate(hypotheses, references, target)
    )
    score = comet(sources, hypotheses, references[0]) if request.comet else None
    return Evaluation(hypotheses, references, target, scores, differences, score)


def _check(request: Request) -> None:
    if bool(request.model) == bool(request.hypotheses):
        raise ConfigError("evaluate: give a model to translate with, or --hypotheses FILE, one of the two")
    if request.model and not request.data:
        raise ConfigError("evaluate: give --data, the pairs to translate")
    if not request.data and not request.references:
        raise ConfigError("evaluate: give --data or --references to score against")
    if request.shortlist and not request.model:
        raise ConfigError("evaluate: --shortlist says how a model translates: leave it out with --hypotheses")
    if request.comet and not request.data:
        raise ConfigError("evaluate: --comet reads the sources too: give --data")
    read = [request.hypotheses, request.baseline, *request.references]
    read += [request.data.path, request.data.target_path] if request.data else []
    if request.output and Path(request.output).resolve() in {Path(file).resolve() for file in read if file}:
        raise ConfigError(f"evaluate: {request.output} is read from: name another file to write")
    missing = next((file for file in [request.baseline, *request.references] if file and not Path(file).exists()), "")
    if missing:
        raise ConfigError(f"{missing}: No such file or directory")


def _texts(request: Request, engine: Engine | None) -> tuple[list[str], list[str], list[list[str]], str]:
    """Sources, hypotheses, references and the target language."""
    if request.model:
        from translora.scale.lines import LineJob, ModelName
        from translora.translation.stream import TextOptions

        model = ModelName(request.model, request.source, request.target, request.max_tokens, request.shortlist)
        translator = model.load()
        job = LineJob(model, translator, TextOptions(request.beams, translator.scored_as), rows=RANGE)
        config = translator.config
        source, target = config.source, config.target
        pairs = pairs_to_score(request, source, target, config.data.train)
        hypotheses = _translations(job, pairs.sources, engine)
        sources, references = pairs.sources, [pairs.targets]
    else:
        source, target = request.source or "de", request.target or "en"
        hypotheses = _read(request.hypotheses, "hyp")
        sources, references = [], []
        if request.data:
            pairs = pairs_to_score(request, source, target)
            sources, references = pairs.sources, [pairs.targets]
            _check_lengths(request.hypotheses, len(hypotheses), request.data.path, len(pairs))
    for file in request.references:
        references.append(_references(file, request.hypotheses, (source, target), len(hypotheses)))
    return sources, hypotheses, references, target


def _translations(job: LineJob, sources: Sequence[str], engine: Engine | None) -> list[str]:
    """The translation of each of `sources`; on Ray, results of a killed start are taken over."""
    from translora.scale.shards import shard_folder

    notes = job.translator.notes("translate", "--max-tokens")
    order = sorted(range(len(sources)), key=lambda place: -len(sources[place]))
    lines = [sources[place] for place in order]
    if engine:
        key = sha256(*lines, job.translator.identity)
        with shard_folder(cache_folder() / "shards" / f"evaluate-{key[:16]}") as folder:
            found = [one.text for part in job.translate(lines, folder, engine, notes) for one in part]
    else:
        found = []
        with console.meter("translate", len(lines), "sentences") as shown:
            for chunk in chunks(lines, job.rows):
                parts = job.translator.decode(chunk, **vars(job.options), notes=notes, advance=shown.advance)
                found += [one.text for one in parts]
    notes.renumber(order)
    notes.say()
    texts = dict(zip(order, found, strict=True))
    return [texts[place] for place in range(len(sources))]


def pairs_to_score(request: Request, source: str, target: str, trained_on: SourceConfig | None = None) -> Corpus:
    """The pairs to score; a table that does not say its columns is read as the run's training pairs were."""
    assert request.data is not None
    data = dataclasses.replace(request.data, split=request.data.split or default_split(request.data, "test"))
    if trained_on is not None and trained_on.columns and not data.columns and format_of(data) in _WITH_COLUMNS:
        with suppress(DataError):  # a table of another form is read by what it says itself
            found = read_corpus(dataclasses.replace(data, columns=trained_on.columns), source, target)
            console.notice(f"{data.path}: columns {' and '.join(trained_on.columns)}, as the run was trained with")
            return found
    return read_corpus(data, source, target)


def _references(file: str, hypotheses: str, languages: tuple[str, str], wanted: int) -> list[str]:
    """The lines of a file of references, or the targets of a file of pairs."""
    other = hypotheses or "the translations"
    if not kind_of(Path(file)):
        return _read(file, "ref", wanted, other)
    pairs = read_corpus(SourceConfig(path=file), *languages)
    _check_lengths(file, len(pairs), other, wanted)
    return pairs.targets


def _read(file: str, layer: Layer, wanted: int | None = None, other: str = "") -> list[str]:
    """The lines of a text file, or the segments of a WMT file.

    Raises `DataError` where they are none, or not as many as `other` has.
    """
    if kind := kind_of(Path(file)):
        raise DataError(f"{file}: a {kind} file, where one sentence per line is needed: give pairs as --data")
    lines = list(text_segments(Path(file), layer))
    if not lines:
        raise DataError(f"{file}: no lines in it: give one sentence per line")
    if wanted is not None:
        _check_lengths(file, len(lines), other, wanted)
    return lines


def _check_lengths(file: str, lines: int, other: str, others: int) -> None:
    if lines != others:
        raise DataError(f"{file}: {lines} lines for {others} of {other}: line by line they must belong together")


def printed(evaluation: Evaluation) -> list[str]:
    """The lines to show."""
    scores = evaluation.scores
    lines = []
    for key, name in metrics.METRICS.items():
        score = getattr(scores, key)
        low, high = score.interval
        lines.append(f"{name} = {score.score:.2f} (95% confidence: {low:.2f} to {high:.2f})  {score.signature}")
        if evaluation.differences:
            one = evaluation.differences[key]
            word = "a difference" if one.significant else "no significant difference"
            change = score.score - one.baseline.score
            lines.append(
                f"  baseline {one.baseline.score:.2f}, {change:+.2f}: {word} (p = {one.p_value:.3f})  {one.signature}"
            )
    if evaluation.differences and (words := few_pairs(len(evaluation.hypotheses))):
        lines.append(words.strip())
    if evaluation.comet:
        lines.append(f"COMET = {evaluation.comet.score:.4f}  {evaluation.comet.model}")
    return lines


def explained(evaluation: Evaluation) -> Sequence[str]:
    """BLEU by other ways of counting, on the first set of references."""
    ways = metrics.explain_bleu(evaluation.hypotheses, evaluation.references[0], evaluation.target)
    return [f"{figure:6.2f}  {what}" for figure, what in ways]
