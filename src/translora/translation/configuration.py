"""The configuration by which a model translates: of a run, an export, an adapter, or a model alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from translora.config import Config
from translora.errors import ConfigError
from translora.models.adapter import base_of
from translora.runs.folder import Run, adapter_folder
from translora.translation.exported import read_marker

Dtype = Literal["auto", "float32", "bfloat16"]
Shortlisting = Literal["off", "targets"]
"""Which tokens a translation may hold; see `decoding.shortlist`."""


def translating_config(
    name: str | Path,
    source: str = "",
    target: str = "",
    device: str = "",
    dtype: Dtype | None = None,
    max_tokens: int = 0,
    shortlist: Shortlisting | None = None,
) -> Config:
    """The configuration by which `name` translates: that of `model_config`, but for what is given."""
    config = model_config(name)
    own = config.decoding
    decoding = dataclasses.replace(
        own, max_tokens=max_tokens or own.max_tokens, shortlist=own.shortlist if shortlist is None else shortlist
    )
    return dataclasses.replace(
        as_trained(config),
        source=source or config.source,
        target=target or config.target,
        device=device or config.device,
        dtype=dtype or config.dtype,
        decoding=decoding,
    )


def as_trained(config: Config) -> Config:
    """`config` for the model that a run left: without what steers training alone, and with the base in full."""
    return dataclasses.replace(config, method="none", init="pretrained", quantise="off", minutes=0.0)


def model_config(name: str | Path) -> Config:
    """The configuration of the run or the export that `name` is, or the default one with the model that it names.

    Raises `ConfigError` for a run without its trained model.
    """
    path = Path(name)
    adapter, run = adapter_folder(path), Run(path)
    if run.config_file.exists():
        if adapter:
            return run.config
        if run.model.exists():
            return dataclasses.replace(run.config, model=str(run.model))
        if run.config.method != "none":
            raise ConfigError(f"{path}: the run has no trained model yet: start its training again to finish it")
        return run.config
    if marker := read_marker(path):
        return marker.config(path)
    return Config(model=base_of(adapter) if adapter else str(name))
