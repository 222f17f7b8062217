"""The weight files of a model folder: safetensors as they are, `pytorch_model.bin` by way of a converted copy.

Several models of the hub (NLLB, Marian, mT5) have only pickled weights. They are read once, by the unpickler of torch
that makes tensors and nothing else, and kept as safetensors in the cache; training and translating read that copy.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from translora.errors import ModelError, reason_of
from translora.io import console
from translora.io.files import atomic_folder, cache_folder, file_hash, sha256, write_json
from translora.models.files import PICKLED, pickled_files
from translora.models.hardware import free_memory_bytes

_CONFIGS = ("config.json", "generation_config.json")
_CONVERSION = "1"
"""Part of the key of a converted copy; goes up when the rules of the conversion change."""


def weights_hash(folder: Path) -> str:
    """The SHA-256 of the weights in a model folder, as their publisher made them (of a list of them for several)."""
    hashes = [file_hash(file) for file in sorted(folder.glob("*.safetensors")) or pickled_files(folder)]
    return hashes[0] if len(hashes) == 1 else sha256(*hashes)


def safe_weights(folder: Path) -> Path:
    """The folder that holds the weights of the model in `folder` as safetensors: itself, or a copy in the cache.

    The copy is made where it is missing, and said. It also holds `config.json`.

    Raises `ModelError` where there are no weights, or they cannot be read without running the code in them.
    """
    if any(folder.glob("*.safetensors")):
        return folder
    files = pickled_files(folder)
    if not files:
        raise ModelError(
            f"{folder}: no weights in it: translora reads model.safetensors, or {PICKLED} by the restricted unpickler"
        )
    configs = [folder / name for name in _CONFIGS if (folder / name).exists()]
    marks = [f"{file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    copy = cache_folder() / "weights" / sha256(_CONVERSION, *marks, *(file.read_bytes() for file in configs))
    if not copy.exists():
        with atomic_folder(copy) as temporary:
            _convert(files, temporary)
            for file in configs:
                shutil.copyfile(file, temporary / file.name)
        console.notice(f"{folder}: {PICKLED} was read once and is kept as safetensors in {copy}")
    return copy


def _convert(files: list[Path], folder: Path) -> None:
    """Write each of `files` as safetensors into `folder`, with a list of them where there are several."""
    names: dict[str, str] = {}
    for number, file in enumerate(files, start=1):
        name = "model.safetensors" if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        tensors = _tensors(file)
        save_file(tensors, folder / name, metadata={"format": "pt"})
        names.update(dict.fromkeys(tensors, name))
    if len(files) > 1:
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": names})


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a pickled file; of several names for one tensor, one is kept, and transformers ties the others.

    Raises `ModelError` where the file holds more than tensors, or is damaged.
    """
    mapped = zipfile.is_zipfile(file)  # the form that torch has written since 1.6, which need not fit the memory
    size, free = file.stat().st_size, free_memory_bytes(torch.device("cpu"))
    if not mapped and size > free:
        raise ModelError(f"{file}: {size / 2**30:.1f} GiB to read at once, and {free / 2**30:.1f} GiB are free")
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a broken file makes torch raise almost anything
        raise ModelError(_unreadable(file, error)) from error
    tensors = dict(_named_tensors(loaded))
    if not tensors or len(tensors) < len(loaded):
        raise ModelError(f"{file}: not a table of tensors by name, as save_pretrained writes it: {_CURE}")
    kept: dict[tuple[Any, ...], str] = {}
    for name in sorted(tensors, key=lambda name: ("shared." not in name, len(name), name)):
        tensor = tensors[name]
        kept.setdefault((tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()), name)
    if sum(tensors[name].nbytes for name in kept.values()) > size:
        raise ModelError(f"{file}: its tensors are larger than the file: {_CURE}")
    return {name: _apart(tensors[name]) for name in kept.values()}


_CURE = "take the model's safetensors, or another copy of it"


def _named_tensors(loaded: Any) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in loaded.items() if isinstance(loaded, dict) else ():
        if isinstance(name, str) and type(tensor) in (torch.Tensor, torch.nn.Parameter):
            dense = tensor.layout is torch.strided and not tensor.is_quantized
            if dense and tensor.device.type == "cpu":
                yield name, tensor.detach()


def _apart(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` as it can be saved: contiguous, and no part of a larger one."""
    whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.nbytes
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)


def _unreadable(file: Path, error: Exception) -> str:
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return f"{file}: would run code when it is unpickled ({found[1]}), so it is not read: {_CURE}"
    reason = reason_of(error)[:200]
    return f"{file}: cannot be read as weights ({reason}): {_CURE}"
