"""WMT's SGM and XML, and markup of other kinds: read as segments or refused, never taken for text."""

import io
from pathlib import Path

import pytest

from translora.config import CleaningConfig, SourceConfig
from translora.data.check import check_corpus
from translora.data.readers.sources import read
from translora.data.readers.wmt import stream_segments, text_segments
from translora.errors import DataError
from translora.translation.evaluation import Request, run_evaluation

SOURCES = ["Hallo & guten Morgen.", "Das Haus am See ist groß."]
REFERENCES = ["Hello & good morning.", "The house by the lake is big."]
OUTPUT = ["Hi & good day.", "The home by the lake is large."]


def sgm(texts, root="refset", upper=False, sysid="x"):
    lines = [f'<{root} setid="demo" srclang="any">', f'<doc sysid="{sysid}" docid="d1" genre="news">', "<p>"]
    lines += [f'<seg id="{i}">{text.replace("&", "&amp;")}</seg>' for i, text in enumerate(texts, start=1)]
    text = "\n".join([*lines, "</p>", "</doc>", f"</{root}>", ""])
    return text.replace("<seg", "<SEG").replace("</seg", "</SEG").replace("<doc", "<DOC") if upper else text


def xml(**sides):
    """A file of WMT's newer form; a side is `lang_by`, with the texts of one document."""
    parts = []
    for name, texts in sides.items():
        kind, language, by = name.split("_")
        segments = "".join(f'<seg id="{i}">{text.replace("&", "&amp;")}</seg>\n' for i, text in texts.items())
        parts.append(f'<{kind} lang="{language}" translator="{by}"><p>\n{segments}</p></{kind}>\n')
    inner = "".join(parts)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<dataset id="x"><doc id="d1">\n{inner}</doc></dataset>\n'


def numbered(texts):
    return dict(enumerate(texts, start=1))


def pairs_of(path, source="de", target="en", **options):
    return [(pair.source, pair.target) for pair in read(SourceConfig(path=str(path), **options), source, target)]


@pytest.fixture
def files(tmp_path):
    texts = {
        "src.sgm": sgm(SOURCES, "srcset"), "ref.sgm": sgm(REFERENCES), "out.sgm": sgm(OUTPUT, "tstset"),
        "out-refset.sgm": sgm(OUTPUT), "upper.sgm": sgm(OUTPUT, upper=True), "ref.txt": "\n".join([*REFERENCES, ""]),
        "out.txt": "\n".join([*OUTPUT, ""]), "sgm.txt": sgm(OUTPUT), "src.txt": sgm(SOURCES, "srcset"),
        "both.xml": xml(src_de_=numbered(SOURCES), ref_en_A=numbered(REFERENCES), hyp_en_S=numbered(OUTPUT)),
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("source", ["src.sgm", "src.txt"])
def test_two_files_are_pairs_with_their_entities_resolved(files, source):
    found = pairs_of(files / source, target_path=str(files / "ref.sgm"))
    assert found == list(zip(SOURCES, REFERENCES, strict=True))


def test_one_xml_file_holds_both_sides_in_either_direction(files):
    assert pairs_of(files / "both.xml") == list(zip(SOURCES, REFERENCES, strict=True))
    assert pairs_of(files / "both.xml", "en", "de") == list(zip(REFERENCES, SOURCES, strict=True))
    with pytest.raises(DataError, match="its languages are de and en, not fr and en"):
        pairs_of(files / "both.xml", "fr", "en")


@pytest.mark.parametrize("hypotheses", ["out.sgm", "out-refset.sgm", "upper.sgm", "out.txt", "sgm.txt", "both.xml"])
@pytest.mark.parametrize("references", ["ref.sgm", "ref.txt", "both.xml"])
def test_markup_never_counts_in_bleu(files, hypotheses, references):
    request = Request(hypotheses=str(files / hypotheses), references=(str(files / references),))
    assert run_evaluation(request).scores.bleu.score == pytest.approx(29.90, abs=0.005)


def test_sources_to_translate(files):
    assert list(text_segments(files / "src.sgm", "src")) == SOURCES
    assert list(text_segments(files / "both.xml", "src")) == SOURCES
    assert list(text_segments(files / "ref.txt", "src")) == REFERENCES
    assert list(stream_segments(io.BytesIO((files / "src.sgm").read_bytes()), "standard input", "src")) == SOURCES
    assert list(stream_segments(io.BytesIO(b"eins\n<zwei>\n"), "standard input", "src")) == ["eins", "<zwei>"]


def test_several_references_and_systems(tmp_path, caplog):
    caplog.set_level("INFO", "translora")
    path = tmp_path / "a.xml"
    other = {i: text + "!" for i, text in numbered(REFERENCES).items()}
    path.write_text(xml(src_de_=numbered(SOURCES), ref_en_A=numbered(REFERENCES), ref_en_B=other))
    assert list(text_segments(path, "ref")) == REFERENCES
    assert "references by A, B: those by A are taken" in caplog.text
    path.write_text(xml(hyp_en_S=numbered(OUTPUT), hyp_en_T=other))
    with pytest.raises(DataError, match="translations by S, T: leave one of them in the file"):
        list(text_segments(path, "hyp"))
    path.write_text(xml(src_de_=numbered(SOURCES), ref_en_A={2: REFERENCES[1]}))
    assert pairs_of(path) == [(SOURCES[1], REFERENCES[1])]
    assert "1 segments without a translation passed over" in caplog.text
    found = check_corpus(SourceConfig(path=str(path)), "de", "en", CleaningConfig())
    assert found.problems["segments without a translation"].count == 1
    assert found.problems["segments without a translation"].consequence == "left out"


def test_references_of_several_documents_by_several_hands_are_one_set(tmp_path):
    path = tmp_path / "ref.sgm"
    path.write_text(
        '<refset><doc sysid="a" docid="1"><seg id=1>eins</seg></doc><doc sysid="b" docid="2">'
        "<hl><seg id=1>\n  zwei\n  drei </seg></hl><seg id=2/></doc></refset>"
    )
    assert list(text_segments(path, "ref")) == ["eins", "zwei drei", ""]


@pytest.mark.parametrize(
    ("text", "layer", "message"),
    [
        (sgm(SOURCES, "srcset"), "ref", "no references in it, only sources"),
        (sgm(SOURCES, "srcset"), "hyp", "no translations in it, only sources"),
        ("<refset><doc><seg id=1>a<seg id=2>b</seg></doc></refset>", "ref", "x:1: a segment without an end"),
        ("<refset><doc>\n<seg id=1>a", "ref", "x:2: a segment without an end .*cut short"),
        ("<refset></refset>", "ref", "no segments"),
        ("<refset>\n<doc><seg>a&#x1F;</seg></doc></refset>", "ref", "x:2: a segment with a character that XML forbids"),
        ('<tmx version="1.4"><body/></tmx>', "src", "markup with the root tmx.*is read where pairs are given"),
        ('<?xml version="1.0"?>\n<xliff><file/></xliff>', "src", "markup with the root xliff"),
        ("<!DOCTYPE html>\n<html><p>Hallo</p></html>", "src", "markup with the root html.*plain text"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, text, layer, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(DataError, match=message):
        list(text_segments(tmp_path / "x", layer))


def test_text_with_tags_is_text(tmp_path):
    lines = ["<b>Hallo</b> Welt", "a < b & c", "<seg id='1'>x</seg>"]
    (tmp_path / "x.txt").write_text("\n".join([*lines, ""]))
    assert list(text_segments(tmp_path / "x.txt", "src")) == lines


def test_files_of_other_segments_are_never_paired(tmp_path):
    one = "<srcset><doc docid='d1'><seg id=1>a</seg><seg id=2>b</seg></doc></srcset>"
    (tmp_path / "a.sgm").write_text(one)
    for other, message in (
        (one.replace("id=2", "id=3"), r"b.sgm:1: segment d1/3 where .*a.sgm:1 has d1/2"),
        ("<refset><doc docid='d1'><seg id=1>a</seg></doc></refset>", "b.sgm: 1 segments for 2 of"),
    ):
        (tmp_path / "b.sgm").write_text(other.replace("srcset", "refset"))
        with pytest.raises(DataError, match=message):
            pairs_of(tmp_path / "a.sgm", target_path=str(tmp_path / "b.sgm"))


def test_aligned_text_files_that_are_markup_are_refused(tmp_path):
    for name in ("a.de", "a.en"):
        Path(tmp_path / name).write_text('<?xml version="1.0"?>\n<ldml/>\n')
    with pytest.raises(DataError, match=r"a.de: markup with the root ldml"):
        pairs_of(tmp_path / "a.de", target_path=str(tmp_path / "a.en"))
