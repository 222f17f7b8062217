"""Train the embedded base model's tokenizer and write its shape: an empty model folder, ready for training.

    python scripts/mini/build_tokenizer.py --base base/train.tsv.gz --corpus OTHER.tsv ... -o FOLDER

A SentencePiece unigram vocabulary with byte fallback over both sides of all corpora (tab-separated, plain or .gz, or
`mini` for the embedded one), stored as `tokenizer.json`, which plain transformers loads. Only pieces that the base
model's training text holds often enough to be learnt are kept: a piece that it never met has a random embedding, which
a LoRA on the layers above cannot mend. So a word of another domain is spelled in several pieces, each of them known.
Text is kept as it is, but for Unicode NFC and runs of white space: T5's own rules (NFKC) would make "..." of each
ellipsis and cost BLEU.
"""

from __future__ import annotations

import argparse
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import sentencepiece
from placeholders import PIECES
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import GenerationConfig, PreTrainedTokenizerFast, T5Config

from translora.config import SourceConfig
from translora.data.readers.sources import read

SPACE = "\u2581"
LANGUAGE_TOKENS = ["<2en>", "<2de>"]
OWN = [*LANGUAGE_TOKENS, *PIECES]
"""Pieces 3 to 36. The placeholders are ordinary pieces of score 0: no other segmentation is likelier."""


def train_sentencepiece(corpora: list[str], pieces: int, folder: Path) -> list[tuple[str, float]]:
    """Train on both sides of `corpora`; return the pieces with their scores, special pieces first."""
    text = folder / "text.txt"
    with open(text, "w", encoding="utf-8") as stream:
        for path in corpora:
            for pair in read(SourceConfig(path=path), "de", "en"):
                stream.write(unicodedata.normalize("NFC", f"{pair.source}\n{pair.target}\n"))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "spiece"), vocab_size=pieces, model_type="unigram",
        normalization_rule_name="identity", byte_fallback=True, character_coverage=0.9999, max_sentence_length=16384,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=OWN, minloglevel=1,
    )  # fmt: skip
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((folder / "spiece.model").read_bytes())
    return [(piece.piece, piece.score) for piece in model.pieces]


def frequent(pieces: list[tuple[str, float]], corpus: str, least: int, most: int) -> list[tuple[str, float]]:
    """The `most` likeliest of the pieces that occur `least` times in `corpus`; special and single characters stay."""
    for _ in range(2):  # what is cut otherwise for want of a piece makes others more frequent
        counts: Counter[int] = Counter()
        tokenizer = build_tokenizer(pieces)
        pairs = list(read(SourceConfig(path=corpus), "de", "en"))
        for ids in tokenizer([text for pair in pairs for text in (pair.source, pair.target)])["input_ids"]:
            counts.update(ids)
        pieces = [piece for i, piece in enumerate(pieces) if _always(i, piece[0]) or counts[i] >= least]
    always = [piece for i, piece in enumerate(pieces) if _always(i, piece[0])]
    rest = sorted((piece for i, piece in enumerate(pieces) if not _always(i, piece[0])), key=lambda piece: -piece[1])
    return always + rest[: most - len(always)]


def _always(index: int, piece: str) -> bool:
    return index < 3 or piece in OWN or piece.startswith("<0x") or len(piece) == 1


def build_tokenizer(pieces: list[tuple[str, float]]) -> PreTrainedTokenizerFast:
    """SentencePiece's unigram segmentation in the form that `tokenizers` runs."""
    tokenizer = Tokenizer(Unigram(pieces, unk_id=2, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(replacement=SPACE, prepend_scheme="always"), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single=["$A", "</s>"], special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        extra_special_tokens=LANGUAGE_TOKENS, model_max_length=512, clean_up_tokenization_spaces=False,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="the base model's training pairs, German and English")
    parser.add_argument("--corpus", nargs="+", default=[], help="pairs of other domains to cover, German and English")
    parser.add_argument("--pieces", type=int, default=10_000)
    parser.add_argument("--least", type=int, default=10, help="times that a piece must occur in the base's pairs")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the model folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpora = [arguments.base, *arguments.corpus]
        candidates = train_sentencepiece(corpora, 2 * arguments.pieces, Path(folder))
    tokenizer = build_tokenizer(frequent(candidates, arguments.base, arguments.least, arguments.pieces))
    tokenizer.save_pretrained(arguments.output)
    shape = T5Config(
        vocab_size=len(tokenizer), d_model=256, d_kv=64, d_ff=768, num_heads=4, num_layers=6, num_decoder_layers=2,
        feed_forward_proj="gated-gelu", dropout_rate=0.0, decoder_start_token_id=0, tie_word_embeddings=True,
        architectures=["T5ForConditionalGeneration"],
    )  # fmt: skip
    shape.save_pretrained(arguments.output)
    GenerationConfig.from_model_config(shape).save_pretrained(arguments.output)
    print(f"{len(tokenizer)} pieces in {arguments.output}")


if __name__ == "__main__":
    main()
