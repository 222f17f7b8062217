"""Train the embedded base model's tokenizer and write its shape: an empty model folder, ready for training.

    python scripts/mini/build_tokenizer.py --corpus A.tsv B.tsv ... -o FOLDER

A SentencePiece unigram vocabulary with byte fallback over both sides of all corpora (tab-separated, plain or .gz),
stored as `tokenizer.json`, which plain transformers loads. Text is kept as it is, but for Unicode NFC and runs of
white space: T5's own rules (NFKC) would make "..." of each ellipsis and cost BLEU.
"""

from __future__ import annotations

import argparse
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import GenerationConfig, PreTrainedTokenizerFast, T5Config

from translora.config import SourceConfig
from translora.data.sources import read

SPACE = "\u2581"
LANGUAGE_TOKENS = ["<2en>", "<2de>"]


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
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=LANGUAGE_TOKENS, minloglevel=1,
    )  # fmt: skip
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((folder / "spiece.model").read_bytes())
    return [(piece.piece, piece.score) for piece in model.pieces]


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
    parser.add_argument("--corpus", nargs="+", required=True, help="German and English, tab-separated")
    parser.add_argument("--pieces", type=int, default=8000)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the model folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = build_tokenizer(train_sentencepiece(arguments.corpus, arguments.pieces, Path(folder)))
    tokenizer.save_pretrained(arguments.output)
    shape = T5Config(
        vocab_size=len(tokenizer), d_model=256, d_kv=64, d_ff=768, num_heads=4, num_layers=4, num_decoder_layers=2,
        feed_forward_proj="gated-gelu", dropout_rate=0.0, decoder_start_token_id=0, tie_word_embeddings=True,
        architectures=["T5ForConditionalGeneration"],
    )  # fmt: skip
    shape.save_pretrained(arguments.output)
    GenerationConfig.from_model_config(shape).save_pretrained(arguments.output)
    print(f"{len(tokenizer)} pieces in {arguments.output}")


if __name__ == "__main__":
    main()
