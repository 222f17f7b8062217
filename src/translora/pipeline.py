"""The main job from a configuration to a run folder: read, check, train, translate, score. Each step is a module's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from peft import PeftModel

from translora.config import Config, SourceConfig
from translora.config.load import leaves, load_config, plain
from translora.data.characters import unknown_in_pairs
from translora.data.given import given_corpus, given_source
from translora.data.pairs import Corpus
from translora.data.placeholders import text_tokens
from translora.data.splits import Splits, read_splits
from translora.data.tokens import TokenisedCorpus
from translora.errors import ConfigError, DataError, NotFiniteError
from translora.io import console
from translora.io.files import atomic_folder, one_line, write_json, write_lines, write_text
from translora.models.adapter import save_adapter
from translora.models.budget import Budget
from translora.models.hardware import choose_device, own_randomness
from translora.models.load import (
    LoadedModel,
    base_hash,
    check_languages,
    checkpoint_activations,
    load,
    quiet_transformers,
)
from translora.models.lora import ParameterCount, attach, count_parameters, freeze
from translora.models.shards import is_sharded
from translora.outcome import Ready, summary_of
from translora.report.run import write_report
from translora.report.terminal import show_memory, show_start
from translora.runs.card import model_card
from translora.runs.folder import Run
from translora.runs.lifecycle import at_work_in, begin_run, find_run, keep_others, told_of_overwrite
from translora.runs.summary import Shortened
from translora.scoring.metrics import require_tokenizer
from translora.training import canary
from translora.training.checkpoint import Checkpoints, TrainingState, steps_done
from translora.training.duration import Prepared, cut_to, say_duration
from translora.training.encoded import EncodedSources, encoder_states_in
from translora.training.examples import tokenised, training_examples
from translora.training.initial import begin_from_gradient, initial_bytes
from translora.training.loop import fit
from translora.training.memory import check_memory, check_sharded_memory, wants_shards
from translora.training.optimizer import build_optimizer
from translora.training.plan import Plan
from translora.training.ranks import ALONE, Ranks, joined
from translora.training.sharding import shard_over, to_be_sharded, whole_of
from translora.training.shortlist import with_own_shortlist
from translora.training.step import Stepper, say_idle_ranks
from translora.training.terminology import training_glossary
from translora.training.tracking import Journal, TensorBoard, Tracker
from translora.training.validation import Validator, translate_merged, translate_shared
from translora.translation.glossary import write_terms
from translora.translation.kept import Guard
from translora.translation.result import Translation, cut_lines, say_cut


def train(
    config: Config | str | Path,
    *,
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    overwrite: bool = False,
    score: bool = True,
    trackers: Sequence[Tracker] = (),
    quiet: bool = False,
    estimate: bool = False,
) -> Run:
    """Do the whole job that `config` (or the recipe of that path or name) describes and return its run folder.

    `train`, `validation` and `test` are pairs in place of those that the configuration names: a list of (source,
    target), a frame of pandas or a data set of `datasets` with columns named by the language codes (or `translation`),
    or the path of a file.

    Continues where an earlier, interrupted call with the same configuration stopped; a finished run is returned as it
    is. `overwrite` deletes an earlier run in the folder first. Without `score` the job ends when the model is trained;
    a later call translates and scores the test pairs. `trackers` get each step's figures. `estimate` says before the
    first step how long the run takes, as `config.minutes` does. Progress and notices go to standard error, unless
    `quiet`. The global random state is left as it was.

    Raises a `TransloraError` for whatever the user can mend.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    config, given = _with_given(config, {"train": train, "validation": validation, "test": test})
    with console.quiet(quiet), joined() as ranks, ExitStack() as held:
        _compare_ranks(config, ranks)
        overwrite = overwrite and not ranks.remembers(f"begun {config.output}")  # a restart goes on
        run = Run(Path(config.output))
        ranks.on_first(lambda: find_run(config, overwrite))
        if ranks.broadcast(run.finished and not overwrite):
            ranks.on_first(lambda: _show_finished(run))
            return run
        require_tokenizer(config.target)
        ranks.on_first(lambda: held.enter_context(at_work_in(run)))
        with own_randomness(choose_device(config.device)), told_of_overwrite(overwrite):
            _train(_Job(config, run, given, overwrite, score, trackers, estimate, ranks))
    return run


def _show_finished(run: Run) -> None:
    """Say that there is nothing to do; raises `DataError` where the summary is damaged."""
    _ = run.summary
    if not run.report.exists():  # it was killed after its summary
        with at_work_in(run):
            _write_pages(run)
    console.notice(f"{run.folder}: this run has finished; --overwrite does it again")


def _compare_ranks(config: Config, ranks: Ranks) -> None:
    """Raise `ConfigError` where the ranks have other recipes."""
    ranks.require_same({name: repr(value) for name, value in leaves(plain(config))})
    if ranks.size > 1:
        console.notice(f"ranks: {ranks.size} train together")


@dataclass(frozen=True)
class _Job:
    """The arguments of `train`."""

    config: Config
    run: Run
    given: Mapping[str, Corpus]
    overwrite: bool
    score: bool
    trackers: Sequence[Tracker]
    estimate: bool
    ranks: Ranks
    started: float = field(default_factory=time.monotonic)


def _with_given(config: Config, given: Mapping[str, Any]) -> tuple[Config, dict[str, Corpus]]:
    """The configuration with the given pairs in place of its own, and the given pairs that are not paths."""
    corpora: dict[str, Corpus] = {}
    sources: dict[str, Any] = {}
    for name, pairs in given.items():
        if isinstance(pairs, str | Path):
            sources[name] = SourceConfig(path=str(pairs))
        elif pairs is not None:
            corpora[name] = given_corpus(pairs, config.source, config.target, name)
            sources[name] = given_source(corpora[name])
    return replace(config, data=replace(config.data, **sources)), corpora


def _train(job: _Job) -> None:
    """Do the unfinished parts of the job."""
    config, run, ranks = job.config, job.run, job.ranks
    trackers = [*job.trackers, *([TensorBoard(run.tensorboard)] if config.training.tensorboard else [])]
    ranks.beat("the checks before training")
    sharded = ranks.any(ranks.together(lambda: wants_shards(config, ranks.size)))
    ready = ranks.together(lambda: _prepared(job, sharded))
    base = base_hash(config)
    inputs = ready.inputs(base)
    ranks.require_same({**inputs, "dtype": str(ready.model.dtype), "device": ready.model.device.type})
    if cut := _cut(job, ready):
        config, splits = cut_to(cut, config, ready.splits)
        ready = replace(ready, splits=splits, shortened=cut)
    ranks.on_first(lambda: _begin(job, ready, inputs))
    if sharded:
        shard_over(ranks, ready.model, config)
    test = ready.splits.test
    if job.score and "before" in run.labels:
        _translate_test(ready.model, job, test, "before")
    state = TrainingState()
    if config.method != "none":
        batch_tokens = ranks.least(ready.needs.batch_tokens)
        stepper = make_stepper(ready.model, ready.examples, config, batch_tokens, ranks)
        state = train_model(stepper, ready.splits, config, run, trackers)
        trained = whole_of(ranks, ready.model, config, make_trainable) if sharded else ready.model
        ranks.on_first(lambda: _save_model(trained, run, inputs))
    if job.score:
        if "after" in run.labels:
            _translate_test(ready.model, job, test, "after")
        ranks.on_first(lambda: _finish(job, config, ready, state))


def _begin(job: _Job, ready: Ready, inputs: dict[str, str]) -> None:
    """Write into the run folder all that is known before training."""
    config, run, test = job.config, job.run, ready.splits.test
    begin_run(run, config, inputs, job.overwrite)
    job.ranks.remember(f"begun {config.output}")
    if ready.glossary:
        write_terms(run.terms, ready.glossary.terms)
    if ready.shortened:
        write_json(run.shortened_file, asdict(ready.shortened))
    if _has_initial(config) and not run.initial_adapter.exists():
        with atomic_folder(run.initial_adapter) as folder:
            save_adapter(ready.model.model, folder, inputs["base model"])
    if job.score:
        write_lines(run.translations / "source.txt", [one_line(text) for text in test.sources])
        write_lines(run.translations / "reference.txt", [one_line(text) for text in test.targets])


def _finish(job: _Job, config: Config, ready: Ready, state: TrainingState) -> None:
    """Write the scores and the report."""
    write_json(job.run.summary_file, summary_of(config, job.run, ready, state).as_dict())
    _write_pages(job.run)


def _prepared(job: _Job, sharded: bool) -> Ready:
    """Read the pairs, load the model, and check both before training; one to be `sharded` is whole, on the CPU."""
    config = job.config
    check_languages(config)
    splits = read_splits(config, job.given)
    model = load(to_be_sharded(config) if sharded else config)
    parameters = make_trainable(model, config)
    show_start(model, parameters, splits, config)
    unknown = unknown_in_pairs(chain(splits.train, splits.validation, splits.test), model.tokenizer)
    if unknown.pairs:
        console.notice(f"data: {unknown.told(config.model)}")
    _run_canary(model, splits, config)
    glossary = training_glossary(config, splits.train)
    examples = training_examples(model, splits.train, config, glossary)
    model = with_own_shortlist(model, examples, config)
    initial = initial_bytes(model.model) if _begins_from_gradient(config) else 0
    if sharded:
        needs = check_sharded_memory(model, examples, config.training, job.ranks.size, choose_device(config.device))
    else:
        needs = check_memory(model, examples, config.method, config.training, config.decoding, initial)
    show_memory(needs, config)
    return Ready(model, splits, examples, parameters, unknown, needs, glossary)


def _cut(job: _Job, ready: Ready) -> Shortened | None:
    """What of the run is done, where it has a limit of minutes; all ranks get what the first decides."""
    cut = job.ranks.on_first(lambda: _shortened(job, ready))
    found = job.ranks.broadcast(cut and asdict(cut))
    return Shortened(**found) if found else None


def _shortened(job: _Job, ready: Ready) -> Shortened | None:
    """Say how long the run takes, where that is asked for; returns what of it fits `config.minutes`, if it is set."""
    config, splits, run = job.config, ready.splits, None if job.overwrite else job.run
    before = run.shortened if run else None
    if config.method == "none" or not (job.estimate or config.minutes):
        return before
    if job.ranks.size > 1:
        if config.minutes and not before:
            raise ConfigError("minutes: the time is measured on one process: leave it out with several ranks")
        return before
    if before:  # it was decided when the run began
        config, splits = cut_to(before, replace(config, minutes=0.0), splits)
    prepared = Prepared(ready.model, ready.examples, splits, config, ready.needs.batch_tokens, job.score)
    return say_duration(prepared, run, job.started) or before


def _run_canary(model: LoadedModel, splits: Splits, config: Config) -> None:
    """Check the whole model on a few pairs, unless the recipe says not to."""
    if config.training.canary == "skip":
        console.notice("canary: skipped, as training.canary says")
        return
    sample = splits.train if len(splits.train) else splits.test
    loss = canary.check(model, sample, config.method, config.init, config.data.max_tokens, config.decoding.beams)
    console.notice(f"canary: passed; loss {loss:.2f} nats per token on the first pairs")


def make_trainable(translator: LoadedModel, config: Config) -> ParameterCount:
    """Choose the weights to train by `config.method`, inserting an adapter for `lora`; count the parameters.

    Raises `ConfigError` for an adapter that the model cannot take.
    """
    if config.method == "lora":
        translator.model = attach(translator.model, config.lora, config.model, config.seed, config.training.freeze)
    elif config.method == "none":  # in full, what is frozen already (Marian's positions) stays so
        translator.model.requires_grad_(False)
    else:
        freeze(translator.model, config.training.freeze)
    if config.training.gradient_checkpointing:
        checkpoint_activations(translator.model)
    return count_parameters(translator.model)


def make_stepper(
    translator: LoadedModel, examples: TokenisedCorpus, config: Config, batch_tokens: int, ranks: Ranks = ALONE
) -> Stepper:
    """A stepper over `examples` that computes at most `batch_tokens` padded tokens at a time, on each of `ranks`."""
    optimizer = build_optimizer(translator.model, config.training, config.lora.b_rate)
    return Stepper(translator, examples, optimizer, config.training, config.seed, Budget(batch_tokens), ranks)


def train_model(
    stepper: Stepper, splits: Splits, config: Config, run: Run, trackers: Sequence[Tracker] = ()
) -> TrainingState:
    """Train the stepper's model; checkpoints and metrics go to the folder of `run`.

    Raises `NotFiniteError`, naming the pairs, and `OutOfMemoryError`.
    """
    training, examples, ranks = config.training, stepper.examples, stepper.ranks
    held_out = tokenised(stepper.translator, splits.validation, config)
    scored = splits.validation.head(training.validation_pairs or len(splits.validation))
    greedy = replace(config, decoding=replace(config.decoding, beams=1))
    translate = partial(_translated, stepper.translator, greedy, "validate")
    validator = Validator(stepper.translator, held_out, scored, translate, config.target, stepper.budget, ranks)
    plan = Plan(examples.source_lengths, examples.target_lengths, training, config.seed)
    if plan.total_steps:
        say_idle_ranks(stepper, plan.pairs(0))
    with Journal(run.metrics, trackers) as journal:
        try:
            if _begins_from_gradient(config):
                ranks.on_first(lambda: _set_directions(stepper, plan, config, run))
            checkpoints = Checkpoints(run.checkpoints, training.save_every, ranks.first)
            with _encoded(stepper, plan, run) as stepper.encoded:
                return fit(stepper, plan, checkpoints, validator, journal)
        except NotFiniteError as error:
            error.names = [splits.train[pair % len(splits.train)].origin for pair in error.pairs]
            raise


def _encoded(stepper: Stepper, plan: Plan, run: Run) -> AbstractContextManager[EncodedSources | None]:
    """The encoder's states of the examples for the rest of `run`, where they are to be kept."""
    if stepper.training.cache_encoder == "off" or stepper.ranks.size > 1:
        return nullcontext()
    done = steps_done(run.checkpoints)
    return encoder_states_in(run.folder, stepper.translator, stepper.examples, plan, done, stepper.budget)


def _set_directions(stepper: Stepper, plan: Plan, config: Config, run: Run) -> None:
    """Begin the adapter from the gradient, unless the run goes on from a checkpoint."""
    if not steps_done(run.checkpoints):
        console.notice(f"lora: A is set from the gradient of {config.lora.init_steps} steps")
        begin_from_gradient(stepper, plan, config.lora.init_steps)


def _save_model(translator: LoadedModel, run: Run, inputs: dict[str, str]) -> None:
    """Write the adapter or the model, with its shortlist and its card; `inputs` are hashes of what it was made from."""
    model, base = translator.model, inputs["base model"]
    place = run.adapter if isinstance(model, PeftModel) else run.model
    with atomic_folder(place) as folder:
        if isinstance(model, PeftModel):
            save_adapter(model, folder, base, run.initial_adapter if _has_initial(run.config) else None)
        else:
            with quiet_transformers():
                model.save_pretrained(folder)
        if not isinstance(model, PeftModel) or text_tokens(translator.tokenizer):  # not the base's own
            translator.tokenizer.save_pretrained(folder)
        if translator.shortlist:
            translator.shortlist.write(folder, translator.tokenizer, inputs)
        write_text(folder / "README.md", model_card(run.config, isinstance(model, PeftModel), run))
        keep_others(run, place, folder)


def _write_pages(run: Run) -> None:
    """Write the card again, with the scores, and the report."""
    if run.trained:
        folder = run.trained_weights
        write_text(folder / "README.md", model_card(run.config, folder == run.adapter, run))
    write_report(run)


def _begins_from_gradient(config: Config) -> bool:
    return config.method == "lora" and config.lora.init == "gradient"


def _has_initial(config: Config) -> bool:
    """Whether the adapter must also be saved as it is before training."""
    return config.method == "lora" and config.lora.init == "pissa"


def _translated(translator: LoadedModel, config: Config, label: str, lines: list[str]) -> list[Translation]:
    """Translate `lines`, with protection where training has it."""
    protects = config.data.placeholders == "protect"
    terms = bool(config.data.glossary)
    guard = Guard(translator.tokenizer, config.source, terms=terms) if protects else None
    return translate_merged(translator, lines, config.decoding, label, guard)


def _translate_test(translator: LoadedModel, job: _Job, test: Corpus, label: str) -> None:
    """Translate the test pairs into `translations/LABEL.txt`, unless a complete file is there already."""
    config, run, ranks = job.config, job.run, job.ranks
    if ranks.broadcast(_is_translated(run, test, label)):
        return
    words = f"test pairs, {label}"
    ranks.beat(f"the translation of {words}")
    translate = partial(_translated, translator, config, f"translate {words}")
    found = translate_shared(ranks, test.sources, translate, is_sharded(translator.model))
    say_cut(found, config.decoding, words, "--decoding.max_tokens")
    ranks.on_first(lambda: run.write_translations(label, [one.text for one in found], cut_lines(found)))


def _is_translated(run: Run, test: Corpus, label: str) -> bool:
    """Whether the file of the test translations is there, and complete."""
    with suppress(DataError):
        return len(run.translated(label)) == len(test)
    return False
