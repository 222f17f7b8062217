"""The shortlist of a vocabulary: the only tokens that a translation may hold. Knows token ids and the file of a list.

Candidate lists after Jean et al. 2015 (arXiv:1412.2007), one list for all texts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translora.data.batching import Ints
from translora.errors import ModelError
from translora.io.files import read_json, sha256, write_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHORTLIST = "shortlist.json"
"""The name of the file, beside the weights that it belongs to."""
_MULTIPLE = 256
"""Products and searches over a multiple of this many tokens are fastest."""
REMEDY = "use decoding.shortlist: off (--shortlist off)"


@dataclass(frozen=True)
class Shortlist:
    """Some tokens of a vocabulary; two are equal where their tokens are."""

    ids: Ints = field(compare=False, repr=False)
    """Token ids, ascending; shape (tokens,)."""
    sha256: str
    """A hash of the ids."""

    @classmethod
    def of(cls, wanted: Iterable[int], rows: int) -> Shortlist:
        """The ids `wanted` that are among the `rows` rows of a head, filled up with the lowest others.

        Their number is a multiple of 256, or `rows`. The lowest ids are the most frequent tokens of most vocabularies.
        """
        ids = {int(i) for i in wanted if 0 <= i < rows}
        size = min(rows, -(-len(ids) // _MULTIPLE) * _MULTIPLE)
        others = (i for i in range(rows) if i not in ids)
        return cls._sorted(sorted([*ids, *(i for i, _ in zip(others, range(size - len(ids)), strict=False))]))

    @classmethod
    def _sorted(cls, ids: list[int]) -> Shortlist:
        return cls(np.array(ids, dtype=np.int64), sha256(json.dumps(ids)))

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def read(
        cls, folder: Path, tokenizer: PreTrainedTokenizerBase, rows: int, needed: Collection[int]
    ) -> Shortlist | None:
        """The list beside the weights in `folder`, of a head of `rows` rows; None where there is none.

        Raises `ModelError` where it is damaged, lacks one of the tokens `needed`, or is of another vocabulary.
        """
        file = folder / SHORTLIST
        if not file.exists():
            return None
        try:
            found = read_json(file)
            ids, vocabulary = found["tokens"], found["vocabulary_sha256"]
            if not isinstance(ids, list) or not all(type(i) is int for i in ids) or ids != sorted(set(ids)):
                raise ValueError("its tokens are no ascending numbers")
            if not ids or ids[0] < 0 or ids[-1] >= rows or not set(needed) <= set(ids):
                raise ValueError(f"its tokens are not those of a vocabulary of {rows:,}")
        except (OSError, ValueError, LookupError) as error:
            raise ModelError(f"{file}: cannot be read ({error}): copy it again, or {REMEDY}") from error
        if vocabulary != vocabulary_hash(tokenizer):
            raise ModelError(f"{file}: made for another vocabulary than the model's: copy the right one, or {REMEDY}")
        return cls._sorted(ids)

    def write(self, folder: Path, tokenizer: PreTrainedTokenizerBase, made_from: dict[str, Any]) -> None:
        """Write the list into `folder`, with what it was `made_from`."""
        content = {
            "made_from": made_from,
            "vocabulary_sha256": vocabulary_hash(tokenizer),
            "tokens": self.ids.tolist(),
        }
        write_text(folder / SHORTLIST, json.dumps(content) + "\n")


def copy_shortlist(old: Path, new: Path) -> bool:
    """Copy the list in the folder `old`, as it is, into the folder `new`; returns whether there is one."""
    if (old / SHORTLIST).is_file():
        shutil.copyfile(old / SHORTLIST, new / SHORTLIST)
        return True
    return False


def vocabulary_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """The SHA-256 of the tokens and their ids."""
    return sha256(repr(sorted(tokenizer.get_vocab().items())))
