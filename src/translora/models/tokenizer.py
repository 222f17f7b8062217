"""The tokenizer of a model folder: refused where transformers would make one up, its added tokens kept as text."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from translora.data.placeholders import keep_text_tokens, text_tokens
from translora.errors import ModelError
from translora.io.files import read_json

_VOCABULARIES = (
    "tokenizer.json", "spiece.model", "sentencepiece.bpe.model", "source.spm", "vocab.json", "tokenizer.model",
)  # fmt: skip
"""The files of which a tokenizer needs one."""


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer lies in `folder`."""
    settings = folder / "tokenizer_config.json"
    if settings.exists() and str(read_json(settings).get("tokenizer_class", "")).startswith("ByT5"):
        return True  # bytes need no vocabulary
    return any((folder / name).exists() for name in _VOCABULARIES)


def load_tokenizer(folder: Path, shape: PretrainedConfig | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer in `folder`; its languages, if it has some, are still to be set.

    `shape` is the model's configuration, where that lies elsewhere: it decides the tokenizer's class.

    Raises `ModelError` where there is none, or transformers would read it as one of another type.
    """
    _check_files(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, config=shape, trust_remote_code=False)
    codes = {number: code for code, number in getattr(tokenizer, "lang_code_to_id", {}).items()}
    for token in text_tokens(tokenizer):
        if code := codes.get(tokenizer.convert_tokens_to_ids(token)):
            raise ModelError(f"{folder}: the added token {token!r} has the id of the language {code!r}: remove it")
    return keep_text_tokens(tokenizer)


def _check_files(folder: Path) -> None:
    """Raise `ModelError` where transformers would make up a tokenizer, or read a vocabulary as one of another type."""
    if not has_tokenizer(folder):
        raise ModelError(
            f"no tokenizer in {folder}: copy {' or '.join(_VOCABULARIES[:2])} (for ByT5: tokenizer_config.json) of the "
            f"model it came from into it"
        )
    pieces = folder / "spiece.model"
    if pieces.exists() and not (folder / "tokenizer.json").exists() and _is_bpe(pieces):
        raise ModelError(
            f"{pieces}: a SentencePiece vocabulary of type BPE, which transformers reads as Unigram: "
            f"put a tokenizer.json made from it beside it"
        )


def _is_bpe(pieces: Path) -> bool:
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto.FromString(pieces.read_bytes())
    return bool(model.trainer_spec.model_type == model.trainer_spec.BPE)
