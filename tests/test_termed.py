"""Translations that follow a glossary: annotated where training taught it, else the best candidate; counted."""

import dataclasses
import json
import re

import pytest

import translora
from translora.cli import main
from translora.config import SourceConfig
from translora.data.pairs import Corpus, Pair
from translora.data.tokens import encode
from translora.errors import ConfigError
from translora.training.term_list import term_pairs
from translora.training.terminology import annotate_pairs, training_glossary
from translora.translation.exported import MARKER, Marker, read_marker
from translora.translation.glossary import read_glossary
from translora.translation.kept import marks_of, term_marks
from translora.translation.tally import TermTally
from translora.translation.termed import Terminology
from translora.translation.terms import Glossary, Term, TermMarks, TermUse
from vocabularies import bpe, byte_level, corpus_lines, unigram

MEAL, HOME = Term(("Essen",), ("meal",)), Term(("Wohnung",), ("home",))
LINES = ["Das Essen war gut.", "Er wohnt in einer kleinen Wohnung.", "Hallo!", "<b>Das Essen</b> war gut.", ""]


@pytest.fixture(scope="module")
def mini():
    return translora.Translator.from_pretrained("mini")


@pytest.fixture(scope="module")
def glossary():
    return Glossary([MEAL, HOME, Term(("gut",), ("splendiferous",))], "de", "en")


def test_the_candidate_that_honours_most_is_taken_and_what_is_missed_is_said(mini, glossary):
    plain = mini.translate(LINES)
    found = mini.translate(LINES, glossary=glossary, details=True)
    assert "meal" not in plain[0]
    assert "meal" in found[0].text
    assert "home" in found[1].text
    assert [found[2].text, found[4].text] == [plain[2], ""]
    assert "<b>" in found[3].text
    assert "</b>" in found[3].text
    assert found[0].terms == (TermUse(MEAL, 1, 1), TermUse(glossary.terms[2], 1, 0))
    assert found[2].terms == found[4].terms == ()
    assert mini.translate(LINES) == plain


def test_the_model_reads_annotations_where_it_was_trained_so(mini, glossary):
    marks = term_marks(mini.tokenizer)
    assert marks == TermMarks("<ph30>", "<ph31>")
    assert marks_of(mini.tokenizer, terms=True)[0].count == 30
    terms = Terminology(glossary, marks, mini.guard().spans)
    assert terms.sent(["Das Essen war gut.", "Essen <ph30>"]) == [
        "Das Essen <ph30> meal <ph31> war gut <ph30> splendiferous <ph31>.", "Essen <ph30>",
    ]  # fmt: skip
    config = dataclasses.replace(mini.config, data=dataclasses.replace(mini.config.data, glossary="auto"))
    taught = translora.Translator(mini.loaded, config)
    assert taught.terminology(glossary, taught.guard()).sent(["Essen"]) == ["Essen <ph30> meal <ph31>"]
    assert mini.terminology(glossary, mini.guard()).sent(["Essen"]) == ["Essen"]
    for one in taught.translate(["Das Essen war <b>gut</b>.", "<ph31> Essen"], glossary=glossary):
        assert "<ph30>" not in one  # this model was not trained so, but no mark of ours may stay


@pytest.mark.parametrize("make", [bpe, unigram, byte_level])
def test_vocabularies_without_pieces_have_signs(make):
    assert term_marks(make(corpus_lines())) == TermMarks("[[", "]]")


def test_an_export_says_whether_its_run_had_a_glossary(tmp_path):
    marker = Marker(
        "merged", "float32", "de", "en", "<2en> ", "mini", {"beams": 2}, {"glossary": "auto", "max_tokens": 40}
    )
    rows = dataclasses.asdict(marker)
    older = {name: value for name, value in rows.items() if name != "data"}
    written = [(rows, "auto", 40), ({**older, "glossary": "auto"}, "auto", 256), (older, "", 256)]
    for found, glossary, most in written:  # the last two as older versions wrote them
        (tmp_path / MARKER).write_text(json.dumps(found))
        data = read_marker(tmp_path).config(tmp_path).data
        assert (data.glossary, data.max_tokens) == (glossary, most)


def status(*arguments):
    """The exit status of the command."""
    with pytest.raises(SystemExit) as left:
        main([str(one) for one in arguments])
    return left.value.code


def test_the_command_says_how_many_terms_were_honoured(tmp_path, capsys):
    (tmp_path / "terms.tsv").write_text("Essen\tmeal\ngut\tsplendiferous\n")
    (tmp_path / "in.txt").write_text("Das Essen war gut.\nHallo!\nGut.\n")
    (tmp_path / "in.md").write_text("# Das Essen war gut.\n\nHallo!\n\nDas Essen war gut.\n")
    command = ["translate", "mini", "--glossary", tmp_path / "terms.tsv", "-o"]
    assert status(*command, tmp_path / "out.txt", tmp_path / "in.txt") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "glossary: 1 of 3 terms honoured (33.3%)" in said
    assert "terms.tsv:2: gut = splendiferous was not honoured in 2 of 2 places" in said
    assert "in.txt:1" in said
    assert "in.txt:3" in said
    assert "meal" in (tmp_path / "out.txt").read_text()
    assert status(*command, tmp_path / "out.md", tmp_path / "in.md") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "glossary: 2 of 4 terms honoured (50.0%)" in said
    assert "in.md:1" in said
    assert "in.md:5" in said
    assert (
        status(*command, tmp_path / "json.txt", tmp_path / "in.txt", "--json", "--report", page := tmp_path / "r.html")
        == 0
    )
    assert "terms.tsv: 1 of 3 terms honoured (33.3%)" in page.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["flags"] for row in rows] == [["term"], [], ["term"]]
    assert rows[0]["terms"] == [
        {"source": "Essen", "target": "meal", "occurred": 1, "honoured": 1},
        {"source": "gut", "target": "splendiferous", "occurred": 1, "honoured": 0},
    ]
    assert status(*command, tmp_path / "no.txt", tmp_path / "in.txt", "--glossary", tmp_path / "in.txt") == 1
    assert "in.txt:1: 1 column(s) where 2 are needed" in " ".join(capsys.readouterr().err.split())


def test_counts_add_up_and_are_json(glossary):
    tally = TermTally()
    for place, uses in (("a:1", [TermUse(MEAL, 2, 1), TermUse(HOME, 1, 1)]), ("a:2", [TermUse(MEAL, 1, 0)])):
        tally.add(place, uses)
    assert (tally.occurred, tally.honoured) == (4, 2)
    assert tally.missed == [TermUse(MEAL, 3, 1)]
    terms = json.loads(json.dumps(tally.as_dict()))["terms"]
    assert terms[0] == {"source": "Essen", "target": "meal", "occurred": 3, "honoured": 1, "missed_at": ["a:1", "a:2"]}


PAIRS = [
    *(Pair(f"Die Datei {i} öffnen", f"Open file {i}", "f", i) for i in range(20)),
    *(Pair(f"Keine Datei {i}", f"No file {i}", "f", i) for i in range(10)),
    *(Pair(f"Ordner {i} löschen", f"Delete directory {i}", "f", i) for i in range(20)),
    *(Pair(f"Die Ordner {i} schließen", f"Close the directories {i}", "f", i) for i in range(10)),
]


def test_a_list_of_terms_comes_from_the_pairs():
    found = {(one.source, one.target): one for one in term_pairs(Corpus.of(PAIRS), "de", "en")}
    assert not found  # each is in more than 8% of the pairs, as function words are
    others = [Pair(f"nichts {i}", f"nothing {i}", "f", i) for i in range(400)]
    found = {(one.source, one.target): one for one in term_pairs(Corpus.of([*PAIRS, *others]), "de", "en")}
    assert found[("Ordner", "directory")].pairs == 30
    assert found[("Datei", "file")].dice == 1.0
    assert all(source.casefold() != target.casefold() for source, target in found)


def test_a_share_of_the_pairs_is_annotated_by_seed():
    terms = Glossary(
        [Term(("Datei",), ("file",)), Term(("Ordner",), ("directory",)), Term(("öffnen",), ("unlock",))], "de", "en"
    )
    corpus = Corpus.of([*PAIRS, Pair("Datei <ph30>", "file <ph30>", "f", 1), Pair("a/Datei", "b/file", "f", 2)])
    marks = TermMarks("<ph30>", "<ph31>")
    every = annotate_pairs(corpus, terms, marks, 1.0, 1)
    assert (every.found, every.annotated) == (61, 61)
    assert every.corpus[60] == corpus[60]
    swapped = 0
    for made, pair in zip(every.corpus, corpus, strict=True):
        written = re.findall("<ph30> (.*?) <ph31>", made.source)
        assert marks.clean(made.source) == marks.clean(pair.source)
        assert all(translation[:8] in made.target.lower() for translation in written)  # "directories" too
        swapped += made.target != pair.target
        assert made.target == pair.target or set(written) & {"file", "directory", "unlock"}
    assert 30 < swapped < 61  # what could be guessed would not be read
    half = [annotate_pairs(corpus, terms, marks, 0.5, seed) for seed in (1, 1, 2)]
    assert 10 < half[0].annotated < 40
    assert list(half[0].corpus) == list(half[1].corpus) != list(half[2].corpus)


def test_a_run_learns_with_a_glossary_and_keeps_it(tiny_config, corpus_file, tmp_path, capsys):
    path = tmp_path / "terms.tsv"
    source, target = corpus_file.read_text(encoding="utf-8").splitlines()[0].split("\t")
    path.write_text(f"{source.split()[0]}\t{target.split()[0]}\n", encoding="utf-8")
    data = dataclasses.replace(
        tiny_config.data, train=SourceConfig(path=str(corpus_file)), glossary=str(path), glossary_share=0.9
    )
    run = translora.train(dataclasses.replace(tiny_config, data=data), score=False)
    assert "training pairs hold one of 1 terms and its translation" in " ".join(capsys.readouterr().err.split())
    kept = read_glossary(run.terms, "de", "en")
    assert [term.source for term in kept.terms] == [(source.split()[0],)]
    translator = run.translator()
    sent = translator.terminology(kept, translator.guard()).sent([source])
    assert sent != [source]
    assert len(next(encode(sent, translator.tokenizer))) > len(next(encode([source], translator.tokenizer)))
    path.write_text("anders\tother\n", encoding="utf-8")
    (run.folder / "summary.json").unlink(missing_ok=True)
    with pytest.raises(ConfigError, match="the glossary changed since the run began"):
        translora.train(dataclasses.replace(tiny_config, data=data))


def test_auto_without_terms_is_refused(tiny_config):
    data = dataclasses.replace(tiny_config.data, glossary="auto")
    with pytest.raises(translora.errors.DataError, match="no term occurs often enough in the 1 training pairs"):
        training_glossary(dataclasses.replace(tiny_config, data=data), Corpus.of([Pair("a", "b")]))


def test_the_terms_of_a_text_are_looked_up_once_for_all_its_translations(glossary):
    asked = []
    terms = Terminology(glossary, None, lambda text: asked.append(text) or ())
    text = "Das Essen war gut."
    terms.sent([text])
    assert [terms.uses(text, f"The meal {i}.")[0].honoured for i in range(8)] == [1] * 8
    assert asked == [text]
