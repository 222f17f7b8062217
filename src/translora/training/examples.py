"""From pairs to the token ids that a model learns from: with marks and terms, where the recipe asks for them."""

from __future__ import annotations

from translora.config import Config
from translora.data.pairs import Corpus
from translora.data.tokens import TokenisedCorpus, tokenise
from translora.io import console
from translora.models.load import LoadedModel
from translora.training.matches import match_pairs
from translora.training.protection import ProtectedPairs, marks_protector, protect_pairs
from translora.training.terminology import with_terms
from translora.translation.terms import Glossary


def tokenised(translator: LoadedModel, corpus: Corpus, config: Config) -> TokenisedCorpus:
    """The pairs of `corpus` as token ids for the model, each side at most `data.max_tokens` long."""
    corpus = _marked(translator, corpus, config).corpus
    return tokenise(corpus, translator.tokenizer, translator.prompt, config.data.max_tokens)


def training_examples(
    translator: LoadedModel, corpus: Corpus, config: Config, glossary: Glossary | None = None
) -> TokenisedCorpus:
    """The training examples of `corpus`, followed by their reverse with `data.both_directions`.

    With `glossary` the translations of terms, or with `data.fuzzy` those of fuzzy matches, are in the sources of some,
    but not in those of the reverse.
    """
    made = _marked(translator, corpus, config, config.data.placeholders_share)
    if config.data.placeholders == "protect":
        console.notice(
            f"data: placeholders of {made.protected:,} training pairs are marks; {made.left:,} pairs whose sides hold "
            f"other ones stay as they are" + (f"; {made.added:,} without any got some" if made.added else "")
        )
    corpus = made.corpus
    made_of = (
        _matched(corpus, config) if glossary is None else with_terms(corpus, glossary, translator.tokenizer, config)
    )
    examples = tokenise(made_of, translator.tokenizer, translator.prompt, config.data.max_tokens)
    if config.data.both_directions:
        with translator.reversed(config.source, config.target) as prompt:
            examples += tokenise(corpus.reversed(), translator.tokenizer, prompt, config.data.max_tokens)
    return examples


def _matched(corpus: Corpus, config: Config) -> Corpus:
    """The pairs with the translations of fuzzy matches, where the recipe asks for them."""
    if config.data.fuzzy != "memory":
        return corpus
    made = match_pairs(corpus, config.data.fuzzy_least, config.data.seed or config.seed)
    console.notice(
        f"data: {made.matched:,} of {len(corpus):,} training pairs have a fuzzy match among the others (from "
        f"{config.data.fuzzy_least:g}); {made.given:,} get it"
    )
    return made.corpus


def _marked(translator: LoadedModel, corpus: Corpus, config: Config, share: float = 0.0) -> ProtectedPairs:
    """The pairs with marks for their placeholders, where the recipe asks for them."""
    if config.data.placeholders != "protect":
        return ProtectedPairs(corpus, 0, 0)
    protector = marks_protector(translator.tokenizer, config.model, bool(config.data.glossary))
    return protect_pairs(corpus, protector, share, config.data.seed or config.seed)
