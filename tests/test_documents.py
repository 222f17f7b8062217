"""Documents: segments out, translations back in, everything else as it was; small files of each format."""

import io
import shutil
import subprocess
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translora.documents.document import Options
from translora.documents.fill import translate_segments
from translora.documents.formats import FORMATS, read
from translora.documents.inline import Inline, Item, same_tags
from translora.errors import DataError, TransloraError

OPTIONS = Options("en", "de")
BILINGUAL = ("po", "xliff", "tmx")


def zipped(parts):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6)), content, zipfile.ZIP_DEFLATED)
    return data.getvalue()


def part_of(data, name):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name).decode()


PO = """# A translator's comment
msgid ""
msgstr ""
"Project-Id-Version: test 1\\n"
"PO-Revision-Date: 2026-01-01 00:00+0000\\n"
"Last-Translator: Nobody <nobody@example.org>\\n"
"Language-Team: none\\n"
"Language: de\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

#: a.c:1
#, c-format
msgid "The file %s was not found.\\n"
msgstr ""

#, fuzzy
#| msgid "Store"
msgid "Save"
msgstr "Sichern"

msgctxt "menu"
msgid "%d file"
msgid_plural "%d files"
msgstr[0] ""
msgstr[1] ""

msgid ""
"Click on <b>Save</b>.\\n"
"Then on \\"OK\\".\\n"
msgstr ""

#~ msgid "old"
#~ msgstr "alt"
"""

XLIFF = """<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
  <file source-language="en" target-language="de" original="a" datatype="plaintext"><body>
    <trans-unit id="1" resname='x'>
      <source>Hello <g id="5">you &amp; me</g> <x id="6"/></source>
      <note>A note</note>
    </trans-unit>
    <trans-unit id="2"><source>Two</source><target state="new" state-qualifier='x' equiv-trans="no"></target>
    </trans-unit>
    <trans-unit id="3"><source>Three</source><target>Drei</target></trans-unit>
    <trans-unit id="4" translate="no"><source>Four</source></trans-unit>
  </body></file>
</xliff>
"""

XLIFF2 = """<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="de">
  <file id="f">
    <unit id="u"><segment id="1"><source>Hello <pc id="1">you</pc><ph id="2"/></source></segment>
      <segment state="initial"><source>Two</source><target></target></segment>
      <segment state="final"><source>Three</source><target>Drei</target></segment></unit>
    <unit id="v" translate="no"><segment><source>Four</source></segment></unit>
  </file>
</xliff>
"""

TMX = """<?xml version="1.0"?>
<tmx version="1.4"><header srclang="en" segtype="sentence"/><body>
  <tu tuid="1">
    <tuv xml:lang="en-US"><seg>Hello <bpt i="1">&lt;b&gt;</bpt>you<ept i="1">&lt;/b&gt;</ept></seg></tuv>
  </tu>
  <tu><tuv xml:lang="en-US"><seg>Two</seg></tuv><tuv xml:lang="de"><seg></seg></tuv></tu>
  <tu><tuv xml:lang="en-US"><seg>Three</seg></tuv><tuv xml:lang="de"><seg>Drei</seg></tuv></tu>
</body></tmx>
"""

ANDROID = """<?xml version="1.0" encoding="utf-8"?>
<resources xmlns:xliff="urn:oasis:names:tc:xliff:document:1.2">
    <!-- A comment -->
    <string name="a">Hello <b>you</b>\\nit\\'s &lt;new></string>
    <string name="b" translatable="false">No</string>
    <string name="c"><xliff:g id="n">%d</xliff:g> files</string>
    <string name="d"><![CDATA[<p>Text</p>]]></string>
    <string name="e">"Quoted  text"</string>
    <string name="f">@string/a</string>
    <plurals name="p"><item quantity="one">one</item><item quantity="other">many</item></plurals>
</resources>
"""

HTML = """<!DOCTYPE html>
<HTML lang=en><head><meta charset="utf-8"><title>Title &amp; more</title>
<meta name="description" content='A page'><style>p { color: red }</style></head>
<body><p class=x>Hello <b>you <i>all</i></b>, <img src="a.png" alt="A picture">
  next<br>line, <code>int x</code>.<pre>kept  text</pre>
<div translate="no">No <p>none</p></div><ul><li>One<li><a href="#">Two &lt;b&gt;</a></ul>
<script>if (a < b) document.write("</p>")</script></body></html>
"""

MARKDOWN = """---
title: Kept
---
# A *fine* heading #

One **word** and ***two* words** [here](http://a.example "t") and `code` ~~gone~~ 2*3
next  
hard \\* end. [ref], [text][ref] <b>html</b> ![picture](x.png).

> > A quotation _of one_
> > and two

1. 1 point
   more
- [ ] to do

| a b | c **d** |
|-----|---------|
| e   | f       |

```
kept
```

[ref]: http://x.example
"""  # noqa: W291

YAML = """# A comment
de:
  a: Hello world   # kept
  b: 'It''s'
  "c": "Yes\\n"
  d: |
    A block
    of two
  e: 5
  f: [one, two]
  g: &x Anchored
  h: *x
"""

SRT = "1\r\n00:00:01,000 --> 00:00:02,000\r\n{\\an8}<i>Hello you,\r\nhow are you?</i>\r\n\r\n"
SRT += "2\r\n00:00:03,000 --> 00:00:04,000\r\n- Good.\r\n- Yes!\r\n"

VTT = """WEBVTT - a title

NOTE
not --> a cue

first
00:01.000 --> 00:02.000 line:0
<v Bob>Hello &amp; <00:00:01.500>you
all</v>
"""

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
DOCX = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<w:document xmlns:w="{WORD}" xmlns:r="r"><w:body><w:p><w:pPr><w:jc/></w:pPr><w:bookmarkStart w:id="0"/>
<w:r w:rsidR="1"><w:t xml:space="preserve">Hello </w:t></w:r><w:proofErr/><w:r><w:t>you &amp; me, </w:t></w:r>
<w:r><w:rPr><w:b/></w:rPr><w:t>bold</w:t></w:r><w:r><w:t xml:space="preserve"> and</w:t><w:tab/><w:t>tab</w:t></w:r>
<w:hyperlink r:id="a"><w:r><w:rPr><w:u/></w:rPr><w:t>link</w:t></w:r></w:hyperlink>
<w:r><w:drawing><w:txbxContent><w:p><w:r><w:t>In a box</w:t></w:r></w:p></w:txbxContent></w:drawing></w:r>
<w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:r><w:t>.</w:t></w:r></w:p><w:p/>
<w:p><w:r><w:rPr><w:i/></w:rPr><w:tab/><w:t>All italic</w:t></w:r></w:p></w:body></w:document>"""
PPTX = """<p:sld xmlns:p="p" xmlns:a="a"><p:txBody><a:p><a:r><a:rPr lang="en"/><a:t>Hello </a:t></a:r><a:br/><a:r>
<a:rPr lang="en"/><a:t>world</a:t></a:r><a:endParaRPr/></a:p></p:txBody></p:sld>"""
XLSX = """<sst xmlns="a"><si><t>Hello</t></si><si><r><t xml:space="preserve">one </t></r><r>
<rPr><b/></rPr><t>bold two</t></r></si><si><t>Heading</t></si><si><t xml:space="preserve"> 5</t></si></sst>"""
ODT = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="o" xmlns:text="t"><office:body><text:tracked-changes><text:p>Deleted</text:p>
</text:tracked-changes><text:h text:outline-level="1">A heading</text:h>
<text:p>Hello <text:span>you</text:span><text:s/>
<text:note><text:note-body><text:p>A footnote</text:p></text:note-body></text:note> all</text:p></office:body>
</office:document-content>"""

DOCUMENTS = {
    "po": PO.encode(),
    "xliff": XLIFF.encode(),
    "xliff 2": XLIFF2.encode(),
    "tmx": b"\xff\xfe" + TMX.encode("utf-16-le"),
    "json": b'{"a": "Hello \\"you\\"",\r\n\t"b": {"c": ["one\\u00e4", 2, "two"]}, "u": "http://a.example/c", "e": ""}',
    "json arb": b'{"@@locale": "en", "a": "Hello {name}", "@a": {"description": "no"}}',
    "json extension": b'{"a": {"message": "Hello", "description": "no"}}',
    "properties": b"# c\na = Hello {0}, it''s\n! c\nb=Two\\\n   lines\nc : \\u00e4\nd\n:\ne=\n",
    "properties latin": "a=\xe4 word\n".encode("latin-1"),
    "strings": b"\xff\xfe" + '/* c */\n"a" = "Hello \\"you\\"";\n// d\nb = "two\\n";\n'.encode("utf-16-le"),
    "srt": b"\xef\xbb\xbf" + SRT.encode(),
    "vtt": VTT.encode(),
    "android": ANDROID.encode(),
    "html": HTML.encode(),
    "html latin": b'<meta charset="iso-8859-1"><p>\xe4h, \x93word\x94</p>',
    "markdown": MARKDOWN.encode(),
    "markdown crlf": MARKDOWN.replace("\n", "\r\n").encode(),
    "yaml": YAML.encode(),
    "paragraphs": b"One paragraph\nof two lines.\n\n  Another.\r\n\r\n\r\n",
    "docx": zipped({"[Content_Types].xml": "<a/>", "word/document.xml": DOCX, "word/media/a.png": b"\x89PNG"}),
    "pptx": zipped({"ppt/presentation.xml": "<a/>", "ppt/slides/slide1.xml": PPTX}),
    "xlsx": zipped({
        "xl/workbook.xml": "<a/>", "xl/sharedStrings.xml": XLSX,
        "xl/tables/table1.xml": '<table><tableColumn id="1" name="Heading"/></table>',
    }),
    "odf": zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": ODT, "a/b.bin": b"\0\1"}),
}  # fmt: skip
"""By format, with a word for each further document of one."""


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


def test_values_are_escaped_as_the_format_asks():
    assert b"it''s \\u00FC" in document("properties").filled(["{0} it's ü", None, None])
    assert document("properties latin").filled(["\u4e2d"]) == b"a=\\u4E2D\n"
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
    assert same_tags('<g id="1">a</g>b<x id="2"/>', translation) is same


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
