"""The tokens that translations may hold, by the targets of the training pairs."""

from __future__ import annotations

import re
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from translora.config import Config
from translora.data.placeholders import text_tokens
from translora.data.tokens import TokenisedCorpus, control_tokens, encode
from translora.models.load import LoadedModel, model_folder
from translora.models.shortlist import Shortlist
from translora.translation.kept import marks_of, term_marks
from translora.translation.shortlist import needed_tokens, require_shortlist, with_shortlist

_MARKS = "▁Ġ"
"""The marks that tokenizers write for a space."""
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_BEYOND_LATIN = "\u0180"
"""Single characters below it are on every list: Latin letters, digits, signs, and all bytes of byte-level pieces."""
_MOST_MARKS = 32


def with_own_shortlist(translator: LoadedModel, examples: TokenisedCorpus, config: Config) -> LoadedModel:
    """The model with the shortlist of a run: that of its `examples`, or without training the one that it came with.

    Raises `ConfigError` where the recipe asks for a shortlist that the model cannot have.
    """
    if config.method == "none":
        return with_shortlist(translator, model_folder(config.model, config.revision), config.decoding)
    translator = replace(translator, shortlist=training_shortlist(translator, examples))
    require_shortlist(translator, config.decoding)
    return translator


def training_shortlist(translator: LoadedModel, examples: TokenisedCorpus) -> Shortlist:
    """The shortlist of a model that is trained on `examples`.

    It has the tokens of their targets, special, byte and added tokens, marks of placeholders, and single Latin
    characters, by which numbers and most names can be copied.
    """
    rows = int(translator.model.get_output_embeddings().weight.shape[0])
    targets = examples.distinct_targets().tolist()
    return Shortlist.of([*targets, *_always(translator.tokenizer), *needed_tokens(translator)], rows)


def _always(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens on every list."""
    found: set[int] = set(tokenizer.convert_tokens_to_ids([*control_tokens(tokenizer), *text_tokens(tokenizer)]))
    for token, number in tokenizer.get_vocab().items():
        character = token.lstrip(_MARKS)
        if (len(character) < 2 and character < _BEYOND_LATIN) or _BYTE.fullmatch(token):
            found.add(number)
    marks, terms = marks_of(tokenizer)[0], term_marks(tokenizer)
    texts = [marks[number] for number in range(min(marks.count, _MOST_MARKS))] if marks else []
    texts += [terms.before, terms.after] if terms else []
    for ids in encode([f"a {text} a{text}" for text in texts], tokenizer, target=True):
        found.update(ids)
    return found
