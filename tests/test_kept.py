"""What must survive is in every translation, whatever the model does; other lines are translated as ever."""

from collections import Counter

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

import translora
from translora.cli import main
from translora.errors import ConfigError
from translora.models.load import give_own_head
from translora.translation.decode import candidates
from translora.translation.kept import marks_of
from translora.translation.protect import PIECES, Protector
from vocabularies import bpe, byte_level, corpus_lines, unigram

LINES = [
    "Die Datei %1$s konnte nicht geöffnet werden: %2$s",
    "Guten Morgen!",
    'Das <g id="1">ist <g id="2">sehr</g> gut</g><x id="3"/>.',
    "",
    "{0} – {1}",
    "Schreiben Sie an max@example.org oder <ph3>.",
]


def status(*arguments):
    """The exit status of the command."""
    with pytest.raises(SystemExit) as left:
        main([str(one) for one in arguments])
    return left.value.code


FOUND = [Protector().found(line) for line in LINES]


@pytest.fixture(scope="module")
def mini():
    return translora.Translator.from_pretrained("mini")


@pytest.fixture(scope="module")
def random_model(tiny_model):
    """Its weights are random: it keeps nothing."""
    return translora.Translator.from_pretrained(tiny_model, max_tokens=6)


@pytest.fixture(scope="module")
def untaught(tmp_path_factory):
    """A model of random weights whose vocabulary has bytes and no pieces for placeholders."""
    folder, tokenizer = tmp_path_factory.mktemp("untaught"), byte_level(corpus_lines())
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_heads=2, num_layers=1, num_decoder_layers=1,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0, tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(config)
    give_own_head(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return translora.Translator.from_pretrained(folder, max_tokens=6)


def test_the_embedded_base_copies_its_pieces(mini):
    found = mini.translate(LINES, details=True)
    assert [Protector().found(one.text) for one in found[:2]] == FOUND[:2]
    assert [one.placeholders for one in found][:2] == ["model", ""]
    assert found[4].text == LINES[4]
    assert found[4].placeholders == "copied"
    assert all(Counter(Protector().found(one.text)) == Counter(row) for one, row in zip(found, FOUND, strict=True))


def test_lines_without_are_translated_as_with_protection_off(mini):
    plain = ["Guten Morgen!", "Wo ist der Bahnhof? 5 & 6, 100 % sicher.", ""]
    alone = mini.translate(plain, protect="off", details=True)
    assert [one for one in mini.translate([*plain, *LINES], details=True)][:3] == alone


@pytest.mark.parametrize("which", ["random_model", "untaught"])
def test_a_model_that_keeps_nothing_loses_nothing(which, request, caplog):
    translator = request.getfixturevalue(which)
    found = translator.translate(LINES, details=True)
    assert [one.placeholders for one in found] == ["repair", "", "repair", "", "copied", "repair"]
    assert [Protector().found(one.text) for one in found] == FOUND
    (said,) = (text for text in caplog.messages if "lost a placeholder" in text)
    assert "the model lost a placeholder or a tag of line 1 (and 2 more): the text between them was" in said
    assert found[0].score < 0


def test_a_wider_search_is_tried_first(mini):
    lines = [f"Die Datei {{name{i}}} und {{b}} konnte <b>nicht</b> von %s geöffnet werden, {{c}}." for i in range(2)]
    lines += ["Gib <a>{x}</a> in {y} ein, um {z} von <b>{u}</b> nach <i>{v}</i> zu kopieren %s %d."]
    found = mini.translate(lines, details=True)
    assert {one.placeholders for one in found} <= {"model", "retry", "repair"}
    assert all(Protector().kept(line, one.text) for line, one in zip(lines, found, strict=True))


def test_what_grows_together_with_its_neighbour_is_lost(mini):
    """The base writes `<ph0>s model`, which would be a placeholder that no program knows."""
    text = "LibreOffice %PRODUCTVERSION Zeichnung"
    one = mini.translate(text, details=True)
    assert Protector().found(one.text) == ["%PRODUCTVERSION"]
    (part,) = Protector().protect(text)
    assert part.kept_in("<ph0>s model")
    assert not Protector().kept(text, part.restore("<ph0>s model"))


def test_sentences_are_tried_one_by_one_before_parts_of_them(mini):
    last = "<b>{a} {b} {c} {d} {e} {f} {g} {h} Dateien von <i>{j}</i> {k} {l}. Bitte</b> warten Sie {x} {y} {z}."
    one = mini.translate("Hier ist der Text. " * 3 + last, details=True)
    assert one.placeholders == "repair"
    assert Protector().kept(last, one.text)
    assert one.text.startswith(" ".join([mini.translate("Hier ist der Text.")] * 2))  # a tag follows the third


def test_several_candidates_are_those_of_beam_search(mini):
    from translora.config import DecodingConfig

    decoding = DecodingConfig(beams=4)
    (several,) = candidates(mini.loaded, ["Wo ist der Bahnhof?"], decoding, scores=True)
    assert several[0].text == mini.translate("Wo ist der Bahnhof?", beams=4)
    assert len({one.text for one in several}) > 1
    assert len(several) == 4
    assert all(one.score < 0 for one in several)


FRAGMENTS = [
    "%s",
    " {x} ",
    "<b>",
    "</b>",
    " <i>",
    "</i> ",
    "&amp;",
    "Haus ",
    " Tür",
    ". Und",
    "<ph1>",
    " 5",
    "\\n",
    "  ",
]


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join), max_size=4))
def test_whatever_the_text_nothing_is_lost(random_model, texts):
    protector = Protector()
    for text, one in zip(texts, random_model.translate(texts, details=True), strict=True):
        rest = one.text
        for original in protector.found(text):
            assert original in rest
            if one.placeholders == "repair":  # in the order of the source
                rest = rest[rest.index(original) + len(original) :]


def test_long_lines_and_many_placeholders_are_cut_outside_of_them(random_model, caplog):
    text = " ".join(f"Das ist <a. b='{i}'> Satz. Und {{c. d{i}}} auch." for i in range(30))
    one = random_model.translate(text, details=True)
    assert Protector().found(one.text) == Protector().found(text)
    assert any("has more different placeholders than the model has marks for" in said for said in caplog.messages)


def test_marks_are_those_that_a_tokenizer_gives_back(mini):
    assert marks_of(mini.tokenizer) == (PIECES, True)
    lines = corpus_lines()
    spelt, taught = marks_of(byte_level(lines))
    assert (spelt.before, spelt.after, taught) == ("[X", "X]", False)
    for tokenizer in (unigram(lines), bpe(lines)):
        marks, taught = marks_of(tokenizer)
        assert not taught
        assert marks is None or "extra_id" not in marks.before


def test_the_users_patterns_are_kept(mini, tmp_path, capsys):
    path = tmp_path / "in.txt"
    path.write_text("Starten Sie ACME-Werk 12 neu.\nStarten Sie neu.\n", encoding="utf-8")
    assert status("translate", "mini", path, "--pattern", r"ACME-\w+", "--pattern", r"\d+ neu") == 0
    out = capsys.readouterr().out.splitlines()
    assert "ACME-Werk" in out[0]
    assert "12 neu" in out[0]
    assert status("translate", "mini", path, "--protect", "off") == 0
    assert capsys.readouterr().out.splitlines()[1] == out[1] == mini.translate("Starten Sie neu.")


def test_mistakes_are_one_line(mini, tmp_path, capsys):
    with pytest.raises(ConfigError, match="protect: must be one of 'auto', 'off', not 'on'"):
        mini.translate("a", protect="on")
    with pytest.raises(ConfigError, match=r"pattern '\[': no regular expression \(.*\)"):
        mini.translate("a", patterns=["["])
    path = tmp_path / "in.txt"
    path.write_text("eins\n")
    for flags, message in (
        (["--pattern", "("], "pattern '(': no regular expression"),
        (["--pattern", "a", "--protect", "off"], "--pattern: what it finds is not kept with --protect off"),
    ):
        assert status("translate", "mini", path, *flags) == 2
        assert message in capsys.readouterr().err
