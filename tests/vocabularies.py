"""Small real tokenizers, trained on the embedded corpus, of the kinds that T5 models come with."""

import json

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from translora.config import SourceConfig
from translora.data.readers.sources import read

SPECIAL = ["<pad>", "</s>", "<unk>"]


def corpus_lines():
    """Texts without braces, angle brackets and rare letters."""
    pairs = read(SourceConfig(path="mini", limit=300), "de", "en")
    texts = [text for pair in pairs for text in pair[:2] if not set(text) & set("{}<>")]
    return ["Hallo, Name! kommt nicht 0 0.", *texts]


def unigram(lines):
    """T5's own class: it splits at white space and marks each word."""
    raw = tokenizers.Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=400, unk_token="<unk>", special_tokens=SPECIAL))
    pieces = json.loads(raw.to_str())["model"]["vocab"]
    sentinels = [(f"<extra_id_{i}>", 0.0) for i in range(100)]
    return transformers.T5Tokenizer(vocab=[*map(tuple, pieces), *sentinels])


def bpe(lines, before=None, decoder=None):
    """A BPE vocabulary with Metaspace alone, as SentencePiece's are converted, or with what is given."""
    raw = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = before or pre_tokenizers.Metaspace()
    raw.decoder = decoder or decoders.Metaspace()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if before else []
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL, initial_alphabet=alphabet)
    raw.train_from_iterator(lines, trainer)
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def byte_level(lines):
    return bpe(lines, pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel())
