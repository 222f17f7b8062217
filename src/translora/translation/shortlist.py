"""Whether a model translates with the shortlist of its vocabulary that `decoding.shortlist` asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from translora.config import DecodingConfig
from translora.errors import ConfigError
from translora.models.load import LoadedModel
from translora.models.shortlist import REMEDY, SHORTLIST, Shortlist
from translora.translation.generate import start_token


def needs_generate(translator: LoadedModel) -> str:
    """Why transformers' `generate` must translate with the model; empty where translora's own decoder may."""
    own = translator.model.generation_config
    if translator.path != "fast":
        return translator.slow_because
    forced = getattr(own, "forced_bos_token_id", None) is not None or getattr(own, "bad_words_ids", None)
    return "it forces or forbids tokens" if forced else ""


def with_shortlist(translator: LoadedModel, folder: Path, decoding: DecodingConfig) -> LoadedModel:
    """The model with the shortlist beside its weights in `folder`, where `decoding` asks for one.

    Raises `ConfigError` where there is none or the model cannot use it, and `ModelError` for a damaged one.
    """
    if decoding.shortlist == "off":
        return translator
    rows = int(translator.model.get_output_embeddings().weight.shape[0])
    found = Shortlist.read(folder, translator.tokenizer, rows, needed_tokens(translator))
    translator = replace(translator, shortlist=found)
    require_shortlist(translator, decoding, str(folder))
    return translator


def needed_tokens(translator: LoadedModel) -> tuple[int, int]:
    """The tokens that begin and end a translation, which each shortlist holds."""
    return start_token(translator), int(translator.tokenizer.eos_token_id)


def require_shortlist(translator: LoadedModel, decoding: DecodingConfig, place: str = "") -> Shortlist | None:
    """The shortlist that `decoding` asks for, None where it asks for none; the weights are in the folder `place`.

    Raises `ConfigError` where there is none, and for a model that transformers' `generate` translates with.
    """
    if decoding.shortlist == "off":
        return None
    if reason := needs_generate(translator):
        raise without_shortlists(translator, reason)
    if translator.shortlist is None:
        raise ConfigError(
            f"decoding.shortlist: {place or translator.name} has no {SHORTLIST}, which training writes beside the "
            f"weights: {REMEDY}, or train first (an old run again, with --overwrite)"
        )
    return translator.shortlist


def without_shortlists(translator: LoadedModel, reason: str = "a layer has a bias") -> ConfigError:
    """The error of a model that transformers' `generate` translates with, for that `reason`."""
    return ConfigError(
        f"decoding.shortlist: {translator.name} is translated by transformers' generate ({reason}), which knows no "
        f"shortlist: {REMEDY}"
    )
