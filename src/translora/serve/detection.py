"""The language of a text, identified by py3langid among those that are served."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from translora.languages import subtags
from translora.tags import TAG

_TAGS = re.compile(TAG)


class Detector:
    """Identifies languages; its model is read at the first text."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._identifier: Any = None
        self._labels: dict[str, str] = {}

    def languages(self, text: str, known: Sequence[str]) -> list[tuple[str, float]]:
        """The codes of `known` with the probability that `text`, its tags left out, is in each, the likeliest first.

        Codes that py3langid does not know are left out; one that alone is known is certain.
        """
        with self._lock:
            if self._identifier is None:
                from py3langid.langid import MODEL_FILE, LanguageIdentifier

                self._identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
                self._labels = {subtags(str(label)).language: str(label) for label in self._identifier.labels}
            of_label: dict[str, str] = {}
            for code in known:
                if label := self._labels.get(subtags(code).language):
                    of_label.setdefault(label, code)
            if not of_label:
                return [(code, 0.0) for code in known[:1]]
            found = {
                str(label): float(share)
                for label, share in self._identifier.rank(_TAGS.sub(" ", text))
                if label in of_label
            }
        total = sum(found.values())
        shares = {label: share / total if total else 1 / len(found) for label, share in found.items()}
        ranked = sorted(shares.items(), key=lambda one: -one[1])
        return [(of_label[label], share) for label, share in ranked]
