"""What a run was made from, and the figures of the finished one."""

from __future__ import annotations

from dataclasses import dataclass

from translora import __version__
from translora.config import Config
from translora.data.characters import UnknownCharacters
from translora.data.pairs import Corpus
from translora.data.splits import Splits
from translora.data.tokens import TokenisedCorpus
from translora.models.hardware import describe, peak_memory_bytes
from translora.models.load import LoadedModel
from translora.models.lora import ParameterCount
from translora.runs.folder import Run
from translora.runs.summary import Shortened, Summary
from translora.scoring.metrics import Scores, evaluate
from translora.scoring.significance import compared_scores, paired_test
from translora.training.checkpoint import TrainingState
from translora.training.memory import Preflight
from translora.translation.terms import Glossary


@dataclass(frozen=True)
class Ready:
    """The model, the data and the checks' results before the first step."""

    model: LoadedModel
    splits: Splits
    examples: TokenisedCorpus
    parameters: ParameterCount
    unknown: UnknownCharacters
    needs: Preflight
    glossary: Glossary | None = None
    """The terms whose translations are in the sources, where the recipe asks for that."""
    shortened: Shortened | None = None
    """What was cut to fit `config.minutes`."""

    def inputs(self, base: str) -> dict[str, str]:
        """The hashes of all that the run is made from; `base` is the model's."""
        terms = {"glossary": self.glossary.content_hash()} if self.glossary else {}
        return {"base model": base, **self.splits.hashes(), **terms}


def _scores(run: Run, test: Corpus, config: Config) -> tuple[Scores | None, Scores, dict[str, float] | None]:
    """The scores of the test pairs before and after, and the p-value of each difference, where there are two."""
    if config.init == "random":
        return None, evaluate(run.translated("after"), test.targets, config.target), None
    if config.method == "none":
        scores = evaluate(run.translated("before"), test.targets, config.target)
        return scores, scores, None
    differences = paired_test(run.translated("before"), run.translated("after"), [test.targets], config.target)
    before, after = compared_scores(differences, len(test))
    return before, after, {key: difference.p_value for key, difference in differences.items()}


def summary_of(config: Config, run: Run, ready: Ready, state: TrainingState) -> Summary:
    """The figures of a run whose test pairs are translated."""
    before, after, p_values = _scores(run, ready.splits.test, config)
    cut = {label: None if (lines := run.cut_lines(label)) is None else len(lines) for label in ("before", "after")}
    return Summary(
        base_model=config.model,
        method=config.method,
        scores_before=before,
        scores_after=after,
        p_values=p_values,
        test_pairs=len(ready.splits.test),
        steps=state.step,
        table=tuple(state.rows),
        total_parameters=ready.parameters.total,
        trainable_parameters=ready.parameters.trainable,
        train_pairs=len(ready.splits.train),
        validation_pairs=len(ready.splits.validation),
        dropped=ready.splits.dropped,
        unknown_characters=ready.unknown,
        truncated_sources=ready.examples.truncated_sources,
        truncated_targets=ready.examples.truncated_targets,
        cut_before=cut["before"],
        cut_after=cut["after"] if "after" in run.labels else cut["before"],
        shortened=ready.shortened,
        best_step=state.best_step,
        train_seconds=state.seconds,
        pairs_per_second=state.pairs / state.seconds if state.seconds else None,
        batch_tokens=state.batch_tokens,
        predicted_memory_bytes=ready.needs.peak_bytes,
        peak_memory_bytes=state.peak_memory_bytes or peak_memory_bytes(ready.model.device),
        hardware=describe(ready.model.device),
        dtype=str(ready.model.dtype)[6:],
        version=__version__,
    )
