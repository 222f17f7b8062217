"""Language codes: their English names, and which of a model's own codes means the same. Knows CLDR, by babel."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache

from translora.errors import ConfigError


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


def require_two(source: str, target: str) -> None:
    """Raise `ConfigError` where source and target are one language."""
    if source == target:
        raise ConfigError(f"source and target are both {source!r}: name two languages")


_MACROLANGUAGES = {"nb": "no", "pbt": "ps", "quy": "qu", "fuv": "ff", "ns": "nso"}
"""The languages that models name where CLDR's aliases keep them apart from the wider one."""


def same_language(code: str, known: Collection[str]) -> str | None:
    """The one of `known` (such as `deu_Latn`, `de_DE` or `de`) that means the BCP 47 code `code`; None without one.

    Language and script must agree, whichever ISO 639 code the language is named by (CLDR's aliases and likely
    subtags); a language's usual script agrees with the only one that the model has (NLLB's `kor_Hang` is CLDR's
    `Kore`). Of several, the same name goes first, then the same territory.
    """
    language, script, territory = _subtags(code)
    fitting = [other for other in sorted(known) if _subtags(other)[0] == language]
    written = [other for other in fitting if _subtags(other)[1] == script]
    if not written and len(fitting) == 1 and script == _subtags(language)[1]:
        written = fitting
    written.sort(key=lambda other: (_name(other) != _name(code), _subtags(other)[2] != territory))
    return written[0] if written else None


def _name(code: str) -> str:
    """The first subtag."""
    return code.replace("-", "_").split("_")[0].lower()


@lru_cache(maxsize=1024)
def _subtags(code: str) -> tuple[str, str, str]:
    """Language, script and territory of a code, what it leaves out filled in with what is likely."""
    from babel.core import get_global, parse_locale

    try:
        language, territory, script = parse_locale(code.replace("-", "_"))[:3]
    except ValueError:
        return code, "", ""
    language = get_global("language_aliases").get(language, language)
    language = _MACROLANGUAGES.get(language, language)
    likely = get_global("likely_subtags")
    full = next((likely[key] for key in (f"{language}_{territory}", language) if key in likely), "")
    _, likely_territory, likely_script = parse_locale(full)[:3] if full else ("", "", "")
    return language, script or likely_script or "", territory or likely_territory or ""


def language_tokens(vocabulary: Collection[str]) -> list[str]:
    """The `<2xx>` or `>>xxx<<` tokens of a vocabulary that names the target language by one, sorted."""
    marks = (("<2", ">"), (">>", "<<"))
    return sorted(token for token in vocabulary if any(token.startswith(a) and token.endswith(b) for a, b in marks))


@lru_cache
def names_of(code: str) -> frozenset[str]:
    """All that people call the language of `code`, casefolded: its codes (`de`, `de-de`, `deu`, `ger`) and names."""
    from babel import Locale, UnknownLocaleError
    from babel.core import get_global

    plain = code.replace("_", "-")
    language = plain.split("-")[0].lower()
    language = get_global("language_aliases").get(language, language)
    names = {plain, plain.replace("-", "_"), language, language_name(code)}
    names |= {alias for alias, meant in get_global("language_aliases").items() if meant == language}
    names |= {str(Locale("en").languages.get(language) or "")}
    with suppress(UnknownLocaleError, ValueError, TypeError):
        names |= {str(Locale.parse(language).get_language_name() or "")}
    return frozenset(name.casefold() for name in names if name)


@lru_cache
def known_language(text: str) -> bool:
    """Whether `text` is a language code, such as `fr` or `pt_BR`, or the English name of a language."""
    from babel import Locale
    from babel.core import get_global

    known = Locale("en").languages
    code = text.replace("-", "_").split("_")
    if len(code) <= 3 and (code[0].lower() in known or code[0].lower() in get_global("language_aliases")):
        return len(code) == 1 or all(part.isalnum() and len(part) in (2, 4) for part in code[1:])
    return text.casefold() in {str(name).casefold() for name in known.values()}
