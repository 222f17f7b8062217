"""The sections of a recipe about pairs: where they come from, how they are cleaned and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from translora.config.section import Amount, AtLeastTwo, Count, Place, Positive, Seed, Share, Switch, Text, section


@section()
class SourceConfig:
    """Where sentence pairs come from. An empty path means: not given."""

    path: Place = ""
    """A file, a folder saved by `datasets`, the name of a data set on the hub, or `mini` (the embedded corpus)."""
    target_path: Place = ""
    """The file of target lines, where source and target lie in two aligned text files."""
    format: Literal[
        "auto", "tsv", "csv", "json", "jsonl", "parquet", "text", "tmx", "po", "xliff", "sgm", "folder", "hub", "mini"
    ] = "auto"
    """The file format; `auto` goes by the name (.tsv, .csv, .json, .jsonl, .parquet, .tmx, .po, .xlf, .xliff,
    .sdlxliff, each also .gz or .zst), and takes WMT's SGM and XML (`sgm`) for what they are by their root."""
    name: Text = ""
    """The configuration of a hub data set, such as `de-en`."""
    split: Text = ""
    """The split, with an optional slice: `train`, `train[:1%]`, `test[:500]`; of a file, a slice alone."""
    columns: tuple[Text, ...] = ()
    """The source and the target column, by name or by number from 1; by default those that a header names for the two
    languages, else the only two there are."""
    separator: Text = ""
    """What separates the cells of a CSV or TSV file; by default what the file itself shows."""
    header: Literal["auto", "yes", "no"] = "auto"
    """Whether the first row names the columns; `auto` takes it for a header where it names the two languages."""
    codes: Literal["drop", "keep"] = "drop"
    """Inline codes of TMX and XLIFF: dropped, or kept as the tags that documents have (`<g id="1">`, `<x id="2"/>`),
    from which `data.placeholders: protect` learns to place them."""
    limit: Count = 0
    """Read at most this many pairs; 0 reads all."""

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if columns and len(columns) != 2:
            raise ValueError(f"name two columns, source and target, not {len(columns)}")
        return columns


@section("data.cleaning")
class CleaningConfig:
    """Which training pairs are left out; they are counted, and some of them shown.

    Pairs with an empty side, and pairs that occur in validation or test, always are.
    """

    bad_lines: Literal["stop", "skip"] = "stop"
    """What to do at a line that cannot be read (not UTF-8, a column too few): stop there, or skip and count it."""
    control: Literal["drop", "keep"] = "drop"
    """Control characters, lone carriage returns, and U+FFFD, the mark of a broken encoding."""
    identical: Literal["drop", "keep"] = "keep"
    """Source and target are the same."""
    html: Literal["drop", "keep", "unescape"] = "keep"
    """HTML entities such as &amp;, of which text taken from web pages is full."""
    max_chars: Count = 5000
    """Longest side in characters; 0 has no limit."""
    max_words: Count = 0
    """Longest side in words between white space; 0 has no limit."""
    max_ratio: Amount = 9.0
    """Longest side as a multiple of the other in characters, plus ten; 0 has no limit."""
    duplicates: Literal["keep", "exact", "normalised", "near"] = "exact"
    """Pairs that came before, as they are or but for case, white space and outer punctuation; `near` also those that
    an earlier kept pair is nearly like: the Jaccard similarity of words and word bigrams (of characters in scripts
    without spaces), numbers among them, is estimated at 0.8 or more, as the mean of both sides."""
    language: Literal["keep", "drop"] = "keep"
    """Pairs with a side that is surely in another language, as py3langid identifies it."""
    leakage: Literal["normalised", "near"] = "normalised"
    """What counts as occurring in validation or test: the same but for case, white space and outer punctuation; `near`
    also the same but for digits and punctuation, or with 70% of a held-out text's sequences of four words (of
    eight characters in scripts without spaces)."""


@section("data")
class DataConfig:
    """The three splits and how pairs become examples."""

    train: SourceConfig = SourceConfig()
    """The pairs to learn from."""
    validation: SourceConfig = SourceConfig()
    """The pairs that choose the best checkpoint; not given: cut from train by seed."""
    test: SourceConfig = SourceConfig()
    """The pairs that are scored before and after; not given: cut from train by seed."""
    cleaning: CleaningConfig = CleaningConfig()
    """Which training pairs are left out."""
    validation_size: Positive = 500
    """Pairs cut from train where no validation split is given."""
    test_size: Positive = 500
    """Pairs cut from train where no test split is given."""
    seed: Seed = 0
    """The seed of what is cut from train and joined; 0: the run's own."""
    max_tokens: AtLeastTwo = 256
    """Longest source and longest target in tokens; longer ones are cut off, counted and reported."""
    join_share: Amount = 0.0
    """Add joined examples, this share of the training pairs in number, so that a model of short sentences meets
    long ones."""
    join_most: AtLeastTwo = 4
    """Most pairs in one joined example; the fewest is two."""
    both_directions: Switch = False
    """Give each training example also reversed, from target to source, so that one model learns both directions.
    The model must be told the target language, by its prompt or by codes. Validation and test stay as they are."""
    placeholders: Literal["keep", "protect"] = "keep"
    """`protect` puts the model's own pieces in place of placeholders and tags that both sides of a pair hold, so that
    it learns to place them, and scores with protection; `keep` leaves texts as they are."""
    placeholders_share: Share = 0.0
    """With `placeholders: protect`, the share of the training pairs without any that get some: in place of numbers and
    names that both sides hold, as tags around these, or at the edges of the text."""
    fuzzy: Literal["off", "memory"] = "off"
    """`memory` puts after the source of half of the pairs that have a fuzzy match among the other training pairs its
    translation, so that the model learns to use matches of `translate --memory` (Bulte and Tezcan 2019); needs the
    extra `fuzzy`."""
    fuzzy_least: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.6
    """The least similarity of a fuzzy match, from 0 to 1: that of the words, by edit distance."""
    glossary: Text = ""
    """A glossary (TSV, CSV or TBX), or `auto`, which makes a list of terms from the training pairs: the translations of
    terms are written into the sources, so that a model learns to follow `translate --glossary`. Not given: none are."""
    glossary_share: Share = 0.5
    """The share of the training pairs that hold a term whose sources have the translation written into them."""

    @model_validator(mode="after")
    def _check_contexts(self) -> DataConfig:
        if self.fuzzy != "off" and self.glossary:
            raise ValueError("fuzzy and glossary both write into the sources of the training pairs: set one of them")
        return self
