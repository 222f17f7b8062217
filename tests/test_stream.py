"""Files of many lines: chunk by chunk, taken up after a kill, and long lines sentence by sentence."""

import json
import time

import pytest

import forked
from translora.errors import ConfigError, DataError
from translora.translation import stream
from translora.translation.stream import translate_file
from translora.translation.translator import Translator

LINES = [*[f"Das ist der Satz {number}." for number in range(6)], "", "Und Schluss."]


@pytest.fixture(scope="module")
def translator(tiny_model):
    return Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=5)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("".join(line + "\n" for line in LINES))
    return path


@pytest.fixture
def chunks_of_three(monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 3)


@pytest.mark.usefixtures("chunks_of_three")
def test_a_file_in_chunks_is_the_file_at_once(translator, source, tmp_path, capsys):
    expected = translator.translate(LINES)
    capsys.readouterr()
    translate_file(translator, source, tmp_path / "new" / "out.txt")
    assert (tmp_path / "new" / "out.txt").read_text() == "".join(text + "\n" for text in expected)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.txt"]
    said = capsys.readouterr().err
    assert said.count("reached decoding.max_tokens (5)") == 1
    assert "line 1 (and 6 more)" in said  # one is empty


@pytest.mark.usefixtures("chunks_of_three")
def test_an_interrupted_file_is_gone_on_with(translator, source, tmp_path, capsys, monkeypatch):
    output = tmp_path / "out.txt"
    whole = translator.translate(LINES)
    real, calls = translator.decode, []

    def decode(lines, **named):
        calls.append(list(lines))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(lines, **named)

    monkeypatch.setattr(translator, "decode", decode)
    with pytest.raises(KeyboardInterrupt):
        translate_file(translator, source, output)
    assert "3 of 8 lines are in" in capsys.readouterr().err
    assert not output.exists()
    with pytest.raises(ConfigError, match="has 3 translated lines of an earlier start: add --resume to go on"):
        translate_file(translator, source, output)
    with pytest.raises(ConfigError, match="begun with another beams: ask for the same"):
        translate_file(translator, source, output, stream.TextOptions(beams=2), resume=True)
    with pytest.raises(ConfigError, match="begun with another protect and patterns: ask for the same"):
        translate_file(translator, source, output, stream.TextOptions(protect="off", patterns=("x",)), resume=True)
    with open(tmp_path / "out.txt.partial", "a") as partial:
        partial.write("half a li")  # what a kill in the middle of a chunk leaves
    calls[:] = [[], []]
    translate_file(translator, source, output, resume=True)
    assert calls[2:] == [LINES[3:6], LINES[6:]]
    assert output.read_text().splitlines() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt"]


@pytest.mark.usefixtures("chunks_of_three")
def test_what_was_left_and_does_not_fit_is_one_line(translator, source, tmp_path):
    output, state = tmp_path / "out.txt", tmp_path / "out.txt.partial.json"
    asked = stream.asked_of(translator, stream.TextOptions(1), *stream.digest_of(source)).__dict__
    (tmp_path / "out.txt.partial").write_text("eins\n")
    state.write_text(json.dumps({"asked": asked, "lines": 3, "bytes": 50}))
    with pytest.raises(DataError, match="is shorter than .* says: delete both"):
        translate_file(translator, source, output, resume=True)
    state.write_text(json.dumps({"asked": asked, "lines": 1}))
    with pytest.raises(DataError, match="is damaged .* to start over"):
        translate_file(translator, source, output, resume=True)
    state.write_text(json.dumps({"asked": {**asked, "input_sha256": "other"}, "lines": 1, "bytes": 5}))
    with pytest.raises(ConfigError, match="another input sha256"):
        translate_file(translator, source, output, resume=True)


def test_a_line_that_cannot_be_read_is_said_before_any_work(translator, tmp_path):
    path = tmp_path / "in.txt"
    path.write_bytes(b"eins\nzwei\n\xff\n")
    with pytest.raises(DataError, match=r"in.txt:3: not UTF-8"):
        translate_file(translator, path, tmp_path / "out.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


@pytest.mark.slow
def test_a_killed_command_goes_on(tiny_model, tmp_path):
    lines = [f"Das ist der lange Satz mit der Nummer {number}." for number in range(4_500)]
    (tmp_path / "in.txt").write_text("".join(line + "\n" for line in lines))
    command = ["translate", tiny_model, "in.txt", "-o", "out.txt", "--max-tokens", "4"]
    process = forked.start(*command, cwd=tmp_path)
    state = tmp_path / "out.txt.partial.json"
    while not state.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    left = json.loads(state.read_text())["lines"]
    assert left in (2_000, 4_000)
    done = forked.translora(*command, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    expected = Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=4).translate(lines)
    assert (tmp_path / "out.txt").read_text().splitlines() == expected


def test_a_long_line_is_translated_sentence_by_sentence(tiny_model, capsys):
    translator = Translator.from_pretrained(tiny_model, source="de", target="en", max_tokens=5)
    sentence = "Das ist der Satz."
    (alone,) = translator.translate([sentence], details=True)
    assert translator.config.data.max_tokens == 256
    long = " ".join([sentence] * 80)
    capsys.readouterr()
    (found,) = translator.translate([long], details=True)
    assert found.text == " ".join([alone.text] * 80)
    assert found.score == pytest.approx(alone.score)
    said = capsys.readouterr().err
    assert "line 1 has more than 256 tokens, as many as training took: translated sentence by sentence" in said
