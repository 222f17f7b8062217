"""Tells whether a text is surely not in the language that it should be in."""

from __future__ import annotations

from typing import Any

from translora.data.pairs import Pair
from translora.errors import ConfigError
from translora.languages import subtags

_FEWEST_LETTERS = 20
"""Shorter texts have no sure language."""
_SURE = 0.95
"""The probability from which a language is sure."""


class Languages:
    """Tells whether a text is surely not in the language that it should be in."""

    def __init__(self, source: str, target: str) -> None:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        self._identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        known = {subtags(label).language for label in self._identifier.labels}
        self._codes = [subtags(code).language for code in (source, target)]
        for language, code in zip(self._codes, (source, target), strict=True):
            if language not in known:
                raise ConfigError(f"language {code!r} cannot be identified: set data.cleaning.language to keep")

    def differ(self, pair: Pair) -> bool:
        """Whether either side does."""
        return any(self._other(text, code) for text, code in zip(pair[:2], self._codes, strict=True))

    def target_differs(self, text: str) -> bool:
        """Whether a text that should be in the target language surely is not."""
        return self._other(text, self._codes[1])

    def _other(self, text: str, code: str) -> bool:
        if sum(map(str.isalpha, text)) < _FEWEST_LETTERS:
            return False
        found, probability = self._identifier.classify(text)
        return bool(subtags(str(found)).language != code and probability >= _SURE)
