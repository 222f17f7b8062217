"""The scripts of the embedded corpus, the base model's corpus and its tokenizer, on small packages of each form."""

import gzip
import io
import json
import shutil
import struct
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from safetensors.torch import load_file, save_file

from translora import Translator, mini
from translora.data.cleaning.leakage import Leakage
from translora.data.pairs import Pair as CorpusPair

SCRIPTS = Path(__file__).parents[1] / "scripts" / "mini"
sys.path.insert(0, str(SCRIPTS))

import build_base  # noqa: E402
import build_libreoffice  # noqa: E402
import build_tokenizer  # noqa: E402
import export_base  # noqa: E402
import interface_strings  # noqa: E402
import placeholders  # noqa: E402
import score_base  # noqa: E402

FLUENT = """# A comment = not a message
-brand = Firefox
open = Öffnen
    .label = Datei öffnen
    .accesskey = D
long =
    Erste Zeile
    zweite Zeile

tabs = { $count ->
    [one] Ein Tab
   *[other] { $count } Tabs
}
last = Ende { $name }
"""


def test_fluent_messages_attributes_and_no_variants():
    assert dict(interface_strings.parse_fluent(FLUENT)) == {
        "-brand": "Firefox", "open": "Öffnen", "open.label": "Datei öffnen", "open.accesskey": "D",
        "long": "Erste Zeile zweite Zeile", "last": "Ende { $name }",
    }  # fmt: skip


def test_properties_with_escapes_and_continued_lines():
    text = '# x=y\nopen=\\u00d6ffnen\n a.b = Zeile \\\n    zwei = drei\nquoted=Sag \\"ja\\"\\nnun\nnothing\n'
    assert dict(interface_strings.parse_properties(text)) == {
        "open": "Öffnen", "a.b": "Zeile zwei = drei", "quoted": 'Sag "ja" nun',
    }  # fmt: skip


def archive(path, files):
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return path


def test_mozilla_files_are_joined_by_path_and_key(tmp_path):
    german = archive(tmp_path / "de.xpi", {
        "browser/localization/de/browser/a.ftl": "x = Eins\ny = Zwei\n", "chrome/de/locale/de/b.properties": "x=Drei\n",
    })  # fmt: skip
    english = archive(tmp_path / "omni.ja", {
        "localization/en-US/browser/a.ftl": "y = Two\n", "chrome/en-US/locale/en-US/b.properties": "x=Three\nz=No\n",
    })  # fmt: skip
    assert list(interface_strings.read_mozilla([german], [english])) == [("Zwei", "Two"), ("Drei", "Three")]


def test_home_assistant_texts_are_joined_by_component_and_path(tmp_path):
    place = "homeassistant/components/{}/translations/{}.json"
    wheel = archive(tmp_path / "ha.whl", {
        place.format("a", "de"): json.dumps({"config": {"title": "Titel", "only": "Nur hier"}}),
        place.format("a", "en"): json.dumps({"config": {"title": "Title"}}),
        place.format("b", "en"): json.dumps({"config": {"title": "Other"}}),
    })  # fmt: skip
    assert list(interface_strings.read_home_assistant(wheel)) == [("Titel", "Title")]


def test_libreoffice_catalogs_with_context_and_plurals(tmp_path):
    catalog = Catalog(locale="de")
    catalog.add("_Open", "_Öffnen", context="menu")
    catalog.add(("%1 page", "%1 pages"), ("%1 Seite", "%1 Seiten"))
    file = tmp_path / "resource/de/LC_MESSAGES/sw.mo"
    file.parent.mkdir(parents=True)
    with open(file, "wb") as stream:
        write_mo(stream, catalog)
    pairs = set(interface_strings.read_libreoffice(tmp_path))
    assert pairs == {("_Öffnen", "_Open"), ("%1 Seite", "%1 page"), ("%1 Seiten", "%1 pages")}


def pak(path, texts, aliases, version=5):
    """A data pack as Chromium writes it."""
    bodies = [text if isinstance(text, bytes) else text.encode() for text in texts.values()]
    start = 12 + 6 * (len(texts) + 1) + 4 * len(aliases)
    out = io.BytesIO(struct.pack("<IBxxxHH", version, 1, len(texts), len(aliases)))
    out.seek(0, io.SEEK_END)
    for number, body in zip([*texts, 0], [*bodies, b""], strict=True):
        out.write(struct.pack("<HI", number, start))
        start += len(body)
    for alias, index in aliases.items():
        out.write(struct.pack("<HH", alias, index))
    path.write_bytes(out.getvalue() + b"".join(bodies))
    return path


def test_chromium_packs_with_aliases_and_packed_resources(tmp_path):
    german = pak(tmp_path / "de.pak", {1: "Über", 2: b"\x1f\x8b\xff", 9: "Ende"}, {5: 2})
    english = pak(tmp_path / "en.pak", {1: "About", 2: b"\x1f\x8b\xff", 5: "End"}, {9: 2})
    pairs = list(interface_strings.read_chromium(german, english))
    assert pairs == [("Über", "About"), ("", ""), ("Ende", "End"), ("Ende", "End")]
    with pytest.raises(SystemExit, match="version 4"):
        interface_strings.read_chromium(pak(tmp_path / "old.pak", {}, {}, version=4), english).__next__()


PLAIN = [
    ("_Datei  öffnen", "_~", "Datei öffnen"),
    ("S_peichern", "_~", "Speichern"),
    ("a_b und c_d", "_", "a_b und c_d"),
    ("名前 (&N)", "&", "名前 "),
    ("Fehler &amp; mehr&nbsp;Text", "&", "Fehler & mehr Text"),
    ("%PRODUCTNAME %1", "", "LibreOffice %1"),
    ('{ -brand-short-name(case: "gen") } startet{ "" }', "", "Firefox startet"),
]


@pytest.mark.parametrize(("text", "marks", "expected"), PLAIN)
def test_plain_text(text, marks, expected):
    assert placeholders.plain(text, marks) == expected.strip()


PROTECTED = [
    ("{host} fehlt {code}", "{code}: {host} is missing", "<ph0> fehlt <ph1>", "<ph1>: <ph0> is missing"),
    ("<b>%1$S</b>", "<b>%1$S</b>", "<ph0><ph1><ph2>", "<ph0><ph1><ph2>"),
    ("%s von %s", "%s of %s", "<ph0> von <ph0>", "<ph0> of <ph0>"),
    ("Siehe https://a.org/x.", "See https://a.org/x.", "Siehe <ph0>.", "See <ph0>."),
    ("$(ARG1) und { $n } und $1", "$(ARG1), { $n } and $1", "<ph0> und <ph1> und <ph2>", "<ph0>, <ph1> and <ph2>"),
    ("50% mehr", "50% more", "50% mehr", "50% more"),
]


@pytest.mark.parametrize(("german", "english", "left", "right"), PROTECTED)
def test_placeholders_become_the_same_piece_on_both_sides(german, english, left, right):
    assert placeholders.protected((german, english)) == (left, right)


def test_pairs_with_other_placeholders_are_refused():
    assert placeholders.protected(("{a} hier", "{b} here")) is None
    many = " ".join(f"{{a{i}}}" for i in range(33))
    assert placeholders.protected((many, many)) is None


def test_numbers_and_names_become_pieces_by_chance_and_always_the_same():
    pairs = [(f"Bis {n} von Tom, 1.5 und {n}0", f"Up to {n} of Tom, 1,5 and {n}0") for n in range(2, 400)]
    found = [placeholders.protected(pair, numbers=0.5, names=0.5) for pair in pairs]
    assert found == [placeholders.protected(pair, numbers=0.5, names=0.5) for pair in pairs]
    assert found[0] is not None
    with_names = sum("Tom" not in german for german, _ in found)
    with_numbers = sum(not any(f"Bis {n} " in german for n in range(2, 400)) for german, _ in found)
    assert all(abs(count / len(pairs) - 0.5) < 0.1 for count in (with_names, with_numbers))
    assert all("1.5" in german and "1,5" in english for german, english in found)
    met = {piece for piece in placeholders.PIECES for german, _ in found if piece in german}
    assert met == set(placeholders.PIECES)
    for german, english in found:
        assert sorted(p for p in placeholders.PIECES if p in german) == sorted(
            p for p in placeholders.PIECES if p in english
        )


OBJECTIONS = [
    ("42", "42", "no words"),
    ("Not translated at all", "Not translated at all", "not translated"),
    ("Name", "Name", None),
    ("wort " * 81, "word " * 81, "more than 80 words"),
    ("Ja doch", "Yes, of course it is so, as everybody knows", "one side more than 3 times as long"),
    ("{a} hier", "{b} here", "other placeholders on the other side"),
    ("{n, plural, =1 {ein} other {zwei}}", "{n, plural, =1 {one} other {two}}", "other placeholders"),
    ("{name}!", "{name}!", "placeholders only"),
    ("Mach {a} auf", "Open {a}", None),
]


@pytest.mark.parametrize(("german", "english", "reason"), OBJECTIONS)
def test_which_strings_are_no_use(german, english, reason):
    found = build_base.objection(german, english)
    assert found is None if reason is None else found is not None and found.startswith(reason)


def test_what_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"0 files thunderbird_\*\.deb; expected one: apt-get download thunderbird"):
        build_base.unpack(tmp_path, "thunderbird", tmp_path)
    (tmp_path / "thunderbird_1.deb").write_bytes(b"no package")
    with pytest.raises(SystemExit, match=r"thunderbird_1\.deb: dpkg-deb cannot|dpkg-deb is not installed"):
        build_base.unpack(tmp_path, "thunderbird", tmp_path)
    with pytest.raises(SystemExit, match=r"0 files homeassistant-\*\.whl"):
        next(build_base.interface_pairs(tmp_path, tmp_path))


HELP_PAIRS = Leakage([CorpusPair("Drücken Sie die Taste Eingabe zweimal", "Press the Enter key twice")], near=True)


def test_strings_are_kept_once_and_apart_from_the_help():
    strings = [
        ("A", ("Seite öffnen", "Open page")), ("B", ("Seite öffnen", "Open page")),
        ("B", ("Drücken Sie die Taste Eingabe zweimal!", "Hit it twice")), ("B", ("12", "12")),
    ]  # fmt: skip
    kept, counts = build_base.clean(iter(strings), HELP_PAIRS)
    assert kept == [("Seite öffnen", "Open page")]
    assert counts == {
        "kept of A": 1, "dropped: duplicate": 1, "dropped: no words": 1,
        "dropped: in validation or test of the help corpus, or nearly": 1,
    }  # fmt: skip


def test_no_string_nearly_like_one_held_out_stays_in_training(monkeypatch):
    monkeypatch.setattr(build_base, "HELD_OUT", 5)
    words = ["rot", "blau", "grün", "gelb", "weiß", "braun", "lila", "grau", "rosa", "beige", "schwarz", "türkis"]
    pairs = [(f"Die {a} und {b} Datei", f"The {a} and {b} file") for a in words for b in words if a < b]
    pairs += [(f"{german} 7", f"{english} 7") for german, english in pairs] + [("Ja klar", "Yes sure")]
    train, validation, test = build_base.held_out_of(pairs)
    assert (len(validation), len(test)) == (5, 5)
    assert ("Ja klar", "Yes sure") in train
    letters = {german.removesuffix(" 7") for german, _ in [*validation, *test]}
    assert not letters & {german.removesuffix(" 7") for german, _ in train}
    assert len(train) == len(pairs) - 2 * len(letters)


PAGE = """<html><body>
<p id="par_id1">Drücken Sie <span class="switchinline"><span id="MACx" class="MAC">Befehl</span><span id="defaultx">Strg
</span></span>+A.</p>
<p id="par_id2">Eine Zeile.<br>Noch eine.</p>
<p id="par_id3">Nur <span class="switchinline"><span id="CALCx">Tabellen</span><span id="DRAWx">Folien</span></span></p>
<h2 id="hd_id3">Kopf</h2><p id="par_id1">Zweimal</p></body></html>"""


def test_the_help_has_the_default_variant_and_parted_lines(tmp_path):
    (tmp_path / "a.html").write_text(PAGE, encoding="utf-8")
    found = build_libreoffice.paragraphs(tmp_path)
    assert {place[1:]: paragraph.text for place, paragraph in found.items()} == {
        ("par_id1", 0): "Drücken Sie Strg +A.", ("par_id2", 0): "Eine Zeile. Noch eine.",
        ("par_id3", 0): "Nur Tabellen",
        ("hd_id3", 0): "Kopf", ("par_id1", 1): "Zweimal",
    }  # fmt: skip
    assert found["a.html", "par_id1", 0].all_variants == "Drücken Sie BefehlStrg +A."


def test_held_out_paragraphs_stay_where_they_were_and_out_of_training():
    places = build_libreoffice.held_out()
    assert sorted(places.values()) == ["test"] * 1000 + ["validation"] * 1000
    first, second = list(places)[:2]
    pairs = {first: ("Eins zwei drei.", "One two three."), second: ("Vier fünf sechs.", "Four five six.")}
    pairs |= {("x", "1", n): (f"Das ist Satz {n}.", f"This is sentence {n}.") for n in range(3)}
    pairs["x", "2", 0] = ("eins zwei drei", "Something else entirely")
    (train, validation, test), dropped = build_libreoffice.divided(pairs)
    assert validation == [pairs[first], pairs[second]]
    assert test == []
    assert sorted(train) == [(f"Das ist Satz {n}.", f"This is sentence {n}.") for n in range(3)]
    assert dropped == {"a side is in validation or test": 1}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A vocabulary trained on 300 pairs of the embedded corpus, with its placeholder pieces."""
    folder = tmp_path_factory.mktemp("tokenizer")
    lines = gzip.decompress((mini.CORPUS / "test.tsv.gz").read_bytes()).decode().splitlines()[:300]
    (folder / "corpus.tsv").write_text("de\ten\n" + "\n".join(lines), encoding="utf-8")
    corpus = str(folder / "corpus.tsv")
    pieces = build_tokenizer.train_sentencepiece([corpus], 800, folder)
    return build_tokenizer.build_tokenizer(build_tokenizer.frequent(pieces, corpus, 2, 700))


def test_placeholders_are_ordinary_pieces_with_fixed_numbers(tokenizer):
    assert tokenizer.convert_tokens_to_ids(placeholders.PIECES) == list(range(5, 37))
    assert tokenizer.convert_tokens_to_ids(["<pad>", "</s>", "<unk>", "<2en>", "<2de>"]) == list(range(5))
    assert not set(placeholders.PIECES) & set(tokenizer.all_special_tokens)
    for text in ("Öffnen Sie <ph0>, (<ph31>) und<ph7>.", "<ph3><ph3> Ende", "Zeile <ph10>"):
        ids = tokenizer(text)["input_ids"]
        assert sum(5 <= i < 37 for i in ids) == text.count("<ph")
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_an_exported_model_has_float16_weights_and_translates_as_before(tiny_model, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    monkeypatch.setattr(sys, "argv", ["export_base.py", str(tiny_model), "-o", str(folder)])
    export_base.main()
    weights, before = (load_file(path / "model.safetensors") for path in (folder, tiny_model))
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert all(torch.equal(tensor, before[name].half()) for name, tensor in weights.items())
    assert not set(export_base.LOADING) & set(json.loads((folder / "tokenizer_config.json").read_text()))
    made, given = (Translator.from_pretrained(path, max_tokens=8) for path in (folder, tiny_model))
    assert made.tokenizer("Ein <ph0> Satz")["input_ids"] == given.tokenizer("Ein <ph0> Satz")["input_ids"]
    assert made.translate("Ein Satz.")


def test_an_exported_average_lies_between_two_models(tiny_model, tmp_path, monkeypatch):
    other = shutil.copytree(tiny_model, tmp_path / "other")
    weights = load_file(tiny_model / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, other / "model.safetensors", {"format": "pt"})
    command = ["export_base.py", str(tiny_model), "--average", str(other), "0.25", "-o", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", command)
    export_base.main()
    made = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.allclose(made[name].float(), weights[name] + 0.25, atol=2e-3) for name in made)
    for share in ("1.5", "-1", "0.1.2", "much"):
        monkeypatch.setattr(sys, "argv", [*command[:4], share, *command[5:]])
        with pytest.raises(SystemExit, match=f"a number between 0 and 1, not {share}"):
            export_base.main()


def test_a_folder_without_a_model_is_refused(tiny_model, tmp_path, monkeypatch):
    missing, out = str(tmp_path / "missing"), str(tmp_path / "out")
    for command in ([missing], [str(tiny_model), "--average", missing, "0.5"]):
        monkeypatch.setattr(sys, "argv", ["export_base.py", *command, "-o", out])
        with pytest.raises(SystemExit, match=r"missing: no model is there \(no config.json\)"):
            export_base.main()
    assert not Path(out).exists()


def test_weights_too_large_for_float16_are_refused(tiny_model, tmp_path, monkeypatch):
    large = shutil.copytree(tiny_model, tmp_path / "large")
    weights = load_file(large / "model.safetensors")
    weights["shared.weight"][0, 0] = 60_000.0
    save_file(weights, large / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.setattr(sys, "argv", ["export_base.py", str(large), "-o", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="60000 is too near the end of float16"):
        export_base.main()
    assert not (tmp_path / "out").exists()


def test_scores_are_by_length_where_there_are_enough_pairs():
    lengths = [2] * 25 + [6] * 19 + [30] * 20
    assert score_base.rows("help", lengths) == {
        "help, all": list(range(64)), "help, 1 to 4 words": list(range(25)),
        "help, 16 words and more": list(range(44, 64)),
    }  # fmt: skip
    assert list(score_base.rows("2 of help joined", lengths)) == ["2 of help joined, all"]
    assert score_base.joined([("a", "b"), ("c", "d"), ("e", "f")], 2) == [("a c", "b d")]


def test_placeholders_that_a_translation_keeps_are_counted():
    sources = ["<ph0> und <ph1>", "<ph3>", "<ph3> <ph3>", "nichts"]
    outputs = ["<ph1> and <ph0>", "<ph4>", "<ph3>", "nothing"]
    assert score_base.kept(sources, outputs).startswith("1 of 3 ")
