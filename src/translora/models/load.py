"""Load an encoder-decoder checkpoint from the hub, a folder, or the package itself, with its tokenizer and prompt.

Weights come from safetensors, or from pickled files by way of a copy of their tensors; remote code is never run, and
nothing on disk is asked of the network.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForSeq2SeqLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from translora import mini
from translora.config import Config
from translora.data.tokens import Batch, first_beyond, language_codes
from translora.errors import ConfigError, ModelError
from translora.io.files import file_hash, read_json
from translora.models import hub, quantise
from translora.models.families import Family, family_of, model_language
from translora.models.hardware import choose_device, choose_dtype, free_memory_bytes, keep_freed_memory
from translora.models.loss import BatchLoss, LossPath, batch_loss
from translora.models.shortlist import Shortlist
from translora.models.t5.forward import is_t5, why_not
from translora.models.tokenizer import has_tokenizer, load_tokenizer
from translora.models.weights import safe_weights, weights_hash

_BROKEN = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, RuntimeError, SafetensorError,
    StrictDataclassError,
)  # fmt: skip
"""The exceptions of transformers for a broken checkpoint, which it checks little before it reads it."""
_DROPOUTS = ("dropout", "attention_dropout", "activation_dropout")
"""The names of a probability of dropout that is no module."""
_LAYER_COUNTS = ("num_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")


@dataclass
class LoadedModel:
    """A model with all that is needed to translate with it."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    family: Family
    prompt: str
    """The text before each source."""
    name: str
    """The model as the recipe named it."""
    device: torch.device
    dtype: torch.dtype
    """The dtype of matrix products."""
    path: LossPath = "own"
    """How the loss and its gradient are computed."""
    slow_because: str = "not asked for"
    """Why `path` is not fast; empty where it is."""
    shortlist: Shortlist | None = None
    """The tokens that its translations may hold, where `decoding.shortlist` asks for them."""

    @contextmanager
    def reversed(self, source: str, target: str) -> Iterator[str]:
        """Swap a tokenizer's codes; yield the prompt before texts in `target` that are to become `source`.

        Raises `ConfigError` where nothing tells the model its target language.
        """
        family = family_of(
            self.model.config.model_type, type(self.tokenizer).__name__, self.tokenizer.get_vocab().keys(), source
        )
        prompt = family.prompt(target, source)
        codes = [getattr(self.tokenizer, side, None) for side in ("src_lang", "tgt_lang")]
        if not prompt and None in codes:
            raise ConfigError(
                f"data.both_directions: {self.name} has neither a prompt nor language codes that tell it which "
                f"language to write: leave it false"
            )
        try:
            self._set_codes(codes[::-1])
            yield prompt
        finally:
            self._set_codes(codes)

    def _set_codes(self, codes: list[str | None]) -> None:
        for side, code in zip(("src_lang", "tgt_lang"), codes, strict=True):
            if code is not None:
                setattr(self.tokenizer, side, code)

    @property
    def most_positions(self) -> int | None:
        """The longest sequence that the model has positions for; None for T5, whose positions are relative."""
        return getattr(self.model.config, "max_position_embeddings", None)

    def loss(self, batch: Batch, label_smoothing: float = 0.0) -> BatchLoss:
        """The loss of `batch`, which is moved to the model's device first; see `batch_loss`."""
        return batch_loss(self.model, batch.to(self.device), label_smoothing, self.dtype, self.path)


def load(config: Config, adapter: Path | None = None) -> LoadedModel:
    """Load the model that `config` names, in evaluation mode, on its device.

    Weights are float32 where every weight is trained, else of the compute dtype. `adapter` is the folder of an adapter
    that will be put on the model: a tokenizer that lies there takes the place of the model's own.

    Raises `ModelError` where the model is missing, cannot be read or is of another architecture.
    """
    folder = model_folder(config.model, config.revision)
    check_languages(config)
    with _errors_named(config.model), quiet_transformers():
        _check_file_names(folder)
        shape = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = load_tokenizer(adapter if adapter and has_tokenizer(adapter) else folder, shape)
        family = family_of(shape.model_type, type(tokenizer).__name__, tokenizer.get_vocab().keys(), config.target)
        device = choose_device(config.device)
        if device.type == "cpu":
            keep_freed_memory()
        dtype = choose_dtype(config.dtype, device)
        weights = torch.float32 if config.method == "full" else dtype
        place = folder if config.init == "random" else safe_weights(folder)
        _check_weights_fit(config, place, shape, weights, device)
        if config.init == "random":
            model = _fresh(shape, config.seed)
        else:
            model = _pretrained(place, weights, device, quantise.settings(config.quantise, dtype))
        _set_languages(model, tokenizer, config.source, config.target)
    _set_dropout(model, config.training.dropout)
    _freeze_sinusoids(model)
    model = model.eval() if config.quantise != "off" else model.to(device=device, dtype=weights).eval()
    prompt = family.prompt(config.source, config.target)
    path, slow_because = _choose_path(model, config)
    translator = LoadedModel(model, tokenizer, family, prompt, config.model, device, dtype, path, slow_because)
    check_lengths(translator, config)
    if adapter is None:  # an adapter may bring more rows
        check_rows(translator)
    return translator


def parameter_count(config: Config) -> int:
    """The parameters of the model that `config` names, by its shape alone; raises `ModelError` as `load` does."""
    with _errors_named(config.model), quiet_transformers(), torch.device("meta"):
        shape = AutoConfig.from_pretrained(model_folder(config.model, config.revision), trust_remote_code=False)
        return sum(p.numel() for p in AutoModelForSeq2SeqLM.from_config(shape).parameters())


def check_rows(translator: LoadedModel) -> None:
    """Raise `ModelError` where the tokenizer has tokens that the embedding has no row for."""
    rows = translator.model.get_input_embeddings().weight.shape[0]
    if found := first_beyond(translator.tokenizer, rows):
        raise ModelError(
            f"model {translator.name}: its tokenizer has the token {found[0]!r} with id {found[1]}, and its embedding "
            f"has {rows} rows: take the tokenizer that it was trained with, or save the model after "
            f"resize_token_embeddings({len(translator.tokenizer)})"
        )


def check_languages(config: Config) -> None:
    """Raise `ConfigError` for languages that the embedded model has not learnt; asks no other model."""
    if config.init == "pretrained" and (config.model == "mini" or Path(config.model) == mini.MODEL):
        mini.require_languages(config.source, config.target)


def tokenizer_of(name: str, revision: str = "") -> PreTrainedTokenizerBase:
    """The tokenizer of the model `name`, without its weights; raises `ModelError` as `load` does."""
    with _errors_named(name), quiet_transformers():
        return load_tokenizer(model_folder(name, revision))


def check_lengths(translator: LoadedModel, config: Config) -> None:
    """Raise `ConfigError` for sequences that the model has no positions for."""
    most = translator.most_positions
    for name, length in (("data", config.data.max_tokens), ("decoding", config.decoding.max_tokens)):
        if most and length > most:
            raise ConfigError(f"{name}.max_tokens {length}: {translator.name} takes at most {most}: use {most} or less")


def _choose_path(model: PreTrainedModel, config: Config) -> tuple[LossPath, str]:
    """How to compute the loss, and why not by the fast path."""
    slow_because = why_not(model) if config.fast == "auto" else "fast is off"
    if not slow_because:
        return "fast", ""
    return "own" if config.fast == "off" or is_t5(model) else "generic", slow_because


def _set_languages(model: PreTrainedModel, tokenizer: Any, source: str, target: str) -> None:
    """Tell a tokenizer with language codes (NLLB, M2M100, mBART) its two, and the model what a translation starts with.

    Raises `ModelError` for a language that the model lacks.
    """
    if not hasattr(tokenizer, "src_lang"):
        return
    codes = language_codes(tokenizer)
    tokenizer.src_lang, tokenizer.tgt_lang = (model_language(language, codes) for language in (source, target))
    first, last = tokenizer(text_target="")["input_ids"]
    if last == tokenizer.eos_token_id:
        model.generation_config.forced_bos_token_id = first
        if model.config.decoder_start_token_id is None:
            model.config.decoder_start_token_id = last
    else:  # mBART writes the code after the end token, and starts with it
        model.generation_config.forced_bos_token_id = None
        model.config.decoder_start_token_id = last


def model_folder(name: str, revision: str = "") -> Path:
    """The folder of a model: the package's own for `mini`, a folder as it is, or the hub's copy on disk.

    Raises `ModelError` where nothing of that name is to be had.
    """
    if name == "mini":
        return mini.MODEL
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"{path}: no config.json in it: give the folder of a transformers model")
        return path
    if path.exists() or path.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise ModelError(
            f"{name}: no such model folder: give a folder, a hub name such as google/flan-t5-small, or mini"
        )
    return hub.fetch_model(name, revision)


def base_hash(config: Config) -> str:
    """The SHA-256 of the weights that `config` starts from (of a list of them where there are several files)."""
    folder = model_folder(config.model, config.revision)
    return weights_hash(folder) if config.init == "pretrained" else file_hash(folder / "config.json")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' load reports and notices off the terminal; errors still raise."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """Turn errors of transformers for a broken or foreign checkpoint into one line."""
    try:
        yield
    except _BROKEN as error:
        reason = str(error)[:300]
        raise ModelError(f"model {name}: cannot be loaded ({reason}): check the folder or download it again") from error


def _check_file_names(folder: Path) -> None:
    """Raise `ModelError` where the list of weight files leads out of the model's folder."""
    for listing in folder.glob("*.index.json"):
        for file in read_json(listing)["weight_map"].values():
            if Path(file).name != file:
                raise ModelError(f"{listing}: names the file {file!r}, which is not in its folder")


def _check_weights_fit(config: Config, folder: Path, shape: Any, dtype: torch.dtype, device: torch.device) -> None:
    """Raise `ModelError` where the weights alone are larger than the free memory, or not those of `shape`.

    It goes by the files' headers, before anything is allocated.
    """
    name, kind = config.model, config.quantise
    sizes: dict[str, list[int]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            sizes.update({key: tensors.get_slice(key).get_shape() for key in tensors.keys()})  # noqa: SIM118
    form = str(dtype)[6:] if kind == "off" else kind
    needs = sum(quantise.stored_bytes(key, size, kind, dtype) for key, size in sizes.items())
    free = free_memory_bytes(device)
    if needs > free:
        raise ModelError(
            f"model {name}: its weights take {needs / 2**30:.1f} GiB in {form} and "
            f"{free / 2**30:.1f} GiB are free: take a smaller model, a shorter dtype, quantise: nf4 for an adapter, or "
            f"a larger machine"
        )
    layers = max(getattr(shape, field, 0) or 0 for field in _LAYER_COUNTS)
    if sizes and layers > len(sizes):
        raise ModelError(f"model {name}: config.json names {layers} layers, the weights have {len(sizes)} tensors")
    with torch.device("meta"):
        wanted = AutoModelForSeq2SeqLM.from_config(shape).state_dict()
    for key, size in sizes.items():
        if key in wanted and list(wanted[key].shape) != size:
            raise ModelError(
                f"model {name}: {key} is {size} in the weights and {list(wanted[key].shape)} by config.json: "
                f"they do not belong together"
            )


def _fresh(shape: Any, seed: int) -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForSeq2SeqLM.from_config(shape)
        if not getattr(shape, "scale_decoder_outputs", False):
            give_own_head(model)
    return model


def give_own_head(model: PreTrainedModel) -> None:
    """Give a model of random weights a head of its own, as T5 1.1, FLAN-T5, mT5 and UMT5 have.

    transformers 5 ties every T5 that is built from a configuration, and `tie_word_embeddings=False` would part the
    encoder's and the decoder's embeddings as well. The new head has variance 1 / width, as in T5X.
    """
    head = torch.empty_like(model.get_output_embeddings().weight).normal_(std=model.config.d_model**-0.5)
    model.get_output_embeddings().weight = torch.nn.Parameter(head)
    _mark_untied(model)


def _pretrained(folder: Path, dtype: torch.dtype, device: torch.device, quantised: Any) -> PreTrainedModel:
    more = {"quantization_config": quantised, "device_map": {"": device}} if quantised else {}
    model, report = AutoModelForSeq2SeqLM.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **more
    )
    quantise.keep_gradients(model)
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(f"{folder}: weights are missing ({', '.join(missing[:3])}, {len(missing)} in all)")
    _mark_untied(model)
    return model


def _mark_untied(model: PreTrainedModel) -> None:
    """Record in the configuration that the head is not tied, where it is not, so that saving keeps it.

    transformers 5 sets `tie_word_embeddings` on every T5, though FLAN-T5, T5 1.1 and mT5 have a head of their own.
    """
    head = model.get_output_embeddings()
    if head is not None and all(head.weight is not embedding.weight for embedding in _embeddings(model)):
        model.config.tie_word_embeddings = False


def _embeddings(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The embeddings of either side: Marian may have two vocabularies, and ties the head to the target's."""
    decoder: Any = model.get_decoder()
    return [model.get_input_embeddings(), decoder.get_input_embeddings()]


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Have `model` compute the activations of each block again in the backward pass instead of keeping them."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its newer name
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})


def _freeze_sinusoids(model: PreTrainedModel) -> None:
    """Positions that are computed and not learnt (Marian's) are no parameters, though transformers loads them so."""
    for module in model.modules():
        if type(module).__name__.endswith("SinusoidalPositionalEmbedding"):
            module.requires_grad_(False)


def _set_dropout(model: PreTrainedModel, rate: float) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = rate
        for name in _DROPOUTS:
            if isinstance(getattr(module, name, None), (int, float)):
                setattr(module, name, rate)
        if hasattr(module, "layerdrop"):
            module.layerdrop = 0.0


def has_dropout(model: torch.nn.Module) -> bool:
    """Whether anything is dropped in training, in the model or its adapters."""
    return any(
        (isinstance(module, torch.nn.Dropout) and module.p > 0)
        or any(isinstance(rate := getattr(module, name, None), float) and rate > 0 for name in _DROPOUTS)
        for module in model.modules()
    )
