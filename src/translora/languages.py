"""Language codes: their English names, and which of several codes means the same language. Knows CLDR, by babel.

Every place that compares two codes, of users, files, models or tokenizers, does so by `matching_languages`,
`same_language` or `subtags`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from translora.errors import ConfigError


@lru_cache
def language_name(code: str) -> str:
    """The English name of a language code: `de` and `deu` -> German, `zh-Hans` -> Simplified Chinese (CLDR).

    Raises `ConfigError` for a code that CLDR does not know.
    """
    from babel import Locale, UnknownLocaleError
    from babel.core import get_global

    english = Locale("en")
    first, *rest = _canonical(code).split("_")
    spellings = ["_".join([language, *rest]) for language in (first, get_global("language_aliases").get(first, first))]
    for spelling in spellings:
        if known := english.languages.get(spelling):
            return str(known)
    for spelling in spellings:
        with suppress(UnknownLocaleError, ValueError, TypeError):
            if name := Locale.parse(spelling).get_display_name(english):
                return str(name)
    raise ConfigError(f"language {code!r} is not a known code: use codes such as de, en, pt-BR, zh-Hans")


def require_two(source: str, target: str) -> None:
    """Raise `ConfigError` where source and target are one language."""
    if source == target:
        raise ConfigError(f"source and target are both {source!r}: name two languages")
    if subtags(source) == subtags(target):
        raise ConfigError(f"source {source!r} and target {target!r} are one language: name two")


class Subtags(NamedTuple):
    """A language code taken apart; likely values (CLDR) stand for omitted parts, "" for unknown ones."""

    language: str
    """The shortest ISO 639 code: `de` for `deu`, `zh` for `cmn`, `no` for `nb`."""
    script: str
    """ISO 15924, such as `Latn`."""
    territory: str
    """ISO 3166, such as `DE`."""


_WIDER = {"nb": "no", "pbt": "ps", "quy": "qu", "fuv": "ff", "ns": "nso"}
"""Languages that models and memories name where CLDR's aliases keep them apart from the wider one."""
_SCRIPTS = {"Hang": "Kore", "Hira": "Jpan", "Kana": "Jpan", "Hrkt": "Jpan"}
"""Scripts that CLDR names as part of another."""
_OLD_CODES = {"zh_chs": "zh_Hans", "zh_cht": "zh_Hant"}


@lru_cache(maxsize=4096)
def subtags(code: str) -> Subtags:
    """Take apart a code in any common spelling: `de`, `deu`, `de-DE`, `de_DE`, `DE-de`, `deu_Latn`, `zh-cmn-Hans`.

    A code of another form is its own language, without script and territory.
    """
    from babel.core import get_global, parse_locale

    try:
        language, territory, script = parse_locale(_canonical(code))[:3]
    except ValueError:
        return Subtags(code, "", "")
    alias = get_global("language_aliases").get(language, language)
    if alias.endswith("_Latn"):  # sh stands for sr_Latn
        alias, script = alias.removesuffix("_Latn"), script or "Latn"
    language = _WIDER.get(alias, alias)
    likely = get_global("likely_subtags")
    full = next((likely[key] for key in (f"{language}_{territory}", language) if key in likely), "")
    _, likely_territory, likely_script = parse_locale(full)[:3] if full else ("", "", "")
    script = script or likely_script or ""
    return Subtags(language, _SCRIPTS.get(script, script), territory or likely_territory or "")


def require_code(code: str) -> Subtags:
    """The subtags of a code; raises `ConfigError` for a text of another form, such as a language's name."""
    found = subtags(code)
    if not re.fullmatch("[a-z]{2,3}(_[A-Z]{2})?", found.language):
        raise ConfigError(f"language {code!r} is not a code: use codes such as de, en, pt-BR, zh-Hans")
    return found


def matching_languages(code: str, known: Collection[str]) -> list[str]:
    """Those of `known` (such as `deu_Latn`, `de_DE` or `de`) that mean the language `code`, the nearest first.

    Language and script must agree, whatever ISO 639 code names the language. A code without script and territory also
    takes the only other script that is known. The same code goes first, then the same name, the same territory, and
    the language's usual one. A territory that `code` states and that is known excludes others: of `pt-BR` and `pt-PT`,
    `pt-BR` takes the first.
    """
    wanted = subtags(code)
    fitting = [other for other in sorted(known) if subtags(other).language == wanted.language]
    written = [other for other in fitting if subtags(other).script == wanted.script]
    bare = "_" not in _canonical(code)
    if bare and not written and len({subtags(other).script for other in fitting}) == 1:
        written = fitting
    here = [other for other in written if subtags(other).territory == wanted.territory]
    if here and _states_territory(code):
        written = here

    usual = subtags(wanted.language).territory

    def distance(other: str) -> tuple[bool, bool, bool, bool]:
        elsewhere, unusual = other not in here, subtags(other).territory != usual
        return _canonical(other) != _canonical(code), _name(other) != _name(code), elsewhere, unusual

    return sorted(written, key=distance)


def same_language(code: str, known: Collection[str]) -> str | None:
    """The nearest one of `known` that means the language `code`, None without one; see `matching_languages`."""
    return next(iter(matching_languages(code, known)), None)


def is_other_variety(asked: str, found: str) -> bool:
    """Whether `found`, which `asked` matches, is written in another script or of another territory than it states."""
    one, other = subtags(asked), subtags(found)
    return one.script != other.script or (_states_territory(asked) and one.territory != other.territory)


def _canonical(code: str) -> str:
    """One spelling of a code: underscores, the language in lower case, without private parts."""
    text = re.sub(r"_x_.*|[.@].*", "", code.strip().replace("-", "_"), flags=re.IGNORECASE)
    text = re.sub(r"^zh_([a-z]{3})(?=_|$)(?<!_ch[st])", r"\1", text, flags=re.IGNORECASE)  # zh-yue is yue
    name, *rest = _OLD_CODES.get(text.lower(), text).split("_")
    return "_".join([name.lower(), *(part.title() if len(part) == 4 else part.upper() for part in rest)])


def _name(code: str) -> str:
    """The language as `code` names it."""
    return _canonical(code).split("_")[0]


def _states_territory(code: str) -> bool:
    return any(re.fullmatch("[A-Z]{2}|[0-9]{3}", part) and part != "XX" for part in _canonical(code).split("_")[1:])


UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua000-\ua4cf\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
"""Characters of scripts that put no spaces between words (Han, kana, Thai, Lao, Tibetan, Burmese, Khmer, Yi), as ranges
for a character class of `re`."""
JOINERS = "\u200c\u200d"
"""Zero-width joiners, which stand inside words of Persian and of Indian languages."""
_UNSPACED_LETTER = re.compile(f"[{UNSPACED}]")


def is_unspaced(text: str) -> bool:
    """Whether most letters of `text` are of scripts that put no spaces between words."""
    return 2 * len(_UNSPACED_LETTER.findall(text)) > sum(map(str.isalpha, text)) > 0


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
    wide = subtags(code).language
    names = {plain, plain.replace("-", "_"), language_name(code)}
    for language in {wide, *(narrow for narrow, wider in _WIDER.items() if wider == wide)}:
        names |= {language, str(Locale("en").languages.get(language) or "")}
        names |= {alias for alias, meant in get_global("language_aliases").items() if meant == language}
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
