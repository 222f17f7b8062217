"""The rules of each model family: its prompt, the layers LoRA may adapt.

Knows names and rules; loads no model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from translora.errors import ConfigError, ModelError
from translora.languages import language_name, language_tokens, same_language

ATTENTION = ("q", "k", "v", "o")
FEED_FORWARD = ("wi", "wi_0", "wi_1", "wo", "fc1", "fc2")
ALSO_CALLED = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
_SHORTHAND = {
    "attention": ATTENTION,
    "feed-forward": FEED_FORWARD,
    "all-linear": ATTENTION + FEED_FORWARD,
    "embeddings": ("embed_tokens", "lm_head"),
}


def _t5_prefix(source: str, target: str) -> str:
    return f"translate {language_name(source)} to {language_name(target)}: "


def _no_prompt(source: str, target: str) -> str:
    return ""


@dataclass(frozen=True)
class Family:
    """The rules of one family of models."""

    name: str
    """The family's usual name."""
    prompt: Callable[[str, str], str]
    """Gives the text before each source, from the source and the target language code."""


_BY_MODEL_TYPE = {
    **{name: Family(name, _t5_prefix) for name in ("t5", "mt5", "umt5")},
    **{name: Family(name, _no_prompt) for name in ("m2m_100", "mbart", "marian")},
}
_BYT5 = Family("byt5", _t5_prefix)


def family_of(model_type: str, tokenizer_class: str, vocabulary: Collection[str], target: str) -> Family:
    """Find the family of a checkpoint by its own files.

    A vocabulary with a `<2xx>` token is prompted with it (MADLAD-400 and the embedded model), one with `>>xxx<<` with
    that (Marian of several target languages); ByT5 is known by its tokenizer; all others by `model_type`.

    Raises `ModelError` for a foreign architecture or a target language that the vocabulary lacks.
    """
    if model_type not in _BY_MODEL_TYPE:
        raise ModelError(
            f"model type {model_type!r} is unknown: use a checkpoint of T5, FLAN-T5, mT5, ByT5, UMT5 or MADLAD-400, "
            f"or of NLLB, M2M100, mBART or Marian (types {', '.join(_BY_MODEL_TYPE)})"
        )
    if tokenizer_class.startswith("ByT5"):
        return _BYT5
    tokens = {token[2:].rstrip("<>"): token for token in language_tokens(vocabulary)}
    if not tokens:
        return _BY_MODEL_TYPE[model_type]
    token = tokens[model_language(target, tokens)]
    if not token.startswith("<2"):
        return Family(model_type, lambda source, target: f"{token} ")
    return Family("target-token", lambda source, target: f"{token} ")


def model_language(language: str, known: Collection[str]) -> str:
    """The model's own code for `language`, of those in `known`; raises `ModelError` where it has none."""
    found = language if language in known else same_language(language, known)
    if found is None:
        shown = ", ".join(sorted(known)[:8]) + (", ..." if len(known) > 8 else "")
        raise ModelError(f"the model does not know the language {language!r}: it has {shown}")
    return found


def lora_targets(targets: str, modules: Collection[str]) -> list[str]:
    """The layer names that `targets` selects, of those in `modules` (the last parts of the module names).

    `embeddings` stands for the input embeddings and the output head, for a new vocabulary. T5's q, k, v and o
    are also understood of the models that call them q_proj, k_proj, v_proj and out_proj.

    Raises `ConfigError` where a name is not in the model.
    """
    names = [layer for name in targets.split(",") for layer in _SHORTHAND.get(name.strip(), (name.strip(),)) if layer]
    names = [name if name in modules else ALSO_CALLED.get(name, name) for name in names]
    names = [name for name in names if name in modules or name not in FEED_FORWARD]
    missing = [name for name in names if name not in modules]
    if missing or not names:
        raise ConfigError(
            f"lora.targets {targets!r}: {', '.join(missing) or 'nothing'} is no layer of this model that takes an "
            f"adapter; it has {', '.join(sorted(modules))}, or use attention or all-linear"
        )
    return names
