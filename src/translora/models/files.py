"""Which weight files a model folder has, by their names and the lists of shards. Loads no torch."""

from __future__ import annotations

from pathlib import Path

from translora.errors import ModelError
from translora.io.files import read_json

PICKLED, _PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def missing_weights(folder: Path) -> list[str]:
    """The weight files that a model folder lacks, by the lists in it; `model.safetensors` where it has none at all."""
    if (folder / "model.safetensors").exists() or (folder / PICKLED).exists():
        return []
    for listing in (folder / "model.safetensors.index.json", folder / _PICKLED_INDEX):
        if listing.exists():
            return [name for name in _listed(listing) if not (folder / name).exists()]
    return [] if any(folder.glob("*.safetensors")) else ["model.safetensors"]


def _listed(listing: Path) -> list[str]:
    """The weight files that a list names.

    Raises `ModelError` where the list cannot be read, or leads out of its folder.
    """
    try:
        names = sorted({str(name) for name in read_json(listing)["weight_map"].values()})
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{listing}: no list of weight files ({error}): download it again") from error
    for name in names:
        if Path(name).name != name:
            raise ModelError(f"{listing}: names the file {name!r}, which is not in its folder")
    return names


def pickled_files(folder: Path) -> list[Path]:
    """`pytorch_model.bin`, or the shards that its list names; raises `ModelError` where one is missing."""
    if (folder / PICKLED).exists():
        return [folder / PICKLED]
    listing = folder / _PICKLED_INDEX
    files = [folder / name for name in _listed(listing)] if listing.exists() else []
    for file in files:
        if not file.exists():
            raise ModelError(f"{file}: missing, though {listing.name} names it: download the model again")
    return files
