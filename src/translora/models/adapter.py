"""Adapter folders in PEFT's format: written with the hash of their base, and read as from a stranger.

Of `adapter_config.json` only the fields that say what a LoRA adapter is are taken: others can name Python modules to
import. Weights are safetensors, and their shapes are held against the base model before anything is allocated.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, TaskType, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from translora.errors import ModelError
from translora.io.files import read_json, write_json
from translora.models.load import quiet_transformers

_CONFIG, _WEIGHTS, _BASE = "adapter_config.json", "adapter_model.safetensors", "translora.json"
_TAKEN: dict[str, type | tuple[type, ...]] = {
    "r": int,
    "lora_alpha": (int, float),
    "lora_dropout": (int, float),
    "target_modules": (list, str),
    "exclude_modules": (list, str, type(None)),
    "use_rslora": bool,
    "use_dora": bool,
    "bias": str,
    "fan_in_fan_out": bool,
    "rank_pattern": (dict, type(None)),
    "alpha_pattern": (dict, type(None)),
    "modules_to_save": (list, type(None)),
    "layers_to_transform": (list, int, type(None)),
    "layers_pattern": (list, str, type(None)),
}
"""The fields of `adapter_config.json` that are taken, and their types."""
_REFUSED = (
    "alora_invocation_tokens",
    "arrow_config",
    "layer_replication",
    "megatron_config",
    "target_parameters",
    "trainable_token_indices",
    "use_qalora",
)
"""The fields that would make it another kind of adapter."""


_COPIES = (
    "lm_head.weight",
    "embed_tokens.weight",
    "shared.weight",
    "base_layer.weight",
    "original_module.weight",
    "modules_to_save.weight",
)
"""The ends of the names of base weights that PEFT saves beside an adapter of the head or the embeddings."""
_EMBEDDING = re.compile(r".*\b(shared|embed_tokens)(\.base_layer)?\.weight")
_HEAD = re.compile(r".*\blm_head(\.base_layer)?\.weight")


def save_adapter(model: PreTrainedModel, folder: Path, base: str, initial: Path | None = None) -> None:
    """Write the adapter into `folder`, in PEFT's format, with `base`, the hash of the weights that it belongs to.

    A PiSSA adapter belongs to changed base weights: with `initial`, the folder of the adapter as it was before
    training, it is written as an ordinary one of twice the rank that fits the base as it came.
    """
    more = {"path_initial_model_for_weight_conversion": str(initial)} if initial else {}
    with quiet_transformers():
        model.save_pretrained(folder, save_embedding_layers=False, **more)
    write_json(folder / _BASE, {"base_sha256": base})


def base_of(folder: Path) -> str:
    """The name of the base model of the adapter in `folder`; raises `ModelError` where it cannot be read."""
    name = _settings(folder).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise ModelError(f"{folder / _CONFIG}: names no base model: set base_model_name_or_path")
    if (Path(name).is_absolute() or name.startswith(".") or name.count("/") > 1) and not Path(name).is_dir():
        raise ModelError(
            f"{folder / _CONFIG}: its base model {name} is not here: "
            f"change base_model_name_or_path to its folder or hub name"
        )
    return name


def load_adapter(model: PreTrainedModel, folder: Path, base: Callable[[], str]) -> PreTrainedModel:
    """Put the adapter in `folder` on its base model, frozen; `base` computes the hash of the base's weights.

    Raises `ModelError` where the adapter cannot be read, is of another kind, or belongs to another base.
    """
    config = read_lora_config(folder)
    _check_base(folder, base)
    shapes = _shapes(folder)
    _check_ranks(folder, config, shapes)
    _fit_rows(model, folder, shapes)
    try:
        with quiet_transformers(), warnings.catch_warnings():
            loaded = PeftModel.from_pretrained(model, folder, config=config).eval()
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder}: the adapter does not fit the base model ({str(error)[:200]})") from error
    known = set(get_peft_model_state_dict(loaded, save_embedding_layers=False))
    copies = {name for name in set(shapes) - known if name.endswith(_COPIES)}
    odd = sorted((known ^ set(shapes)) - copies)
    if odd:
        what = "lacks" if odd[0] in known else "has"
        raise ModelError(f"{folder}: the adapter does not fit the base model (it {what} {odd[0]}, {len(odd)} such)")
    return cast(PreTrainedModel, loaded)


def _settings(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / _CONFIG)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / _CONFIG}: cannot be read ({error}): copy the adapter again") from error


def read_lora_config(folder: Path) -> PeftLoraConfig:
    """The settings of the adapter in `folder`; raises `ModelError` where they are not those of a plain LoRA adapter."""
    settings = _settings(folder)
    if settings.get("peft_type") != "LORA":
        raise ModelError(f"{folder}: an adapter of type {settings.get('peft_type')!r}: only LORA can be loaded")
    for name in _REFUSED:
        if settings.get(name):
            raise ModelError(f"{folder / _CONFIG}: {name} is not supported: only plain LoRA adapters can be loaded")
    for name, types in _TAKEN.items():
        if name in settings and not isinstance(settings[name], types):
            raise ModelError(f"{folder / _CONFIG}: {name} is {settings[name]!r}, which it cannot be")
    taken = {name: settings[name] for name in _TAKEN if name in settings}
    try:
        return PeftLoraConfig(**taken, task_type=TaskType.SEQ_2_SEQ_LM, inference_mode=True)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{folder / _CONFIG}: {str(error)[:200]}") from error


def _check_base(folder: Path, base: Callable[[], str]) -> None:
    """Raise `ModelError` where the adapter says which weights it belongs to, and they are others."""
    file = folder / _BASE
    if file.exists():
        try:
            wanted = read_json(file)["base_sha256"]
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{file}: cannot be read ({error}): copy the adapter again") from error
        if (found := base()) != wanted:
            raise ModelError(
                f"{folder}: made for another base model (its weights' SHA-256 is {wanted}, here it is {found}): "
                f"load the base that it was trained on"
            )


def _shapes(folder: Path) -> dict[str, list[int]]:
    """The shape of each weight, from the file's header."""
    file = folder / _WEIGHTS
    if not file.exists():
        raise ModelError(f"{folder}: no {_WEIGHTS} in it: translora never unpickles weights; convert them first")
    try:
        with safe_open(file, framework="pt") as tensors:
            return {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: damaged or cut short ({error}): copy the adapter again") from error


def _fit_rows(model: PreTrainedModel, folder: Path, shapes: dict[str, list[int]]) -> None:
    """Give the embedding as many rows as the adapter brings for it: the base was resized before it was trained.

    Raises `ModelError` where new tokens would have a row in the embedding and none in the head.
    """
    wanted = {shape[0] for name, shape in shapes.items() if _EMBEDDING.fullmatch(name) and len(shape) == 2}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    rows = embedding.weight.shape[0]
    if len(wanted) != 1 or wanted == {rows}:
        return
    (new,) = wanted
    if new > rows and head.weight is not embedding.weight and not any(map(_HEAD.fullmatch, shapes)):
        raise ModelError(
            f"{folder}: brings an embedding of {new} rows for the {rows} of its base, and no head of as many: "
            f"save the adapter again, with lm_head in modules_to_save"
        )
    with quiet_transformers():
        model.resize_token_embeddings(new, mean_resizing=False)


def _check_ranks(folder: Path, config: PeftLoraConfig, shapes: dict[str, list[int]]) -> None:
    """Raise `ModelError` for a rank that no weight in the file has: allocation goes by the rank."""
    found = {size for name, shape in shapes.items() if ".lora_" in name for size in shape}
    for rank in (config.r, *(config.rank_pattern or {}).values()):
        if rank not in found:
            raise ModelError(f"{folder / _CONFIG}: rank {rank!r}, but no weight in {_WEIGHTS} has it")
