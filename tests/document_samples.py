"""Small documents of each format, for the tests."""

import io
import zipfile

from translora.documents.document import Options

OPTIONS = Options("en", "de")
BILINGUAL = ("po", "xliff", "tmx")


def zipped(parts):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6)), content, zipfile.ZIP_DEFLATED)
    return data.getvalue()


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
