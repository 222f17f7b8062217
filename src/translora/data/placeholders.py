"""Tokens that a model's owner added, such as `[NAME]`: they are text, read as one token each and written out.

Most tokenizers put a space after such a token and lose the one before it, and transformers drops those that were added
as special tokens when it decodes. Here both are mended: once, where a tokenizer is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from translora.data.tokens import control_tokens, encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ONE_SPACE = {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}


def text_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The added tokens that stand for text: all but the control tokens."""
    control = set(control_tokens(tokenizer))
    return sorted(token for token in tokenizer.get_added_vocab() if token not in control)


def keep_text_tokens(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """`tokenizer`, or a copy of it, in which added text tokens are ordinary ones and keep the spaces around them.

    Texts without such tokens give the same ids as before; a tokenizer without added text tokens is returned as it is.
    """
    tokens = set(text_tokens(tokenizer))
    if not tokens:
        return tokenizer
    tokenizer.extra_special_tokens = [
        token for token in tokenizer.extra_special_tokens or [] if str(token) not in tokens
    ]
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return tokenizer
    return _rebuilt(tokenizer, tokens)


def _rebuilt(tokenizer: Any, tokens: set[str]) -> PreTrainedTokenizerBase:
    """A fast tokenizer in which `tokens` are not special and each space is a piece of the text."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in rules["added_tokens"]:
        if token["content"] in tokens:
            token |= {"special": False, "lstrip": False, "rstrip": False}
    _keep_spaces(rules)
    backend = Tokenizer.from_str(json.dumps(rules))
    if hasattr(tokenizer, "src_lang"):  # its class has more than rules: it sets the codes of the languages
        tokenizer.backend_tokenizer.normalizer = backend.normalizer
        tokenizer.backend_tokenizer.pre_tokenizer = backend.pre_tokenizer
        unchanged: PreTrainedTokenizerBase = tokenizer
        return unchanged
    rebuilt: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=tokenizer.extra_special_tokens,
        **tokenizer.special_tokens_map,
    )
    rebuilt.name_or_path = tokenizer.name_or_path
    return rebuilt


def _keep_spaces(rules: dict[str, Any]) -> None:
    """Have Metaspace put its mark before the first word of a text, and no longer after each added token too."""
    before = rules["pre_tokenizer"] or {}
    parts = before["pretokenizers"] if before.get("type") == "Sequence" else [before]
    kinds = [part.get("type") for part in parts]
    if kinds not in (["Metaspace"], ["WhitespaceSplit", "Metaspace"]):
        return
    rules["pre_tokenizer"] = parts[-1] | {"prepend_scheme": "first"}
    if len(parts) == 2:  # splitting at white space also made one space of several
        normalizer = rules["normalizer"]
        rules["normalizer"] = {"type": "Sequence", "normalizers": [*([normalizer] if normalizer else []), _ONE_SPACE]}


def texts_of(rows: Iterable[Sequence[int]], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The text of each of `rows` of token ids: control tokens are dropped, every other token is written."""
    codes = getattr(tokenizer, "lang_code_to_id", {}).values()
    dropped = {*codes, *tokenizer.convert_tokens_to_ids(control_tokens(tokenizer))}
    kept = [[i for i in row if i not in dropped] for row in rows]
    if not kept:
        return []  # of no row transformers makes one text
    texts: list[str] = tokenizer.batch_decode(kept, skip_special_tokens=False)
    return texts


def loses_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the spaces around an added text token do not come back, as with Marian's tokenizer."""
    token = next(iter(text_tokens(tokenizer)), "")
    text = f"a {token} a{token}a"
    return texts_of(encode([text], tokenizer), tokenizer) != [text]
