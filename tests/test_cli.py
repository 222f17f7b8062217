import io
import json
import subprocess
import sys

import pytest

from translora.cli import program as cli
from translora.errors import TransloraError


def call(*arguments, stdin=b"", monkeypatch=None):
    """Run a command in this process; returns its exit code."""
    if monkeypatch:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    with pytest.raises(SystemExit) as caught:
        cli.main(list(map(str, arguments)))
    return caught.value.code


COMMANDS = ["", "demo", "train", "compare", "evaluate", "report", "translate", "data", "data check", "data clean"]


@pytest.mark.parametrize("command", [command.split() for command in COMMANDS])
def test_help_of_every_command(command, capsys):
    assert call(*command, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: translora")
    if command == ["data", "clean"]:
        assert "--max_ratio" in text
    if command == ["compare"]:
        assert "--compare.rates" in text
    if command == ["train"]:
        assert "--lora.rank" in text
        assert "The rank r of the update B A. (a whole number, at least 1; default: 8)" in " ".join(text.split())


MISTAKES = [
    (["train"], 2, "train: no recipe"),
    (["train", "gone.yaml"], 2, "gone.yaml: no such recipe"),
    (["demo", "--lora.rank=x"], 2, "--lora.rank: must be a whole number, not 'x': see translora train --help"),
    (["demo", "--nonsense"], 2, "unknown argument --nonsense: see translora demo --help"),
    (["demo", "--overwrit"], 2, "unknown argument --overwrit (did you mean --overwrite?): see translora demo --help"),
    (["demo", "--seed"], 2, "--seed: needs a value, as in --seed=VALUE: see translora demo --help"),
    (["demo", "-x"], 2, "unknown argument -x: see translora demo --help"),
    (["train", "demo", "--compare.seeds=2"], 2, "unknown argument --compare.seeds: see translora train --help"),
    (["compare", "demo", "--compare.seeds=0"], 2, "--compare.seeds: must be at least 1, not 0"),
    (["compare", "demo", "--seeds", "-1"], 2, "compare.seeds: must be at least 1, not -1"),
    (["demo", "--source=xx"], 2, "(source de, target en or source en, target de), not xx to en"),
    (["demo", "--source=xx", "--init=random", "--method=full"], 1, "mini holds German and English (de, en), not xx to"),
    (["demo", "--data.train.path=gone.tsv"], 1, "gone.tsv"),
    (["translate", "mini", "gone.txt"], 1, "gone.txt: No such file"),
    (["translate", "mini", "--loud"], 2, "unknown argument --loud: see translora translate --help"),
    (["translate"], 2, "the following arguments are required: model: see translora translate --help"),
    (["translate", "mini", "--beams", "x"], 2, "argument --beams: invalid int value: 'x'"),
    (["evaluate", "mini", "--data", "mini", "--beams", "-1"], 2, "decoding.beams: must be at least 1, not -1"),
    (["data", "check", "a.tsv", "--bogus"], 2, "unknown argument --bogus: see translora data check --help"),
    (["demo", "--data.train.limit=-1"], 2, "data.train.limit: must be at least 0, not -1"),
    (["report", "gone"], 1, "gone: no run folder"),
    (["evaluate", "mini", "--data", "gone.tsv"], 1, "gone.tsv: No such file"),
    (["evaluate", "./gone", "--data", "mini"], 1, "gone: no such model folder"),
]


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--output", "out", "gone.yaml"],
        ["train", "--output", "an output", "gone.yaml"],
        ["train", "--output=an output", "gone.yaml"],
        ["train", "--train-only", "--lora.rank", "4", "gone.yaml", "--seed", "3"],
        ["train", "--training.tensorboard", "gone.yaml"],
        ["train", "--training.tensorboard", "yes", "gone.yaml"],
        ["train", "--data.train.columns", "[1, 2]", "--", "gone.yaml"],
        ["compare", "--output", "out", "--seeds", "2", "gone.yaml"],
        ["compare", "--compare.rates", "[1e-3, 1e-2]", "gone.yaml"],
        ["data", "clean", "--max_ratio", "4", "gone.yaml", "-o", "out.tsv"],
        ["data", "clean", "--against", "a.tsv", "--max_ratio", "4", "gone.yaml", "-o", "out.tsv"],
        ["data", "clean", "-o", "out.tsv", "--columns", "1", "2", "--html", "unescape", "gone.yaml"],
    ],
    ids=" ".join,
)
def test_the_value_of_a_flag_is_not_taken_for_the_file(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tsv").write_text("Hallo\tHello\n")
    assert call(*arguments) in (1, 2)
    assert "translora: gone.yaml: " in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES)
def test_a_mistake_is_one_line_on_standard_error(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("translora: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_defect_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("translora.cli.translate.run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["translate", "mini"])


def test_errors_carry_exit_codes():
    codes = {kind.__name__: kind.exit_code for kind in TransloraError.__subclasses__()}
    assert codes["ConfigError"] == 2
    assert codes["InterruptedRunError"] == 130


def test_translate_keeps_the_lines_apart(tiny_model, capsys, monkeypatch, tmp_path):
    lines = "Guten Morgen!\r\n\nZeile mit \u2028 Trenner\nohne Ende".encode()
    assert call("translate", tiny_model, "--beams", 1, stdin=lines, monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 4
    assert out.split("\n")[1] == ""
    (tmp_path / "in.txt").write_bytes(lines)
    assert call("translate", tiny_model, tmp_path / "in.txt", "-o", tmp_path / "out.txt") == 0
    assert (tmp_path / "out.txt").read_text(encoding="utf-8") == out


def test_evaluate_prints_scores_or_one_json_object(tiny_model, corpus_file, capsys, tmp_path):
    few = tmp_path / "few.tsv"
    few.write_text("".join(corpus_file.read_text().splitlines(keepends=True)[:5]))
    hypotheses = tmp_path / "hypotheses.txt"
    assert call("evaluate", tiny_model, "--data", few, "--json", "-o", hypotheses) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores.keys() == {"bleu", "chrf", "ter", "pairs"}
    assert scores["bleu"].keys() == {"score", "signature", "interval"}
    assert scores["pairs"] == len(hypotheses.read_text().splitlines()) == 5
    assert call("evaluate", tiny_model, "--data", few) == 0
    printed = capsys.readouterr().out
    assert f"BLEU = {scores['bleu']['score']:.2f} (95% confidence: " in printed
    assert scores["bleu"]["signature"] in printed


def test_the_installed_command_runs():
    result = subprocess.run([sys.executable, "-m", "translora", "--version"], capture_output=True, text=True)
    assert result.stdout.startswith("translora 0.")
