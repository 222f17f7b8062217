"""Documents: segments out, translations back in, everything else as it was; small files of each format."""

import io
import shutil
import subprocess
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from document_samples import BILINGUAL, DOCUMENTS, OPTIONS, PO, WORD, zipped
from translora.documents.document import Options
from translora.documents.fill import translate_segments
from translora.documents.formats import FORMATS, read
from translora.documents.inline import Inline, Item
from translora.errors import DataError, TransloraError
from translora.tags import same_tags, tags


def part_of(data, name):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name).decode()


def document(name):
    return read(DOCUMENTS[name], name, name.split()[0], OPTIONS)


def texts(name):
    return [one.text for one in document(name).segments]


def test_each_format_has_a_document():
    assert {name.split()[0] for name in DOCUMENTS} == set(FORMATS) - {"auto", "text"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_nothing_translated_is_the_same_bytes(name):
    found = document(name)
    assert found.segments
    assert found.filled([None] * len(found.segments)) == DOCUMENTS[name]
    if name.split()[0] not in BILINGUAL:
        assert found.filled([one.text for one in found.segments]) == DOCUMENTS[name]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_written_is_read_again(name):
    kind = name.split()[0]
    segments = document(name).segments
    written = [f"Ä{one.text}" for one in segments]
    again = read(document(name).filled(written), name, kind, OPTIONS).segments
    if kind in BILINGUAL:
        assert [one.text for one in again] == [one.text for one in segments]
        assert all(one.translated for one in again)
    else:
        assert [one.text.split() for one in again] == [text.split() for text in written]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(DOCUMENTS)), st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), min_size=1))
def test_any_translation_is_read_again(name, text):
    """Also one that looks like markup of the format."""
    kind = name.split()[0]
    before = document(name).segments
    try:
        again = read(document(name).filled([f"A{text}{one.text}" for one in before]), name, kind, OPTIONS).segments
    except TransloraError as error:
        assert "lacks" in str(error) or "cannot" in str(error)  # noqa: PT017
        return
    if kind not in BILINGUAL and kind not in ("srt", "vtt"):
        assert len(again) >= len(before) - text.count("\n")


def test_po_keeps_all_lines_and_marks_its_translations():
    found = document("po")
    assert [(one.text, one.translated) for one in found.segments] == [
        ("The file %s was not found.\n", False), ("Save", True), ("%d file", False), ("%d files", False),
        ('Click on <b>Save</b>.\nThen on "OK".\n', False),
    ]  # fmt: skip
    written = found.filled(["Die Datei %s fehlt.\n", None, "%d Datei", "%d Dateien", '<b>A</b>.\n"B".\n']).decode()
    assert '#: a.c:1\n#, fuzzy, c-format\nmsgid "The' in written
    assert '#, fuzzy\nmsgctxt "menu"' in written
    assert 'msgstr[0] "%d Datei"\nmsgstr[1] "%d Dateien"\n' in written
    assert 'msgstr ""\n"<b>A</b>.\\n"\n"\\"B\\".\\n"\n' in written
    assert [line for line in PO.splitlines() if not line.startswith(("msgstr", "#,"))] == [
        line for line in written.splitlines() if line in PO.splitlines() and not line.startswith(("msgstr", "#,"))
    ]
    reviewed = read(DOCUMENTS["po"], "a", "po", Options(reviewed=True)).filled(["%s\n", "Sichern", "a", "b", "c\n"])
    assert b"fuzzy" not in reviewed


@pytest.mark.skipif(not shutil.which("msgfmt"), reason="needs gettext")
def test_gettext_takes_what_is_written(tmp_path):
    found = document("po")
    (tmp_path / "a.po").write_bytes(found.filled([one.text for one in found.segments]))
    done = subprocess.run(["msgfmt", "-c", "-o", "a.mo", "a.po"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_xliff_has_states():
    found = document("xliff")
    assert [(one.text, one.translated) for one in found.segments] == [
        ('Hello <g id="1">you & me</g> <x id="2"/>', False), ("Two", False), ("Three", True),
    ]  # fmt: skip
    written = found.filled(['<x id="2"/> <g id="1">Du & ich</g>', "Zwei", None]).decode()
    state = 'state="needs-review-translation" state-qualifier="leveraged-mt"'
    assert f'</source>\n      <target {state}><x id="6"/> <g id="5">Du &amp; ich</g></target>\n' in written
    assert f'<target equiv-trans="no" {state}>Zwei</target>' in written
    assert "<target>Drei</target>" in written
    second = document("xliff 2").filled(['<x id="2"/><g id="1">Du</g>', "Zwei", None]).decode()
    assert '<segment state="translated" id="1">' in second
    assert '<target><ph id="2"/><pc id="1">Du</pc></target>' in second
    assert '<segment state="translated"><source>Two</source><target>Zwei</target>' in second
    assert '<segment state="final">' in second


def test_what_is_a_segment():
    assert texts("json") == ['Hello "you"', "oneä", "two"]
    assert texts("json arb") == ["Hello {name}"]
    assert texts("json extension") == ["Hello"]
    assert texts("properties") == ["Hello {0}, it's", "Twolines", "ä"]
    assert texts("html") == [
        "Title & more", "A page",
        'Hello <g id="1">you <g id="2">all</g></g>, <x id="3"/> next<x id="4"/>line, <x id="5"/>.', "A picture",
        "One", "Two <b>",
    ]  # fmt: skip
    assert texts("html latin") == ["äh, \u201cword\u201d"]
    assert texts("yaml") == ["Hello world", "It's", "Yes\n", "A block\nof two\n", "one", "two"]
    assert texts("srt") == ["Hello you, how are you?", "Good.", "Yes!"]
    assert texts("vtt") == ['Hello & <x id="1"/>you all']
    assert texts("android") == [
        'Hello <g id="1">you</g>\nit\'s <new>', '<x id="1"/> files', "<p>Text</p>", "Quoted  text", "one", "many",
    ]  # fmt: skip
    assert texts("paragraphs") == ["One paragraph of two lines.", "Another."]
    assert texts("xlsx") == ["Hello", '<g id="1">one </g>bold two', " 5"]
    assert texts("odf") == ["A heading", 'Hello <g id="1">you</g><x id="2"/> <x id="3"/> all', "A footnote"]


def test_markdown_is_spliced():
    found = document("markdown")
    assert found.segments[:1][0].text == 'A <g id="1">fine</g> heading'
    assert 'word</g> and <g id="2"><g id="3">two</g> words</g> <g id="4">here</g>' in found.segments[1].text
    assert [one.text for one in found.segments[2:]] == [
        'A quotation <g id="1">of one</g> and two', "1 point more", "to do", "a b", 'c <g id="1">d</g>', "e", "f",
    ]  # fmt: skip
    changed = ['<g id="1">Fein</g>, ja', None, 'von<g id="1">eins</g>', "# kein | Titel", *[None] * 5]
    written = found.filled(changed).decode()
    assert "\n# *Fein*, ja #\n" in written
    assert "> > von*eins*\n" in written or "> > von_eins_\n" in written
    assert "1. \\# kein \\| Titel\n" in written
    assert written.endswith("```\nkept\n```\n\n[ref]: http://x.example\n")


def test_markdown_keeps_emphasis_beside_letters():
    found = read(b"A **[link](a)** and _b_.", "a", "markdown", OPTIONS)
    (segment,) = found.segments
    text = segment.text.replace(" <g", "<g")
    written = found.filled([text])
    assert written == b"A **[link](a)** and*b*."
    (again,) = read(written, "a", "markdown", OPTIONS).segments
    assert again.text == segment.text.replace("and <g", "and<g")


def test_markdown_cells_with_escaped_pipes():
    table = b"| a | b |\n|---|---|\n| x \\| *y* | `c \\| d` e |\n"
    found = read(table, "a", "markdown", OPTIONS)
    assert [one.text for one in found.segments] == ["a", "b", 'x | <g id="1">y</g>', "e"]
    assert found.filled([one.text for one in found.segments]) == table
    written = found.filled(["A", None, 'z | x | <g id="1">y</g>', "E"])
    assert written == b"| A | b |\n|---|---|\n| z \\| x \\| *y* | `c \\| d` E |\n"


def test_markdown_keeps_hard_breaks_in_quotations():
    found = read(b"> one  \r\n> two\r\n", "a", "markdown", OPTIONS)
    (segment,) = found.segments
    assert segment.text == 'one<x id="1"/>two'
    assert found.filled(['eins<x id="1"/>zwei']) == b"> eins  \r\n> zwei\r\n"


def test_docx_keeps_formats_and_what_stands_between():
    found = document("docx")
    assert [one.text for one in found.segments][1:] == ["In a box", '<x id="1"/>All italic']
    first = found.segments[0].text
    assert first.startswith('Hello you & me, <g id="1">bold</g> and<x id="2"/>tab<g id="3"><g id="4">link</g></g>')
    written = found.filled([first.replace("bold", "fett & breit").replace("Hello", "Hallo"), "Kasten", None])
    xml = part_of(written, "word/document.xml")
    assert '<w:r><w:rPr><w:b/></w:rPr><w:t xml:space="preserve">fett &amp; breit</w:t></w:r>' in xml
    assert "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del>" in xml
    assert '<w:p><w:r><w:t xml:space="preserve">Kasten</w:t></w:r></w:p></w:txbxContent></w:drawing>' in xml
    assert part_of(written, "[Content_Types].xml") == "<a/>"
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert archive.read("word/media/a.png") == b"\x89PNG"
        assert archive.namelist() == ["[Content_Types].xml", "word/document.xml", "word/media/a.png"]


def test_docx_parts_may_have_any_name():
    types = "application/vnd.openxmlformats-officedocument.wordprocessingml."
    declared = [("document2", "document.main+xml"), ("foot", "footer+xml"), ("styles", "styles+xml")]
    overrides = "".join(f'<Override PartName="/word/{a}.xml" ContentType="{types}{b}"/>' for a, b in declared)
    parts = {"[Content_Types].xml": f"<Types>{overrides}</Types>"}
    parts |= {f"word/{a}.xml": f"<w:a><w:p><w:r><w:t>{a}</w:t></w:r></w:p></w:a>" for a, _ in reversed(declared)}
    found = read(zipped(parts), "a", "docx", OPTIONS)
    assert [one.text for one in found.segments] == ["document2", "foot"]
    assert "Seite 2" in part_of(found.filled(["Seite 2", None]), "word/document2.xml")


CONTROL = """<w:sdt><w:sdtPr><w:dataBinding w:xpath="{path}" w:storeItemID="{store}"/></w:sdtPr><w:sdtContent>{shown}
</w:sdtContent></w:sdt>"""
TITLE = "{6c3c8bc8-f283-45ae-878a-bab7291924a1}"
COVER = "{55AF091B-3C7A-41E3-B477-F2FDAA23CFDA}"


def bound_document():
    """A cover page: a title and an abstract that are properties too, and a date that is shown otherwise."""
    shown = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"
    controls = [
        CONTROL.format(path="/ns1:coreProperties[1]/ns0:title[1]", store=TITLE, shown=shown.format("Big &amp; Co")),
        CONTROL.format(path="/ns0:CoverPageProperties[1]/ns0:Abstract[1]", store=COVER, shown=shown.format("In short")),
        CONTROL.format(path="/ns0:CoverPageProperties[1]/ns0:PublishDate[1]", store=COVER, shown=shown.format("1 May")),
        CONTROL.format(path="/a/@title", store=COVER, shown=shown.format("x")),
    ]
    store = f'<ds:datastoreItem ds:itemID="{COVER}"><ds:schemaRefs/></ds:datastoreItem>'
    values = "<Abstract>In short</Abstract><PublishDate>2026-05-01</PublishDate><Other>In short</Other>"
    core = "<cp:coreProperties><dc:title>Big &amp; Co</dc:title><dc:creator>A</dc:creator></cp:coreProperties>"
    return zipped({
        "word/document.xml": f'<w:document xmlns:w="{WORD}">{"".join(controls)}</w:document>',
        "docProps/core.xml": core.replace(">", ' xmlns:cp="c" xmlns:dc="d">', 1),
        "customXml/item3.xml": f"<CoverPageProperties>{values}</CoverPageProperties>",
        "customXml/itemProps3.xml": store.replace(" ", ' xmlns:ds="d" ', 1),
    })  # fmt: skip


def test_docx_values_that_are_shown_in_place_of_the_text_are_texts_too():
    found = read(bound_document(), "a", "docx", OPTIONS)
    texts = ["Big & Co", "In short", "1 May", "x", "In short", "Big & Co"]
    assert [one.text for one in found.segments] == texts
    assert [one.note for one in found.segments[4:]] == ["customXml/item3.xml", "docProps/core.xml"]
    written = found.filled([text.upper() for text in texts])
    assert "<dc:title>BIG &amp; CO</dc:title><dc:creator>A<" in part_of(written, "docProps/core.xml")
    values = "<Abstract>IN SHORT</Abstract><PublishDate>2026-05-01</PublishDate><Other>In short</Other>"
    assert values in part_of(written, "customXml/item3.xml")
    assert found.filled([None] * 6) == bound_document()


def test_a_plain_picture_that_packs_to_a_thousandth_is_copied():
    xml = "<w:document><w:p><w:r><w:t>Hello</w:t></w:r></w:p></w:document>"
    picture = bytes(2 << 20)
    found = read(zipped({"word/document.xml": xml, "word/media/a.bmp": picture}), "a", "docx", OPTIONS)
    with zipfile.ZipFile(io.BytesIO(found.filled(["Hallo"]))) as archive:
        assert archive.read("word/media/a.bmp") == picture


def test_values_are_escaped_as_the_format_asks():
    assert b"it''s \\u00FC" in document("properties").filled(["{0} it's ü", None, None])
    assert document("properties latin").filled(["\u4e2d"]) == b"a=\\u4E2D\n"
    bare = read(b"Redo = Redo;\n", "a", "strings", OPTIONS)
    assert (bare.filled(["Redo"]), bare.filled(['a "b"'])) == (b"Redo = Redo;\n", b'Redo = "a \\"b\\"";\n')
    assert b'"a": "\\u00fc\\"\\n"' in document("json").filled(['ü"\n', None, None])
    assert 'it\\\'s \\"x\\" &lt;' in document("android").filled(['<g id="1">it\'s "x" <</g>', *[None] * 5]).decode()
    assert b"\x93" not in document("html latin").filled(["\u4e2d"])
    assert b"&#20013;" in document("html latin").filled(["\u4e2d"])
    with pytest.raises(DataError, match="which iso-8859-1 lacks: convert the file to UTF-8"):
        read(PO.replace("UTF-8", "ISO-8859-1").encode("latin-1"), "a", "po", OPTIONS).filled(["\u4e2d\n", *[None] * 4])


MISTAKES = [
    ("po", b'msgid "a"\nmsgstr "b\n', "a:2: a string that does not end"),
    ("po", b"hello\n", "a:1: 'hello' is no line of a PO file"),
    ("po", b'msgid "\xff"\nmsgstr ""\n', "a:1: not utf-8: convert the file"),
    ("xliff", b"<a/>", "not XLIFF .its root is a.: give an XLIFF file"),
    ("xliff", b"<xliff><a></xliff>", "a:1: not well-formed XML"),
    ("xliff", b'<?xml version="1.0"?>\n<!DOCTYPE x [\n<!ENTITY a "aa">]><xliff/>', "a:3: it declares XML entities"),
    ("json", b'{"a": 1,\n}', "a:2: not JSON"),
    ("json", b"[" * 100_000, "a: JSON that cannot be read|a:1: not JSON"),
    ("properties", b"\0", "a:1: a NUL character"),
    ("strings", b'"a" = "b"', 'a:1: not of the form "key" = "value";'),
    ("strings", b"bplist00", "a binary property list: convert it with plutil"),
    ("srt", b"hello", "no cue with a time"),
    ("vtt", b"hello", "a:1: it does not begin with WEBVTT"),
    ("html", b"hello", "no tag in it"),
    ("yaml", b"a: [b", "a:1: not YAML"),
    ("tmx", b'<tmx><body><tu><tuv xml:lang="fr"><seg>a</seg></tuv></tu></body></tmx>', "no unit in en; it has fr"),
    ("docx", b"hello", "no whole document of its kind"),
    ("docx", zipped({"a": "b"}), "it has no word/document.xml"),
    ("docx", bytes.fromhex("d0cf11e0a1b11ae1") + b"0" * 504, "encrypted, or of the old binary format: save it"),
    ("odf", zipped({"content.xml": b"\xff", "META-INF/manifest.xml": b"<encryption-data/>"}), "it is encrypted: save"),
    ("odf", zipped({"content.xml": b"0" * (2 << 20)}), "a member unpacks to more than 500 times its size: not read"),
    ("odf", zipped({"content.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><a/>'}), "declares XML entities"),
]


@pytest.mark.parametrize(("kind", "data", "words"), MISTAKES)
def test_a_mistake_is_one_line(kind, data, words):
    with pytest.raises(DataError, match=words):
        read(data, "a", kind, OPTIONS)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(DOCUMENTS)), st.data())
def test_a_damaged_document_is_one_line_or_is_read(name, data):
    """Truncated, with bytes changed, or with a piece twice."""
    content = DOCUMENTS[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 60)))
    middle = data.draw(st.sampled_from([b"", b"\0", b"\xff\xfe", b"<", b'"', b"\\", b"]]>", content[start:end] * 2]))
    rest = b"" if data.draw(st.booleans()) else content[end:]
    garbled = content[:start] + middle + rest
    try:
        found = read(garbled, "a", name.split()[0], OPTIONS)
        found.filled([one.text + "x" for one in found.segments])
    except TransloraError as error:
        assert "a" in str(error) and "\n" not in str(error)  # noqa: PT017, PT018


def swapped(lines):
    """An engine that changes each text, and keeps tags."""
    return [
        line.swapcase().replace("<G ID", "<g id").replace("</G>", "</g>").replace("<X ID", "<x id") for line in lines
    ]


def segments_of(*wanted):
    return read(("\n\n".join(wanted)).encode(), "a", "paragraphs", OPTIONS).segments


def test_equal_texts_are_translated_once():
    asked = []

    def engine(lines):
        asked.extend(lines)
        return swapped(lines)

    done = []
    found, report = translate_segments(segments_of("One", "two", "One", "12 %"), engine, advance=done.append)
    assert found == ["oNE", "TWO", "oNE", "12 %"]
    assert asked == ["One", "two"]
    assert (report.translated, report.repeated, report.apart, sum(done)) == (4, 1, [], 4)


def test_lost_tags_are_put_back():
    text = 'Click <g id="1">here</g> now<x id="2"/>.'
    found, report = translate_segments(segments_of("Fine", text), lambda lines: [line.upper()[:9] for line in lines])
    assert found == ["FINE", 'CLICK <g id="1">HERE</g> NOW<x id="2"/>.']
    assert report.apart == [1]


def test_only_what_is_untranslated_is_translated_unless_asked():
    segments = document("po").segments
    found, report = translate_segments(segments, swapped)
    assert found[1] is None
    assert (report.kept, report.translated) == (1, 4)
    found, report = translate_segments(segments, swapped, again=True)
    assert found[1] == "sAVE"
    assert found[4] == 'cLICK ON <B>sAVE</B>.\ntHEN ON "ok".\n' or found[4].count("<b>") == 1


@pytest.mark.parametrize(
    ("translation", "same"),
    [
        ('<x id="2"/>b<g id="1">a</g>', True), ('<g id="1">a</g>b', False), ('</g>a<g id="1">b<x id="2"/>', False),
        ('<g id="1">a</g>b<x id="2"/><x id="2"/>', False), ("ab", False), ('<g id="1">a<x id="2"/></g>', True),
    ],
)  # fmt: skip
def test_the_tags_of_a_translation_are_compared(translation, same):
    assert same_tags(tags('<g id="1">a</g>b<x id="2"/>'), tags(translation), alone=True) is same


def test_tags_around_all_text_are_outside():
    text = "<p><b>all <i>of it</i></b></p>"
    places = [(0, 3), (3, 6), (6, 10), (10, 13), (13, 18), (18, 22), (22, 26), (26, 30)]
    kinds = ["open", "open", "text", "open", "text", "close", "close", "close"]
    names = ["p", "b", "all ", "i", "of it", "i", "b", "p"]
    inline = Inline([Item(k, *place, name) for k, place, name in zip(kinds, places, names, strict=True)])
    assert inline.text == 'all <g id="1">of it</g>'
    assert text[inline.start : inline.end] == "all <i>of it</i>"
    (edit,) = inline.edit('<g id="1">davon</g> alles', str)
    assert edit.pieces == ((10, 13), "davon", (18, 22), " alles")


def test_a_document_refuses_a_translation_without_its_tags():
    segments = document("docx").segments
    with pytest.raises(DataError, match="a translation lost inline tags of 'Hello you"):
        document("docx").filled(["Hello", *[None] * (len(segments) - 1)])
