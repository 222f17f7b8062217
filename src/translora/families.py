"""What each model family needs: its prompt, the layers LoRA may adapt, the dtypes that it survives.

Knows names and rules; loads no model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache

from translora.errors import ConfigError, ModelError

ATTENTION = ("q", "k", "v", "o")
FEED_FORWARD = ("wi", "wi_0", "wi_1", "wo")
_SHORTHAND = {
    "attention": ATTENTION,
    "feed-forward": FEED_FORWARD,
    "all-linear": ATTENTION + FEED_FORWARD,
    "embeddings": ("embed_tokens", "lm_head"),
}


@lru_cache
def language_name(code: str) -> str:
    """The English name of a language code: `de` -> German, `zh-Hans` -> Simplified Chinese (CLDR).

    Raises `ConfigError` for a code that CLDR does not know.
    """
    from babel import Locale, UnknownLocaleError

    english = Locale("en")
    known = english.languages.get(code.replace("-", "_"))
    if known:
        return str(known)
    try:
        name = str(Locale.parse(code, sep="-").get_display_name(english) or "")
    except (UnknownLocaleError, ValueError, TypeError):
        name = ""
    if not name:
        raise ConfigError(f"language {code!r} is not a known code: use codes such as de, en, pt-BR, zh-Hans")
    return name


def _t5_prefix(source: str, target: str) -> str:
    return f"translate {language_name(source)} to {language_name(target)}: "


def _target_token(source: str, target: str) -> str:
    return f"<2{target}> "


@dataclass(frozen=True)
class Family:
    """The rules of one family of the T5 architecture."""

    name: str
    """The family's usual name."""
    prompt: Callable[[str, str], str]
    """What precedes the source text, from the source and the target language code."""
    float16: bool = False
    """Whether its activations stay inside float16 (T5's feed-forward does not: transformers#10830)."""


_T5 = Family("t5", _t5_prefix)
_BY_MODEL_TYPE = {"t5": _T5, "mt5": Family("mt5", _t5_prefix), "umt5": Family("umt5", _t5_prefix)}
_BYT5 = Family("byt5", _t5_prefix)
_TARGET_TOKEN = Family("target-token", _target_token)


def family_of(model_type: str, tokenizer_class: str, vocabulary: Collection[str], target: str) -> Family:
    """Tell the family by what the checkpoint itself says.

    A vocabulary with a `<2xx>` token is prompted with it (MADLAD-400 and the embedded model); ByT5 is known by its
    tokenizer; all others by `model_type`.

    Raises `ModelError` for an architecture that is not T5's or a target language that the vocabulary lacks.
    """
    if model_type not in _BY_MODEL_TYPE:
        raise ModelError(
            f"model type {model_type!r} is not of the T5 architecture: "
            f"use a checkpoint of type {', '.join(sorted(_BY_MODEL_TYPE))} (T5, FLAN-T5, mT5, ByT5, UMT5, MADLAD-400)"
        )
    if tokenizer_class.startswith("ByT5"):
        return _BYT5
    tokens = language_tokens(vocabulary)
    if not tokens:
        return _BY_MODEL_TYPE[model_type]
    if f"<2{target}>" not in tokens:
        shown = ", ".join(token[2:-1] for token in tokens[:8]) + (", ..." if len(tokens) > 8 else "")
        raise ModelError(f"the model has no token <2{target}> for the target language {target!r}: it has {shown}")
    return _TARGET_TOKEN


def language_tokens(vocabulary: Collection[str]) -> list[str]:
    """The `<2xx>` tokens of a vocabulary that names the target language by one, sorted."""
    return sorted(token for token in vocabulary if token.startswith("<2") and token.endswith(">"))


def lora_targets(targets: str, modules: Collection[str]) -> list[str]:
    """The layer names that `targets` selects, of those in `modules` (the last parts of the module names).

    `embeddings` stands for the input embeddings and the output head: what a new vocabulary needs.

    Raises `ConfigError` where a name is not in the model.
    """
    names = [layer for name in targets.split(",") for layer in _SHORTHAND.get(name.strip(), (name.strip(),)) if layer]
    names = [name for name in names if name in modules or name not in FEED_FORWARD]
    missing = [name for name in names if name not in modules]
    if missing or not names:
        raise ConfigError(
            f"lora.targets {targets!r}: {', '.join(missing) or 'nothing'} is no layer of this model that takes an "
            f"adapter; it has {', '.join(sorted(modules))}, or use attention or all-linear"
        )
    return names
