"""Language codes as each protocol spells them."""

from __future__ import annotations

from translora.errors import ConfigError
from translora.languages import language_name, subtags

_LIBRE = {"pb": "pt-BR", "zt": "zh-Hant", "zh": "zh-Hans"}
_VARIANTS = {"en": ("EN-GB", "EN-US"), "pt": ("PT-BR", "PT-PT"), "zh": ("ZH-HANS",)}
"""The targets that DeepL's clients ask for in place of a bare language."""


def libre_code(code: str) -> str:
    """`code` as LibreTranslate writes it: `pb` is Brazilian Portuguese, `zt` traditional Chinese."""
    parts = subtags(code)
    if parts.language == "zh":
        return "zt" if parts.script == "Hant" else "zh"
    if parts.language == "pt" and code.replace("_", "-").upper().endswith("-BR"):
        return "pb"
    return parts.language.lower()


def from_libre(code: str) -> str:
    """LibreTranslate's `code` as everybody else writes it."""
    return _LIBRE.get(code.lower(), code)


def name_of(code: str) -> str:
    """The English name of a language; the code itself where it has none."""
    try:
        return language_name(code)
    except ConfigError:
        return code


def deepl_source(code: str) -> str:
    """`code` as DeepL writes a source: the language alone."""
    return subtags(code).language.upper()


def deepl_targets(code: str) -> tuple[str, ...]:
    """`code` as DeepL writes a target, with its variants where the code states none."""
    language, _, rest = code.replace("_", "-").partition("-")
    base = subtags(code).language
    if rest and base in _VARIANTS:
        return (f"{language}-{rest}".upper(),)
    return _VARIANTS.get(base, (base.upper(),))
