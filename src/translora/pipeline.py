"""The main job from a configuration to a run folder: read, check, train, translate, score. Each step is a module's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from peft import PeftModel

from translora.config import Config
from translora.config.load import check_values
from translora.data.pairs import Corpus
from translora.data.splits import Splits, read_splits
from translora.data.tokens import TokenisedCorpus, tokenise
from translora.errors import ConfigError, DataError, NotFiniteError
from translora.io import console
from translora.io.files import atomic_folder, write_json, write_lines
from translora.models.adapter import base_of, load_adapter, save_adapter
from translora.models.budget import Budget
from translora.models.load import LoadedModel, base_hash, checkpoint_activations, load, quiet_transformers
from translora.models.lora import ParameterCount, attach, count_parameters, freeze, merged_copy
from translora.report import summary
from translora.report.run import write_report
from translora.report.summary import Results
from translora.runs.folder import Run, adapter_folder
from translora.runs.lifecycle import at_work_in, begin_run, find_run
from translora.scoring.metrics import evaluate, require_tokenizer
from translora.scoring.significance import compared_scores, paired_test
from translora.training import canary
from translora.training.checkpoint import Checkpoints, TrainingState
from translora.training.loop import fit
from translora.training.memory import check_memory
from translora.training.optimizer import build_optimizer
from translora.training.plan import Plan
from translora.training.step import Stepper
from translora.training.tracking import Journal, TensorBoard, Tracker
from translora.training.validation import translate_merged, validate


def train(config: Config, overwrite: bool = False, score: bool = True, trackers: Sequence[Tracker] = ()) -> Run:
    """Do the whole job that `config` describes and return its run folder.

    Goes on where an earlier, interrupted call with the same configuration stopped; a finished run is shown again.
    `overwrite` deletes an earlier run in the folder first. Without `score` the job ends when the model is trained;
    a later call translates and scores the test pairs. `trackers` are told each step's figures.

    Raises a `TransloraError` for whatever the user can mend.
    """
    run = find_run(config, overwrite)
    if run.finished and not overwrite:
        console.notice(f"{run.folder}: this run has finished; --overwrite does it again")
        summary.show_end(run)
        return run
    require_tokenizer(config.target)
    with at_work_in(run):
        _train(config, run, overwrite, score, trackers)
    if score:
        summary.show_end(run)
    return run


def _train(config: Config, run: Run, overwrite: bool, score: bool, trackers: Sequence[Tracker]) -> None:
    """What of the job is not done yet."""
    if config.training.tensorboard:
        trackers = [*trackers, TensorBoard(run.tensorboard)]
    splits = read_splits(config)
    translator = load(config)
    parameters = make_trainable(translator, config)
    summary.show_start(translator, parameters, splits, config)
    sample = splits.train if len(splits.train) else splits.test
    loss = canary.check(translator, sample, config.method, config.init, config.data.max_tokens, config.decoding.beams)
    console.notice(f"canary: passed; loss {loss:.2f} nats per token on the first pairs")
    examples = tokenised(translator, splits.train, config)
    needs = check_memory(translator, examples, config.method, config.training)
    summary.show_memory(needs, config)
    base = base_hash(config)
    begin_run(run, config, {"base model": base, **splits.hashes()}, overwrite)
    if _has_initial(config) and not run.initial_adapter.exists():
        with atomic_folder(run.initial_adapter) as folder:
            save_adapter(translator.model, folder, base)
    if score:
        write_lines(run.translations / "source.txt", [" ".join(text.split()) for text in splits.test.sources])
        write_lines(run.translations / "reference.txt", [" ".join(text.split()) for text in splits.test.targets])
    if score and "before" in run.labels:
        _translate_test(translator, splits.test, config, run, "before")
    state = TrainingState()
    if config.method != "none":
        stepper = make_stepper(translator, examples, config, needs.batch_tokens)
        state = train_model(stepper, splits, config, run, trackers)
        _save_model(translator, run, base)
    if not score:
        return
    if "after" in run.labels:
        _translate_test(translator, splits.test, config, run, "after")
    results = _results(run, splits.test, config)
    write_json(run.summary_file, summary.build(config, translator, parameters, splits, examples, needs, state, results))
    write_report(run)


def translate_lines(
    name: str | Path, lines: Sequence[str], source: str = "", target: str = "", beams: int = 0
) -> list[str]:
    """Translate `lines` with a run, an adapter folder or a model, in order; see `open_translator` for `name`."""
    translator, config = open_translator(name, source, target, beams)
    return translate_merged(translator, list(lines), config.decoding, "translate")


def open_translator(name: str | Path, source: str = "", target: str = "", beams: int = 0) -> tuple[LoadedModel, Config]:
    """The model behind a run folder, a PEFT adapter folder, a model folder, a hub name or `mini`, ready to translate.

    Languages and beams default to the run's, else to the defaults of `Config`. An adapter is merged in.

    Raises `ConfigError` or `ModelError` where there is no such thing.
    """
    path = Path(name)
    run = Run(path)
    adapter = adapter_folder(path)
    if run.config_file.exists():
        config = run.config
        if not adapter and run.model.exists():
            config = dataclasses.replace(config, model=str(run.model))
        elif not adapter and config.method != "none":
            raise ConfigError(f"{path}: the run has no trained model yet: start its training again to finish it")
    elif adapter:
        config = Config(model=base_of(adapter))
    else:
        config = Config(model=str(name))
    config = dataclasses.replace(
        config,
        method="none",
        init="pretrained",
        source=source or config.source,
        target=target or config.target,
        decoding=dataclasses.replace(config.decoding, beams=beams or config.decoding.beams),
    )
    check_values(config)
    translator = load(config)
    if adapter:
        translator.model = merged_copy(load_adapter(translator.model, adapter, lambda: base_hash(config)))
    return translator, config


def make_trainable(translator: LoadedModel, config: Config) -> ParameterCount:
    """Insert the adapter or free every weight, as the method says; count what is trained."""
    if config.method == "lora":
        translator.model = attach(translator.model, config.lora, config.model, config.seed, config.training.freeze)
    elif config.method == "none":  # in full, what is frozen already (Marian's positions) stays so
        translator.model.requires_grad_(False)
    else:
        freeze(translator.model, config.training.freeze)
    if config.training.gradient_checkpointing:
        checkpoint_activations(translator.model)
    return count_parameters(translator.model)


def tokenised(translator: LoadedModel, corpus: Corpus, config: Config) -> TokenisedCorpus:
    """The examples that `corpus` becomes for a model."""
    return tokenise(corpus, translator.tokenizer, translator.prompt, config.data.max_tokens)


def make_stepper(translator: LoadedModel, examples: TokenisedCorpus, config: Config, batch_tokens: int) -> Stepper:
    """The steps of a training on `examples`, at most `batch_tokens` padded tokens at a time."""
    optimizer = build_optimizer(translator.model, config.training, config.lora.b_rate)
    return Stepper(translator, examples, optimizer, config.training, config.seed, Budget(batch_tokens))


def train_model(
    stepper: Stepper, splits: Splits, config: Config, run: Run, trackers: Sequence[Tracker] = ()
) -> TrainingState:
    """Train the stepper's model in the folder of `run`, which has the checkpoints and the figures."""
    training, examples, batch_tokens = config.training, stepper.examples, stepper.budget.tokens
    held_out = tokenised(stepper.translator, splits.validation, config)
    scored = splits.validation.head(training.validation_pairs or len(splits.validation))
    with Journal(run.metrics, trackers) as journal:
        try:
            return fit(
                stepper,
                Plan(examples.source_lengths, examples.target_lengths, training, config.seed),
                Checkpoints(run.checkpoints, training.save_every),
                lambda: validate(stepper.translator, held_out, scored, config.decoding, config.target, batch_tokens),
                journal,
            )
        except NotFiniteError as error:
            error.names = [splits.train[pair].origin for pair in error.pairs]
            raise


def _save_model(translator: LoadedModel, run: Run, base: str) -> None:
    model = translator.model
    if isinstance(model, PeftModel):
        with atomic_folder(run.adapter) as folder:
            save_adapter(model, folder, base, run.initial_adapter if _has_initial(run.config) else None)
        return
    with atomic_folder(run.model) as folder, quiet_transformers():
        model.save_pretrained(folder)
        translator.tokenizer.save_pretrained(folder)


def _has_initial(config: Config) -> bool:
    """Whether the adapter has to be kept as it was before training."""
    return config.method == "lora" and config.lora.init == "pissa"


def _translate_test(translator: LoadedModel, test: Corpus, config: Config, run: Run, label: str) -> None:
    """Translate the test pairs into `translations/LABEL.txt`, where it is not there already, and whole."""
    with suppress(DataError):
        if len(run.translated(label)) == len(test):
            return
    hypotheses = translate_merged(translator, test.sources, config.decoding, f"translate test pairs, {label}")
    write_lines(run.translations / f"{label}.txt", hypotheses)


def _results(run: Run, test: Corpus, config: Config) -> Results:
    """The scores of the test pairs, and where they were translated before training too, whether they differ."""
    if config.init == "random":
        return Results(None, evaluate(run.translated("after"), test.targets, config.target), None)
    if config.method == "none":
        scores = evaluate(run.translated("before"), test.targets, config.target)
        return Results(scores, scores, None)
    differences = paired_test(run.translated("before"), run.translated("after"), [test.targets], config.target)
    before, after = compared_scores(differences, len(test))
    return Results(before, after, {key: difference.p_value for key, difference in differences.items()})
