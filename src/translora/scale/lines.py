"""Translating lines in shards: each worker holds one model, and the result is that of one process.

A shard is as many lines as one process translates at a time, so that lines are put together in the same batches.
"""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from translora.data.pairs import chunks
from translora.data.readers.wmt import text_segments
from translora.errors import ModelError
from translora.io.files import atomic_file
from translora.scale.shards import Engine, Function, Work, key_of, map_shards, read_shard, shard_folder
from translora.translation.configuration import Shortlisting
from translora.translation.memory import Memory
from translora.translation.notes import Notes
from translora.translation.result import Translation
from translora.translation.review import Review
from translora.translation.stream import CHUNK, Asked, Rated, TextOptions, asked_of, digest_of, say_all
from translora.translation.terms import Glossary, Term, TermUse
from translora.translation.translator import Translator

_BESIDE = b"beside"


@dataclass(frozen=True)
class ModelName:
    """A model as the user named it; see `Translator.from_pretrained`."""

    name: str
    source: str = ""
    target: str = ""
    max_tokens: int = 0
    shortlist: Shortlisting | None = None

    def load(self) -> Translator:
        """The translator."""
        return Translator.from_pretrained(
            self.name, source=self.source, target=self.target, max_tokens=self.max_tokens, shortlist=self.shortlist
        )


@dataclass(frozen=True)
class LineJob:
    """Lines to translate, and how."""

    model: ModelName
    translator: Translator
    """The same model, loaded here: its weights are not read for that."""
    options: TextOptions
    scores: bool = False
    """Whether each translation gets its score."""
    rows: int = CHUNK
    """The lines of a shard."""

    def translate(
        self, lines: Iterable[str], folder: Path, engine: Engine, notes: Notes
    ) -> Iterator[list[Translation]]:
        """The translations of each shard of `lines`, in order, whose results lie in `folder`; `notes` get what is said.

        Raises `ModelError` where a machine has another model of that name.
        """
        files = map_shards(self._work(), chunks(lines, self.rows), folder, engine)
        decoding = self.translator.decoding(self.options.beams)
        for file in files:
            table = read_shard(file)
            beside = json.loads(table.schema.metadata[_BESIDE])
            notes.merge(beside["notes"], decoding)
            if memory := self.options.memory:
                memory.count(*beside["memory"])
            yield [_translation(json.loads(one)) for one in table["found"].to_pylist()]

    def _work(self) -> Work:
        options, translator = self.options, self.translator
        asked = asked_of(translator, options, "", 0)
        terms = options.glossary.terms if options.glossary else None
        plain = dataclasses.replace(options, glossary=None)
        make = partial(_line_translator, self.model, asked, plain, terms, self.scores)
        return Work("translate", "sentences", make, key_of("translate", repr(asked), repr(self.scores)))


def _line_translator(
    model: ModelName, asked: Asked, options: TextOptions, terms: Sequence[Term] | None, scores: bool
) -> Function:
    """Translates shards: a row for each line, and in the metadata what there is to say of them."""
    translator = model.load()
    if terms is not None:
        config = translator.config
        options = dataclasses.replace(options, glossary=Glossary(terms, config.source, config.target))
    if asked_of(translator, options, "", 0) != asked:
        raise ModelError(f"{model.name}: {socket.gethostname()} has another model there: copy the same to each machine")

    def translate(lines: Sequence[str]) -> pa.Table:
        notes, memory = translator.notes("translate", "--max-tokens"), options.memory or Memory()
        memory.asked = memory.matched = memory.given = 0
        found = translator.decode(lines, **vars(options), scores=scores, notes=notes)
        beside = {"notes": notes.state, "memory": [memory.asked, memory.matched, memory.given]}
        table = pa.table({"found": pa.array([json.dumps(dataclasses.asdict(one)) for one in found], pa.large_string())})
        return table.replace_schema_metadata({_BESIDE: json.dumps(beside).encode()})

    return translate


def _translation(fields: dict[str, Any]) -> Translation:
    """A translation as JSON has it."""
    terms = (TermUse(**{**one, "term": Term(**_tuples(one["term"]))}) for one in fields.pop("terms"))
    others = tuple(map(_translation, fields.pop("alternatives")))
    return Translation(**fields, terms=tuple(terms), alternatives=others)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def translate_file_in_shards(
    job: LineJob, path: Path, output: Path, engine: Engine, review: Review | None = None
) -> None:
    """Translate the lines of the file `path` to the file `output`, as `translate_file` does, with the same errors.

    The results lie beside `output` meanwhile; where they are there from an earlier start, they are taken over.
    """
    digest_of(path)  # says now where a line cannot be read
    notes, rated = job.translator.notes("translate", "--max-tokens"), Rated(review, str(path))
    with shard_folder(output.with_name(f"{output.name}.shards")) as folder:
        found = job.translate(text_segments(path, "src"), folder, engine, notes)
        sources = chunks(text_segments(path, "src"), job.rows)
        with atomic_file(output) as temporary, open(temporary, "wb") as stream:
            for lines, translations in zip(sources, found, strict=True):
                rated.add(lines, translations)
                stream.write("".join(one.text + "\n" for one in translations).encode())
    say_all(notes, job.options, str(path), rated.tally)
