"""NLLB, M2M100, mBART and Marian: tiny models of random weights with tokenizers of their own kind."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, trainers

import translora
from translora.config import SourceConfig
from translora.data.pairs import Corpus
from translora.data.placeholders import loses_spaces, texts_of
from translora.data.readers.sources import read
from translora.data.splits import read_splits
from translora.data.tokens import encode, tokenise
from translora.errors import ConfigError, ModelError
from translora.models.load import load, quiet_transformers
from translora.models.loss import batch_loss
from translora.models.tokenizer import load_tokenizer
from translora.pipeline import make_trainable, training_examples

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
SHAPE = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
FAMILIES = ["nllb", "m2m100", "mbart", "mbart50", "marian", "marian-many", "marian-two"]


def trained(model, trainer, texts):
    """The model part of a tokenizer trained on `texts`, as JSON."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def nllb(folder, texts):
    made = trained(models.BPE(unk_token="<unk>"), trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL), texts)
    merges = [tuple(merge) for merge in made["merges"]]
    codes = ["deu_Latn", "eng_Latn", "fra_Latn"]
    return transformers.NllbTokenizer(vocab=made["vocab"], merges=merges, extra_special_tokens=codes)


def unigram(texts):
    trainer = trainers.UnigramTrainer(vocab_size=300, unk_token="<unk>", special_tokens=SPECIAL)
    return [tuple(piece) for piece in trained(models.Unigram(), trainer, texts)["vocab"]]


def mbart(folder, texts):
    return transformers.MBartTokenizer(vocab=unigram(texts))


def mbart50(folder, texts):
    codes = transformers.models.mbart50.tokenization_mbart50.FAIRSEQ_LANGUAGE_CODES
    return transformers.MBart50Tokenizer(vocab=[*unigram(texts), *((name, 0.0) for name in (*codes, "<mask>"))])


def sentencepieces(folder, texts, first, last=()):
    """A sentencepiece model and the vocabulary beside it, with `first` and `last` around its pieces."""
    model, vocabulary = folder / "raw.spm", folder / "raw.json"
    with open(model, "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=file, vocab_size=300, hard_vocab_limit=False, minloglevel=2
        )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    names = [*first, *(pieces.id_to_piece(i) for i in range(3, len(pieces))), *last]
    vocabulary.write_text(json.dumps({name: i for i, name in enumerate(names)}))
    return str(model), str(vocabulary)


def m2m100(folder, texts):
    model, vocabulary = sentencepieces(folder, texts, SPECIAL)
    return transformers.M2M100Tokenizer(vocabulary, model)


def marian(folder, texts, codes=()):
    model, vocabulary = sentencepieces(folder, texts, ["</s>", "<unk>", *codes], ["<pad>"])
    return transformers.MarianTokenizer(model, model, vocabulary)


def marian_many(folder, texts):
    return marian(folder, texts, (">>deu<<", ">>eng<<"))


def marian_two(folder, texts):
    """One vocabulary a side."""
    first = ["</s>", "<unk>", "<pad>"]
    made = []
    for side in (0, 1):
        (folder / str(side)).mkdir()
        made.append(sentencepieces(folder / str(side), texts[side::2], first))
    (source, vocabulary), (target, other) = made
    return transformers.MarianTokenizer(source, target, vocabulary, target_vocab_file=other, separate_vocabs=True)


CONFIGS = {"nllb": "M2M100Config", "m2m100": "M2M100Config", "mbart": "MBartConfig", "mbart50": "MBartConfig"}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    pairs = list(read(SourceConfig(path="mini", limit=300), "de", "en"))
    texts = [text for pair in pairs for text in (pair.source, pair.target)]
    made = {}
    for family in FAMILIES:
        folder = tmp_path_factory.mktemp(family)
        tokenizer = globals()[family.replace("-", "_")](folder, texts)
        size = 128 + len(tokenizer)  # M2M100's language codes lie beyond its vocabulary
        kind = getattr(transformers, CONFIGS.get(family, "MarianConfig"))
        tokens = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        start = tokenizer.pad_token_id if family.startswith("marian") else tokenizer.eos_token_id
        torch.manual_seed(0)
        with quiet_transformers():
            if family == "marian-two":
                tokens |= {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": size + 8}
            config = kind(vocab_size=size, **SHAPE, **tokens, decoder_start_token_id=start, forced_eos_token_id=None)
            model = transformers.AutoModelForSeq2SeqLM.from_config(config)
            if hasattr(model, "final_logits_bias"):
                model.final_logits_bias.normal_()
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        made[family] = folder
    return made


@pytest.fixture
def config(tiny_config):
    training = dataclasses.replace(tiny_config.training, dropout=0.0)
    lora = dataclasses.replace(tiny_config.lora, dropout=0.0)
    return dataclasses.replace(tiny_config, training=training, lora=lora)


pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_the_model_and_tokenizer_used_by_themselves(folders, config, family):
    translator = load(dataclasses.replace(config, model=str(folders[family])))
    assert translator.path == "generic"
    pairs = Corpus.of(read(config.data.train, "de", "en")).head(6)
    examples = tokenise(pairs, translator.tokenizer, translator.prompt, 256)
    ours = translator.loss(examples.batch(examples.all_indices()))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[family])
    if hasattr(tokenizer, "src_lang"):
        codes = {"nllb": ("deu_Latn", "eng_Latn"), "m2m100": ("de", "en")}.get(family, ("de_DE", "en_XX"))
        tokenizer.src_lang, tokenizer.tgt_lang = codes
    total = 0.0
    for pair in pairs:
        source = (">>eng<< " if family == "marian-many" else "") + pair.source
        inputs = tokenizer(source, text_target=pair.target, return_tensors="pt")
        with torch.no_grad():
            total += float(translator.model(**inputs).loss) * inputs["labels"].numel()
    assert float(ours.cross_entropy) == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_gradients_are_those_of_the_models_own_head(folders, config, family, method):
    config = dataclasses.replace(config, model=str(folders[family]), method=method)
    translator = load(config)
    make_trainable(translator, config)
    model = translator.model.double().train()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.3)
    pairs = Corpus.of(read(config.data.train, "de", "en")).head(6)
    examples = tokenise(pairs, translator.tokenizer, translator.prompt, 256)
    batch = examples.batch(examples.all_indices())
    trained = [p for p in model.parameters() if p.requires_grad]
    for smoothing in (0.0, 0.1):
        losses = [batch_loss(model, batch, smoothing, torch.float64, path) for path in ("generic", "own")]
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-9, atol=0)
        ours, theirs = (torch.autograd.grad(loss.objective, trained) for loss in losses)
        for our, their in zip(ours, theirs, strict=True):
            assert torch.linalg.vector_norm(our - their) <= 1e-9 * torch.linalg.vector_norm(their) + 1e-12


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_run(folders, config, family, capsys):
    run = translora.train(dataclasses.replace(config, model=str(folders[family])))
    assert run.summary.steps == 8
    rows = run.summary.table
    assert rows[1].validation_loss < rows[0].validation_loss
    assert "with translora's head and loss (the architecture is" in capsys.readouterr().err
    lines = run.translator().translate(["Guten Tag", "", "Datei </s> öffnen __en__ " * 90], protect="off")
    assert lines[1] == ""
    assert not any(code in line for line in lines for code in ("__en__", "en_XX", "eng_Latn", "</s>"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_model_is_saved_as_it_is(folders, config, family):
    """The head too, be it tied to the source's embeddings, to the target's, or to none."""
    config = dataclasses.replace(config, model=str(folders[family]), method="full")
    run = translora.train(config)
    kept, again = (load(dataclasses.replace(config, model=str(folder))) for folder in (folders[family], run.model))
    assert kept.model.config.tie_word_embeddings == again.model.config.tie_word_embeddings
    assert [name for name, _ in kept.model.named_parameters()] == [name for name, _ in again.model.named_parameters()]
    after = (run.translations / "after.txt").read_text()
    assert run.translator().translate(read_splits(config).test.sources, protect="off") == after.split("\n")[:-1]


@pytest.mark.parametrize("family", ["marian", "marian-many"])
def test_a_text_that_begins_like_a_language_code_stays_text(folders, config, family):
    tokenizer = load(dataclasses.replace(config, model=str(folders[family]))).tokenizer
    (ids,) = encode([">>Datei<< speichern"], tokenizer)
    (plain,) = encode(["Datei<< speichern"], tokenizer)
    assert len(ids) > len(plain)


@pytest.mark.parametrize("family", ["nllb", "m2m100", "mbart", "marian-many"])
def test_a_language_that_the_model_lacks(folders, config, family):
    with pytest.raises(ModelError, match="the model does not know the language 'ang': it has "):
        load(dataclasses.replace(config, model=str(folders[family]), target="ang"))


def test_more_tokens_than_positions(folders, config):
    data = dataclasses.replace(config.data, max_tokens=500)
    with pytest.raises(ConfigError, match=r"data.max_tokens 500: .* takes at most 256: use 256 or less"):
        load(dataclasses.replace(config, model=str(folders["mbart"]), data=data))


@pytest.mark.parametrize("way", ["added", "replaced"])
def test_a_language_that_was_added_and_those_that_were_there(folders, config, tmp_path, way):
    folder = Path(shutil.copytree(folders["nllb"], tmp_path / way))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if way == "added":
        tokenizer.add_tokens(["tyv_Cyrl"], special_tokens=True)
    else:
        tokenizer.add_special_tokens({"additional_special_tokens": ["tyv_Cyrl"]})
    tokenizer.save_pretrained(folder)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    for source, target in (("de", "tyv_Cyrl"), ("de", "en")):
        loaded = load(dataclasses.replace(config, model=str(folder), source=source, target=target))
        wanted = loaded.tokenizer.convert_tokens_to_ids(loaded.tokenizer.tgt_lang)
        assert loaded.model.generation_config.forced_bos_token_id == wanted


@pytest.mark.parametrize("family", FAMILIES)
def test_both_directions_swap_the_codes_or_are_refused(folders, config, family):
    data = dataclasses.replace(config.data, both_directions=True)
    config = dataclasses.replace(config, model=str(folders[family]), data=data)
    translator = load(config)
    pairs = Corpus.of(read(config.data.train, "de", "en")).head(4)
    if family in ("marian", "marian-two"):
        with pytest.raises(ConfigError, match="both_directions"):
            training_examples(translator, pairs, config)
        return
    examples = training_examples(translator, pairs, config)
    back = load(dataclasses.replace(config, source="en", target="de"))
    expected = tokenise(pairs.reversed(), back.tokenizer, back.prompt, 256)
    assert [examples.source_ids(4 + i) for i in range(4)] == [expected.source_ids(i) for i in range(4)]
    assert [examples.target_ids(4 + i) for i in range(4)] == [expected.target_ids(i) for i in range(4)]
    again = tokenise(pairs, translator.tokenizer, translator.prompt, 256)
    assert [again.source_ids(i) for i in range(4)] == [examples.source_ids(i) for i in range(4)]


def test_added_tokens_of_a_tokenizer_without_rules_to_change(folders, config, tmp_path):
    """Marian's code loses the spaces, which is said; M2M100's gives an added token the id of a language."""
    for family in ("marian", "m2m100"):
        shutil.copytree(folders[family], tmp_path / family)
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / family)
        tokenizer.add_tokens(["[NAME]"], special_tokens=True)
        tokenizer.save_pretrained(tmp_path / family)
    marian = load_tokenizer(tmp_path / "marian")
    assert loses_spaces(marian)
    (text,) = texts_of(encode(["[NAME] die"], marian), marian)
    assert text == "[NAME] die"
    with pytest.raises(ModelError, match=r"added token '\[NAME\]' has the id of the language"):
        load_tokenizer(tmp_path / "m2m100")
