import io
import json
import os
import subprocess
import sys

import pytest

import comet_score
from translora.config import SourceConfig
from translora.errors import ConfigError, DataError
from translora.scoring.comet import CometError, comet
from translora.translation import evaluation
from translora.translation.evaluation import Request, explained, printed, run_evaluation
from translora.translation.translator import Translator

REFERENCE = ["The house is wonderful.", "It isn't raining, is it?", "Save the file – now.", "Close it."]
SECOND = ["The house is great.", "It is not raining, is it?", "Save the file now.", "Shut it."]
HYPOTHESES = ["The house is nice.", "It is not raining, is it?", "Store the file now.", "Close it."]
BASELINE = ["House nice.", "Rain?", "Store file.", "Close."]


@pytest.fixture
def files(tmp_path):
    """Files of one sentence per line, and a corpus with the first references."""
    texts = {"hyp": HYPOTHESES, "ref": REFERENCE, "second": SECOND, "base": BASELINE, "short": HYPOTHESES[:2]}
    for name, lines in texts.items():
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    (tmp_path / "empty").touch()
    (tmp_path / "pairs.tsv").write_text("".join(f"Quelle {i}\t{line}\n" for i, line in enumerate(REFERENCE)))
    return tmp_path


def request(files, **fields):
    paths = {"hypotheses", "baseline", "data"}
    given = {key: str(files / value) if key in paths and value else value for key, value in fields.items()}
    if "data" in given:
        given["data"] = SourceConfig(path=given["data"])
    references = tuple(str(files / name) for name in fields.get("references", ()))
    return Request(**{**given, "references": references})


def sacrebleu(files, *arguments):
    command = [sys.executable, "-m", "sacrebleu", *map(str, arguments), "-w", "8", "-b"]
    return subprocess.run(command, cwd=files, capture_output=True, text=True, check=True).stdout.strip()


def test_several_references_are_scored_as_sacrebleu_does(files):
    evaluation = run_evaluation(request(files, hypotheses="hyp", references=["ref", "second"]))
    assert f"{evaluation.scores.bleu.score:.8f}" == sacrebleu(files, "ref", "second", "-i", "hyp")
    assert evaluation.scores.bleu.signature.startswith("nrefs:2|")
    also = run_evaluation(request(files, hypotheses="hyp", data="pairs.tsv", references=["second"]))
    assert also.scores == evaluation.scores
    alone = run_evaluation(request(files, hypotheses="hyp", references=["ref"]))
    assert f"{alone.scores.bleu.score:.8f}" == sacrebleu(files, "ref", "-i", "hyp")


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
def test_a_baseline_is_tested_against(files, test):
    evaluation = run_evaluation(request(files, hypotheses="hyp", references=["ref"], baseline="base", test=test))
    assert evaluation.differences["bleu"].baseline.score < evaluation.scores.bleu.score
    lines = printed(evaluation)
    assert len(lines) == 7
    assert lines[-1] == f"So few test pairs ({len(evaluation.hypotheses)}) show little: take 50 or more."
    assert "difference (p = " in lines[1]
    as_json = json.loads(json.dumps(evaluation.as_dict()))
    assert as_json["baseline"]["ter"]["p_value"] == evaluation.differences["ter"].p_value
    assert set(as_json) == {"bleu", "chrf", "ter", "pairs", "baseline"}


def test_bleu_is_explained_on_the_same_output(files):
    evaluation = run_evaluation(request(files, hypotheses="hyp", references=["ref"]))
    first, *others = explained(evaluation)
    assert first.split()[0] == f"{evaluation.scores.bleu.score:.2f}"
    assert len(others) == 3


def test_lines_are_translated_by_length_and_told_by_their_places(files, monkeypatch, caplog):
    caplog.set_level("INFO", "translora")
    monkeypatch.setattr(evaluation, "RANGE", 2)
    sources = [
        "Ja",
        "Klicken Sie auf die Schaltfläche Speichern, um das Dokument zu sichern.",
        "Datei",
        "Die Seite ist leer, und das Dokument ist noch neu.",
    ]
    (files / "lengths.tsv").write_text("".join(f"{line}\tx\n" for line in sources), encoding="utf-8")
    found = run_evaluation(request(files, model="mini", data="lengths.tsv", max_tokens=6))
    told = [record.getMessage() for record in caplog.records if "reached decoding.max_tokens" in record.getMessage()]
    translator = Translator.from_pretrained("mini", max_tokens=6)
    alone = [translator.translate(line, details=True, protect="off") for line in sources]
    assert found.hypotheses == [one.text for one in alone]
    cut = [number for number, one in enumerate(alone, 1) if one.cut]
    assert cut == [2, 4]
    assert told[0].startswith("translate: the translation of line 2 (and 1 more) reached")


MISTAKES = [
    ({}, "give a model to translate with, or --hypotheses"),
    ({"model": "mini", "hypotheses": "hyp"}, "one of the two"),
    ({"model": "mini"}, "give --data, the pairs to translate"),
    ({"hypotheses": "hyp"}, "give --data or --references"),
    ({"hypotheses": "hyp", "references": ["ref"], "comet": True}, "--comet reads the sources too"),
    ({"hypotheses": "hyp", "references": ["short"]}, "short: 2 lines for 4 of .*hyp: line by line"),
    ({"hypotheses": "short", "data": "pairs.tsv"}, "short: 2 lines for 4 of .*pairs.tsv"),
    ({"hypotheses": "hyp", "references": ["ref"], "baseline": "short"}, "short: 2 lines for 4 of references"),
    ({"hypotheses": "empty", "references": ["ref"]}, "empty: no lines in it"),
    ({"hypotheses": "gone", "references": ["ref"]}, "gone: No such file"),
    ({"hypotheses": "hyp", "references": ["gone"]}, "gone: No such file"),
]


@pytest.mark.parametrize(("fields", "message"), MISTAKES, ids=[message[:28] for _, message in MISTAKES])
def test_mistakes(files, fields, message):
    with pytest.raises((ConfigError, DataError), match=message):
        run_evaluation(request(files, **fields))


def test_comet_says_how_to_get_it(files, monkeypatch):
    monkeypatch.setenv("PATH", str(files))
    monkeypatch.delenv("TRANSLORA_COMET", raising=False)
    with pytest.raises(CometError, match="COMET is not installed: install it in an environment of its own"):
        run_evaluation(request(files, hypotheses="hyp", data="pairs.tsv", comet=True))
    monkeypatch.setenv("TRANSLORA_COMET", "gone/comet-score")
    with pytest.raises(CometError, match="gone/comet-score: no such program"):
        comet(["a"], ["b"], ["c"])


@pytest.fixture
def comet_program(tmp_path, monkeypatch):
    """`comet-score` on the path, as an environment of its own would have it."""
    program = tmp_path / "bin" / "comet-score"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {comet_score.__file__} "$@"\n')
    program.chmod(0o755)
    monkeypatch.delenv("TRANSLORA_COMET", raising=False)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def test_comet_scores_sources_hypotheses_and_references(files, comet_program, monkeypatch, tmp_path):
    sources = [f"Quelle {i}" for i in range(4)]
    expected = round(sum(comet_score.segment_scores(sources, HYPOTHESES, REFERENCE)) / 4, 4)
    assert expected != round(sum(comet_score.segment_scores(sources, REFERENCE, HYPOTHESES)) / 4, 4)
    evaluation = run_evaluation(request(files, hypotheses="hyp", data="pairs.tsv", comet=True))
    assert evaluation.comet == (expected, "Unbabel/wmt22-comet-da")
    assert evaluation.as_dict()["comet"] == {"score": expected, "model": "Unbabel/wmt22-comet-da"}
    assert printed(evaluation)[-1] == f"COMET = {expected:.4f}  Unbabel/wmt22-comet-da"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TRANSLORA_COMET", str(comet_program))
    assert comet(sources, HYPOTHESES, REFERENCE).score == expected


def test_comet_keeps_lines_together_whatever_they_hold(comet_program):
    odd = ["one\ntwo", "", "tab\there\r\nend", "a\u2028b \u0085 c"]
    plain = ["one two", "", "tab here end", "a b c"]
    assert comet(odd, odd, plain) == comet(plain, plain, plain)


def test_a_comet_that_fails_is_named_with_its_last_line(monkeypatch):
    monkeypatch.setenv("TRANSLORA_COMET", sys.executable)  # a program that does not know these arguments
    with pytest.raises(CometError, match="failed .*: run it alone to see why"):
        comet(["a"], ["b"], ["c"])


def test_the_command(files, capsys, monkeypatch):
    from translora import cli

    monkeypatch.chdir(files)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit) as caught:
        cli.main(["evaluate", "--hypotheses", "hyp", "--references", "ref", "second", "--baseline", "base", "--json"])
    assert caught.value.code == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == 4
