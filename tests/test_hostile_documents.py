"""Documents that are built to do harm, or badly damaged: each is written whole, or refused in one clear line.

`benchmarks/document_fuzz.py` runs thousands more, drawn by seed, with limits of memory and time.
"""

import io
import zipfile

import pytest

from document_samples import DOCUMENTS, DOCX, OPTIONS, WORD, XLIFF, XLIFF2
from hostile_documents import DAMAGES, DECLARATIONS, PARTS, declared, drawn, members, packed
from translora.documents import archive, markdown, markup
from translora.documents.document import Options
from translora.documents.fill import translate_segments
from translora.documents.formats import format_of, read
from translora.errors import DataError, TransloraError

BIG = {"po": b'msgid "a"\nmsgstr ""\n"' + b'b"\n"' * 20_000 + b'"\n', "json": b'{"a":' * 50_000 + b"1" + b"}" * 50_000}
UNITS = "".join(f'<trans-unit id="{i}">{" " * 99}<source>a</source></trans-unit>' for i in range(1_000))
ALIASES = b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 120))
LAUGHS = b"a: &a [x, x]\n" + ALIASES
MANY = XLIFF[: XLIFF.index("<trans-unit")] + UNITS + "</body></file></xliff>"
SLIDES = {f"ppt/slides/slide{i}.xml": '<p:sld xmlns:p="p"/>' for i in range(2, 700)}


def part(kind, xml):
    """A document of which one part is `xml`."""
    return packed({**members(DOCUMENTS[kind]), PARTS[kind]: xml}.items())


def more(kind, *parts):
    """A document with more members."""
    return packed([*members(DOCUMENTS[kind]).items(), *parts])


def directory(kind, place, value, name=b""):
    """A document of which a field of a member's entry in the central directory has another value; of the last one."""
    data = bytearray(DOCUMENTS[kind])
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(name) if name else None) + place
    data[at : at + len(value)] = value
    return bytes(data)


REFUSED = {
    "XML: billion laughs": ("xliff", declared(XLIFF, "laughs"), ":1: it declares XML entities"),
    "XML: a file": ("xliff", declared(XLIFF, "external"), "declares XML entities"),
    "XML: a parameter": ("xliff", declared(XLIFF, "parameter"), "declares XML entities"),
    "XML: quadratic": ("tmx", declared(XLIFF, "quadratic"), "declares XML entities"),
    "XML: attributes": ("xliff", declared(XLIFF2, "attributes"), "it declares XML attributes, which are not expanded"),
    "XML: UTF-16": ("xliff", b"\xff\xfe" + declared(XLIFF, "laughs").decode().encode("utf-16-le"), "XML entities"),
    "XML: in an archive": ("docx", part("docx", declared(DOCX, "laughs")), r"a \(word/document.xml\):1: it declares"),
    "XML: a remote DTD": ("xliff", declared(XLIFF, "remote"), ""),
    "XML: deep": ("xliff", b"<xliff>" + b"<g>" * 5_000 + b"</g>" * 5_000 + b"</xliff>", "not well-formed XML"),
    "XML: a long name": ("xliff", b"<xliff><" + b"a" * 5_000 + b"></xliff>", "not well-formed XML"),
    "XML: a DTD that does not end": ("xliff", b"<!DOCTYPE a [" * 5_000, "not well-formed XML"),
    "ZIP: a ratio of thousands": ("docx", more("docx", ("a", b" " * (2 << 20))), "unpacks to more than 500 times"),
    "ZIP: in bzip2": ("odf", packed([("content.xml", b"\0" * (2 << 20))], zipfile.ZIP_BZIP2), "more than 500 times"),
    "ZIP: many members": ("docx", packed((str(i), b"") for i in range(20_001)), "or of too many members: split it"),
    "ZIP: two of one name": ("docx", more("docx", ("word/document.xml", b"<a/>")), "one name"),
    "ZIP: encrypted": ("docx", directory("docx", 8, b"\1\0"), "it is encrypted: save it without a password"),
    "ZIP: larger than it says": ("odf", directory("odf", 24, b"\1\0\0\0", b"content.xml"), "damaged"),
    "ZIP: a checksum": ("odf", directory("odf", 16, b"\1\2\3\4", b"content.xml"), "damaged .Bad CRC-32"),
    "ZIP: packed in no known way": ("odf", directory("odf", 10, b"\x63\0", b"content.xml"), "That compression method"),
    "ZIP: cut": ("docx", DOCUMENTS["docx"][:-30], "no whole document of its kind"),
    "ZIP: a name of two lines": ("pptx", more("pptx", ("ppt/slides/a\nb.xml", b"<a")), "a b.xml"),
    "encoding: punycode": ("po", b'msgid ""\nmsgstr "charset=punycode"\n' + b"a" * 10_000, "'punycode' is not known"),
    "encoding: undefined": ("android", b'<?xml version="1.0" encoding="undefined"?><resources/>', "not known"),
    "encoding: base64": ("html", b'<meta charset="base64"><p>a</p>', "the encoding 'base64' is not known"),
    "encoding: none": ("json", '{"a": "b"}'.encode("utf-16-le"), "a NUL character"),
    "JSON: deep": ("json", BIG["json"], "JSON"),
    "JSON: a number": ("json", b"[" + b"9" * 100_000 + b"]", "JSON that cannot be read"),
    "YAML: deep": ("yaml", b"[" * 3_000, "nested too deeply"),
    "YAML: laughs": ("yaml", LAUGHS, ""),
    "YAML: objects": ("yaml", b"a: !!python/object/apply:os.system [ls]\n", ""),
    "Markdown: deep": ("markdown", b"> " * 30_000 + b"a", ""),
    "Markdown: brackets": ("markdown", b"[" * 3_000 + b"a" + b"](b)" * 3_000, ""),
    "Markdown: emphasis": ("markdown", b"*a _b " * 2_000, ""),
    "HTML: tags that do not end": ("html", b"<p>a" + b'<a "' * 20_000 + b"<b '" * 20_000, ""),
    "HTML: an encoding in no tag": ("html", b'<p>a</p><meta charset="latin1".<p>\xe4</p>', "not utf-8"),
    "HTML: deep": ("html", b"<div><b>" * 3_000 + b"a", ""),
    "paragraphs: spaces": ("paragraphs", b" " * 100_000, ""),
    "SRT: spaces": ("srt", b"1\n00:00:01,000 --> 00:00:02,000\na\n" + b" " * 100_000 + b"\n", ""),
    "SRT: braces": ("srt", b"1\n00:00:01,000 --> 00:00:02,000\n" + b"{\\" * 30_000 + b"a\n", ""),
    "PO: one long message": ("po", BIG["po"], ""),
    "XLIFF: many units": ("xliff", MANY.encode(), ""),
    "XLIFF: a unit of nothing": ("xliff", XLIFF2.replace("<file ", '<unit id="0"></unit><file ').encode(), ""),
    "PPTX: many slides": ("pptx", more("pptx", *SLIDES.items()), ""),
    "strings: a comment": ("strings", b"/*" * 20_000, 'not of the form "key" = "value";'),
}  # fmt: skip
"""Format, bytes, and words of the message; no words for a document that is written."""


def written(kind, data):
    """The document with a word before each text."""
    document = read(data, "a", kind, OPTIONS)
    found, _ = translate_segments(document.segments, lambda lines: [f"Q {line}" for line in lines], again=True)
    return document.filled(found)


@pytest.mark.parametrize("name", REFUSED)
def test_harm_is_refused_in_one_line_or_does_none(name):
    kind, data, words = REFUSED[name]
    if not words:
        read(written(kind, data), "a", kind, OPTIONS)
        return
    with pytest.raises(DataError, match=words) as caught:
        written(kind, data)
    message = str(caught.value)
    assert message.startswith("a")
    assert ":" in message
    assert "\n" not in message
    assert len(message) < 500


def test_names_in_an_archive_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["../../evil.txt", "/etc/evil.txt", "..\\evil.txt", "link", "a/../b", "", "n" * 60_000]
    parts = members(DOCUMENTS["docx"])
    hostile = packed([*parts.items(), *((name, b"/etc/passwd") for name in names)], external_attr=0o120777 << 16)
    done = written("docx", hostile)
    with zipfile.ZipFile(io.BytesIO(done)) as found:
        assert found.namelist() == [*parts, *names]
        assert all(one.external_attr >> 16 == 0o120777 for one in found.infolist())
        assert b"Q Hello" in found.read("word/document.xml")
    assert list(tmp_path.iterdir()) == []


def test_memory_is_bounded_by_the_count_of_tags_and_marks(monkeypatch):
    """Each with a limit that small documents reach."""
    monkeypatch.setattr(markup, "_MOST_TAGS", 100)
    monkeypatch.setattr(markdown, "_MOST_MARKS", 100)
    monkeypatch.setattr(archive, "_LARGEST_TEXT", 2_000)
    paragraph = "<w:p><w:r><w:t>a</w:t></w:r></w:p>"
    body = f'<w:document xmlns:w="{WORD}">{{}}</w:document>'
    slide = f'<p:sld xmlns:p="p" xmlns:a="a">{"<a:p><a:r><a:t>b</a:t></a:r></a:p>" * 8}</p:sld>'
    cases = [
        ("xliff", f"<xliff>{'<g/>' * 100}</xliff>".encode(), "more than 100 tags: split the document"),
        ("html", b"<p>a</p>" * 51, "more than 100 tags"),
        ("markdown", b"*a* " * 51, "more than 100 marks such as"),
        ("docx", part("docx", body.format(paragraph * 20)), r"a \(word/document.xml\): more than 100 tags"),
        ("docx", part("docx", body.format(paragraph + " " * 2_000)), "more than 0 MiB of text unpacked"),
        ("pptx", more("pptx", *((f"ppt/slides/slide{i}.xml", slide) for i in range(2, 9))), "more than 100 tags"),
    ]  # fmt: skip
    for kind, data, words in cases:
        with pytest.raises(DataError, match=words):
            read(data, "a", kind, OPTIONS)
    assert read(part("docx", body.format(paragraph)), "a", "docx", OPTIONS).segments


def test_a_document_without_text_in_an_archive_is_copied():
    """Large sheets of numbers are not kept."""
    sheet = '<worksheet xmlns="a"><sheetData>' + "<row><c><v>1</v></c></row>" * 100 + "</sheetData></worksheet>"
    data = more("xlsx", ("xl/worksheets/sheet1.xml", sheet))
    document = read(data, "a", "xlsx", Options())
    assert {one.note for one in document.segments} == {"xl/sharedStrings.xml"}
    assert (
        members(document.filled([f"Q{one.text}" for one in document.segments]))["xl/worksheets/sheet1.xml"]
        == sheet.encode()
    )


def test_cases_are_drawn_by_seed(tmp_path):
    """The first of each format: the same again, and each is written or refused."""
    assert len(DAMAGES) >= 10
    assert len(DECLARATIONS) >= 11
    for number in range(len(DOCUMENTS)):
        case = drawn(3, number)
        assert drawn(3, number) == case
        file = tmp_path / f"case{case.ending}"
        file.write_bytes(case.data)
        assert format_of(file) in (case.kind, "text")
        try:
            written(case.kind, case.data)
        except TransloraError as error:
            assert "\n" not in str(error)  # noqa: PT017
