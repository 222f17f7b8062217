"""The sections of a recipe: frozen dataclasses with the type, the range and the docstring of each field.

Values are checked where a section is made, and a wrong one is a `ConfigError`. Loads no torch, so that `--help` is
quick.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from translora.config.data import DataConfig
from translora.config.section import (
    Amount,
    Count,
    Multiple,
    Number,
    Positive,
    Rate,
    Required,
    Seed,
    Share,
    Switch,
    Text,
    section,
)
from translora.errors import ConfigError
from translora.languages import require_two


@section("lora.ranks")
class RanksConfig:
    """Ranks of the kinds of layers that have another than `lora.rank`; 0 stands for that."""

    attention: Count = 0
    """The rank of q, k, v and o."""
    feed_forward: Count = 0
    """The rank of the feed-forward layers."""
    embeddings: Count = 0
    """The rank of the embeddings and the head."""


@section("lora")
class LoraConfig:
    """The adapter (Hu et al. 2021, https://arxiv.org/abs/2106.09685)."""

    rank: Positive = 8
    """The rank r of the update B A."""
    alpha: Amount = 0.0
    """The update is scaled by alpha / rank; 0 stands for twice the rank."""
    dropout: Share = 0.0
    """Dropout on the adapter's input."""
    b_rate: Rate = 1.0
    """The learning rate of the factor that begins as zero (B, of an embedding A) as a multiple of the other's; above 1
    is LoRA+ (Hayou et al. 2024, arXiv:2402.12354)."""
    rslora: Switch = False
    """Scale by alpha / sqrt(rank) instead, so that high ranks learn as fast (Kalajdzievski 2023, arXiv:2312.03732)."""
    dora: Switch = False
    """Learn the length of each weight's columns apart from their direction (DoRA, Liu et al. 2024,
    arXiv:2402.09353)."""
    init: Literal["zero", "pissa", "gradient"] = "zero"
    """Begin as no change at all: `zero` with a random A; `gradient` with A from the largest right singular vectors of
    the weight's gradient (after LoRA-GA, Wang et al. 2024, arXiv:2407.05000, but B is zero and the base stays). `pissa`
    begins from the largest singular values of each weight (Meng et al. 2024, arXiv:2404.02948); it is saved as an
    ordinary adapter of twice the rank."""
    init_steps: Positive = 8
    """The first steps of training whose gradients `init: gradient` sums."""
    targets: Text = "q,v"
    """Which layers, with commas: module names, or `attention` (q, k, v, o), `feed-forward`, `all-linear` (both), and
    `embeddings` (the input embeddings and the head: for texts whose words the base has hardly seen)."""
    ranks: RanksConfig = RanksConfig()
    """Other ranks by kind of layer (PEFT's `rank_pattern`)."""
    scale_by_weight: Switch = False
    """Scale each linear layer's update also by the root mean square of its weight over the mean of all adapted ones
    (PEFT's `alpha_pattern`), so that layers change in proportion to their size."""
    tie_embeddings: Switch = False
    """Train one adapter for the embeddings, and the head, that are one weight in the base. The file holds a copy for
    each, since PEFT has no other form."""
    also_train: tuple[Literal["norms", "position-bias"], ...] = ()
    """What is trained whole beside the adapter (PEFT's `modules_to_save`): the scales of the norms, and T5's bias of
    relative positions. A server cannot share the base among such adapters."""


@section("training.rate_factors")
class RateFactorsConfig:
    """Multiples of the learning rate by kind of tensor, of an adapter's and of the model's own alike."""

    attention: Rate = 1.0
    """Of q, k, v and o."""
    feed_forward: Rate = 1.0
    """Of the feed-forward layers."""
    embeddings: Rate = 1.0
    """Of the embeddings and the head."""
    norms: Rate = 1.0
    """Of the norms' scales, where they are trained."""
    position_bias: Rate = 1.0
    """Of the bias of relative positions, where it is trained."""


@section("training")
class TrainingConfig:
    """The optimisation."""

    epochs: Rate = 3.0
    """Passes over the training pairs."""
    max_steps: Count = 0
    """Stop after this many optimiser steps; 0 leaves it to epochs."""
    batch_tokens: Literal["auto"] | Positive = "auto"
    """Padded source plus target tokens computed at a time, at most (a single longer pair is computed alone); `auto`
    is 4096, or less where the memory holds less, or up to 16384 on a GPU where the step's size is stated."""
    step_pairs: Count = 0
    """Pairs to one optimiser step, in as many batches as that takes; 0: as many as step_tokens allows."""
    step_tokens: Count = 0
    """Real target tokens to one optimiser step, at most. Where this and step_pairs are 0, a step is one batch of
    batch_tokens (of 4096 for `auto`)."""
    optimizer: Literal["adamw", "adafactor", "adamw8bit", "paged_adamw", "paged_adamw8bit"] = "adamw"
    """AdamW, or Adafactor (a fraction of its memory); by bitsandbytes AdamW with its state in 8 bits, or paged to the
    main memory where a GPU has none left, or both."""
    learning_rate: Rate = 5e-4
    """The peak rate."""
    scale_parameter: Switch = False
    """Multiply each tensor's rate by the root mean square of its values, as Adafactor does: needed from scratch, and
    better than one rate for all where every weight is trained; not for adapters, whose B begins as zero."""
    rate_factors: RateFactorsConfig = RateFactorsConfig()
    """Other rates by kind of tensor."""
    weight_decay: Amount = 0.0
    """Decoupled weight decay."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """The rate after warm-up: to zero along a line or a half cosine, or constant."""
    warmup_steps: Count = 0
    """Steps over which the rate rises from zero."""
    label_smoothing: Share = 0.0
    """Label smoothing (Szegedy et al. 2016), spread over the whole vocabulary."""
    clip_norm: Amount = 1.0
    """Clip the gradient's norm to this; 0 leaves it."""
    dropout: Share = 0.0
    """Dropout inside the model itself; 0 by default: in a frozen base it costs time and adds noise."""
    freeze: tuple[Literal["embeddings", "encoder", "decoder"], ...] = ()
    """Parts of the model that stay as they are: `embeddings` (and the head), `encoder`, `decoder`."""
    cache_encoder: Literal["auto", "off"] = "auto"
    """`auto` computes the encoder's states of the training pairs once, into a file of the run folder, instead of in
    each epoch, where the fast path trains nothing in the encoder (`freeze: [encoder]`) on one CPU; `off` never does."""
    canary: Literal["check", "skip"] = "check"
    """Whether to try a few pairs on the whole model before the run, so that a broken model is refused."""
    gradient_checkpointing: Switch = False
    """Compute activations twice to save memory."""
    shard: Literal["auto", "on", "off"] = "auto"
    """Cut the weights into pieces over the processes that torchrun starts (FSDP2), and train by the model's own forward
    pass; `auto` does so where weights, gradients and the optimiser's state take over half of a device's memory."""
    evaluate_every: Count = 0
    """Steps between validations; 0 validates at the end of each epoch."""
    save_every: Literal["auto"] | Count = "auto"
    """Steps between checkpoints besides those at validations; `auto` spends less than 1% of the time on them, 0 has
    no others."""
    validation_pairs: Count = 0
    """Translate at most this many validation pairs for BLEU; 0 translates all."""
    tensorboard: Switch = False
    """Also write TensorBoard's event files, into `tensorboard/` of the run folder."""
    patience: Count = 0
    """Stop after this many validations without a better BLEU; 0 never stops early."""


@section("decoding")
class DecodingConfig:
    """How translations are made."""

    beams: Positive = 1
    """Beam size of translations and of test scores; 1 is greedy. Validations during training are always greedy."""
    batch_tokens: Positive = 8192
    """Padded source tokens times beams that are translated at a time, at most."""
    max_tokens: Positive = 256
    """Longest translation in tokens."""
    max_ratio: Multiple = 3.0
    """Longest translation as a multiple of its source's tokens, plus ten: a runaway output ends there."""
    length_penalty: Number = 1.0
    """Exponent of the length by which beam scores are divided."""
    no_repeat_ngram_size: Count = 0
    """Sequences of this many tokens occur at most once in a translation; 0 allows all."""
    repetition_penalty: Rate = 1.0
    """Tokens that a translation has already become less likely by this factor (Keskar et al. 2019); 1 is none."""
    shortlist: Literal["off", "targets"] = "off"
    """`targets` computes logits only for the tokens of the training targets, besides special, byte and placeholder
    tokens and single Latin characters (candidate lists, Jean et al. 2015, arXiv:1412.2007). It is faster, no other
    token can be written, and scores are normalised over these tokens. `off` takes the whole vocabulary."""

    @property
    def search(self) -> str:
        """How translations are searched for, in words: `greedy`, or `beam 4`, and with which tokens."""
        words = "greedy" if self.beams == 1 else f"beam {self.beams}"
        return words if self.shortlist == "off" else f"{words}, tokens of the training targets alone"


@section()
class Config:
    """A whole run."""

    model: Required = "mini"
    """A T5-architecture checkpoint: a hub name, a folder, or `mini` (the embedded base model)."""
    revision: Text = ""
    """The hub revision (branch, tag or commit)."""
    init: Literal["pretrained", "random"] = "pretrained"
    """`random` takes only the shape and the tokenizer of the model and trains from scratch, with `method: full`."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """The weights' type; `auto` is bfloat16 on a GPU that computes it, else float32."""
    fast: Literal["auto", "off"] = "auto"
    """`auto` trains and translates by translora's own forward and backward pass, decoder and search where it knows the
    model, `off` by the model's own and transformers' `generate`."""
    quantise: Literal["off", "int8", "nf4"] = "off"
    """Hold the frozen base in 8 or 4 bits while an adapter is trained (QLoRA, Dettmers et al. 2023, arXiv:2305.14314),
    by bitsandbytes; translating and exporting take the base in full precision again."""
    device: Text = "auto"
    """`cpu`, `cuda`, `mps`, ...; `auto` takes the fastest there is."""
    method: Literal["lora", "full", "none"] = "lora"
    """Train an adapter, train every weight, or only evaluate."""
    source: Text = "de"
    """Source language, as a code (BCP 47)."""
    target: Text = "en"
    """Target language, as a code (BCP 47)."""
    data: DataConfig = DataConfig()
    """The corpus."""
    lora: LoraConfig = LoraConfig()
    """The adapter."""
    training: TrainingConfig = TrainingConfig()
    """The optimisation."""
    decoding: DecodingConfig = DecodingConfig()
    """The translation."""
    seed: Seed = 1
    """Everything random follows from it."""
    minutes: Amount = 0.0
    """Shorten the run to fit this many minutes on this machine: steps first, then validation and test pairs; 0: no."""
    output: Required = "runs/translora"
    """The run folder."""

    @field_validator("dtype", mode="before")
    @classmethod
    def _check_dtype(cls, dtype: object) -> object:
        if dtype in ("float16", "fp16", "half"):
            raise ValueError("T5 overflows in float16, to losses of 0 or NaN: use auto, bfloat16 or float32")
        return dtype

    @model_validator(mode="after")
    def _check_languages(self) -> Config:
        try:
            require_two(self.source, self.target)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _check_minutes(self) -> Config:
        if self.minutes and self.method == "none":
            raise ValueError("minutes shortens training, and method none does not train: leave one of them out")
        return self

    @model_validator(mode="after")
    def _check_init(self) -> Config:
        if self.init == "random" and self.method != "full":
            raise ValueError(
                f"init random goes with method full, not {self.method}: random weights are saved only where all are "
                f"trained: set method: full, or init: pretrained"
            )
        return self

    @model_validator(mode="after")
    def _check_shard(self) -> Config:
        if self.training.shard == "on":
            if self.quantise != "off" or self.training.optimizer != "adamw":
                raise ValueError("training.shard on: goes with training.optimizer: adamw and quantise: off")
            if self.method == "lora" and self.lora.init == "gradient":
                raise ValueError("training.shard on: lora.init gradient needs whole weights: use lora.init: zero")
        return self

    @model_validator(mode="after")
    def _check_quantise(self) -> Config:
        if self.quantise != "off":
            if self.method == "full" or self.init == "random":
                raise ValueError(
                    f"quantise {self.quantise}: quantised weights cannot be trained: use method: lora, or quantise: off"
                )
            lora = self.lora
            if self.method == "lora" and (lora.init != "zero" or lora.dora or lora.scale_by_weight):
                raise ValueError(
                    f"quantise {self.quantise}: lora.init {lora.init}, dora and scale_by_weight need the weights in "
                    f"full: use lora.init: zero without the other two, or quantise: off"
                )
        return self


@section("compare")
class CompareConfig:
    """What `translora compare` trains: the section `compare` of a recipe."""

    variants: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] = field(
        default_factory=lambda: {"lora": {}, "full": {"method": "full"}}
    )
    """Names, each with the fields in which it differs from the recipe, nested as there; `rates` beside them are the
    learning rates to try. The untouched model is always compared too."""
    rates: Annotated[tuple[Rate, ...], Field(min_length=1)] = (1e-4, 3e-4, 1e-3, 3e-3)
    """The learning rates to try, where a variant states none; the one of the best validation BLEU is taken."""
    seeds: Positive = 1
    """How many seeds to train the chosen rate with, from the recipe's on."""
    equal_time: Literal["shortest", "longest", "off"] = "shortest"
    """Also train each variant for the time that the quickest (or slowest) of them took."""


@section()
class Recipe(Config):
    """All that a recipe may hold."""

    compare: CompareConfig = CompareConfig()
    """What `translora compare` trains."""
