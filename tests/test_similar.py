"""Fuzzy matches: the measure, the search, training pairs with matches, and translating with them."""

import argparse
import random
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

from translora.data.pairs import Corpus, Pair
from translora.training.matches import match_pairs
from translora.translation.memory import Memory
from translora.translation.similar import SEPARATOR, Similar, with_match, words
from translora.translation.translator import Translator

FUZZY = Path(__file__).parent.parent / "benchmarks" / "fuzzy.py"


def test_the_measure_is_that_of_words():
    assert words("Öffnet, das Fenster!") == ["öffnet", ",", "das", "fenster", "!"]
    assert words("文件 A1") == ["文", "件", "a1"]
    similar = Similar(["Öffnet das Fenster", "Schließt das große Fenster", "öffnet das fenster", "Ja"])
    number, similarity = similar.best("Öffnet das große Fenster", 0.6)
    assert (number, similarity) == (0, 0.75)
    assert similar.best("Öffnet das große Fenster", 0.8) is None
    assert similar.best("Öffnet das große Fenster", 0.6, skipped=0).number == 1
    assert similar.best("ÖFFNET das Fenster", 0.7) is None, "the same words are no fuzzy match"
    assert similar.best("", 0.6) is None


@pytest.mark.parametrize("least", [0.3, 0.6, 0.85])
def test_the_search_finds_what_a_search_of_all_finds(least):
    draw = random.Random(1)
    texts = [" ".join(draw.choice("abcdefg") for _ in range(draw.randint(1, 8))) for _ in range(150)]
    similar = Similar(texts)
    for i, text in enumerate(texts):
        every = [
            Levenshtein.normalized_similarity(words(text), words(other)) if words(other) != words(text) else 0.0
            for other in texts
        ]
        found = similar.best(text, least, i)
        assert (found.similarity if found else 0.0) == pytest.approx(max(every) if max(every) >= least else 0.0)


def test_training_pairs_get_the_matches_of_others():
    pairs = [Pair(f"Das ist der lange Satz Nummer {i}", f"This is sentence {i}") for i in range(40)]
    pairs += [Pair("Ganz etwas anderes", "Something else"), Pair("Das ist der lange Satz Nummer %d", "Number %d")]
    made = match_pairs(Corpus.of(pairs), 0.6, 3)
    assert made.matched == 40
    changed = [(old, new) for old, new in zip(pairs, made.corpus, strict=True) if old.source != new.source]
    assert len(changed) == made.given
    assert 10 < made.given < 30
    for old, new in changed:
        source, _, match = new.source.partition(SEPARATOR)
        assert (source, new.target) == old[:2]
        assert match != new.target
        assert match in {pair.target for pair in pairs[:40]}
    assert match_pairs(Corpus.of(pairs), 0.6, 3).corpus.sources == made.corpus.sources


def test_only_a_model_that_was_trained_so_gets_matches(tiny_model, caplog):
    translator = Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=6)
    memory = Memory("tm.tmx", {"Das ist ein Satz": "This is one", "Das ist ein %s": "That is %s"})
    lines = ["Das ist der Satz", "Das ist ein Satz", "Das ist ein %d", "Ja"]
    plain = translator.translate(lines)
    texts = [one.text for one in translator.decode(lines, memory=memory)]
    assert texts == [plain[0], "This is one", plain[2], plain[3]]
    memory.say("a")
    assert "a: 1 of 4 lines are exact matches of tm.tmx" in caplog.text
    translator.config = replace(translator.config, data=replace(translator.config.data, fuzzy="memory"))
    found = [one.text for one in translator.decode(lines, memory=memory)]
    expected = translator.translate(with_match(lines[0], "This is one"))
    assert found == [expected, "This is one", plain[2], plain[3]]
    memory.say("b")
    assert "b: 1 of 4 lines are exact matches of tm.tmx; 1 others were translated with a fuzzy match" in caplog.text
    assert [one.text for one in translator.decode(lines, memory=memory, fuzzy="off")] == texts


def test_a_run_is_trained_with_matches(tiny_config, tmp_path, caplog):
    import translora

    file = tmp_path / "pairs.tsv"
    rows = [f"Das ist der lange Satz Nummer {i}\tThis is the long sentence {i}\n" for i in range(60)]
    file.write_text("".join(rows), encoding="utf-8")
    data = replace(
        tiny_config.data, train=translora.SourceConfig(path=str(file)), validation_size=5, test_size=5, fuzzy="memory"
    )
    run = translora.train(replace(tiny_config, data=data), score=False)
    assert "data: 50 of 50 training pairs have a fuzzy match among the others (from 0.6)" in caplog.text
    assert run.translator().config.data.fuzzy == "memory"
    arguments = argparse.Namespace(run=str(run.folder), baseline="", memory=str(file), data=str(file), beams=1)
    file.write_text("".join(rows[:30]), encoding="utf-8")
    arguments.data = str(tmp_path / "test.tsv")
    (tmp_path / "test.tsv").write_text("".join([*rows[25:40], "Ja\tYes\n"]), encoding="utf-8")
    figures = runpy.run_path(str(FUZZY))["measured"](arguments)
    assert (figures["segments"], figures["of"]) == (10, 16)
    assert set(figures["bleu"]) == {"the match's translation as it is", "without the match", "with the match"}
    assert figures["bleu"]["the match's translation as it is"] > 50
