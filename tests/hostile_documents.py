"""Documents that are damaged, or built to do harm: drawn by seed from the small ones of `document_samples`, and bombs.

Everything here is bytes: nothing is unpacked, and nothing is written.
"""

import codecs
import copy
import io
import random
import struct
import warnings
import zipfile
from collections import namedtuple

from lxml import etree

from document_samples import ANDROID, DOCUMENTS, DOCX, HTML, ODT, TMX, XLIFF, XLIFF2

Case = namedtuple("Case", "name kind ending data")
"""A file: what it is, its format, how its name ends, and its bytes."""

ENDINGS = {
    "po": ".po", "xliff": ".xlf", "tmx": ".tmx", "json": ".json", "properties": ".properties", "strings": ".strings",
    "srt": ".srt", "vtt": ".vtt", "android": ".xml", "html": ".html", "markdown": ".md", "yaml": ".yaml",
    "paragraphs": ".txt", "docx": ".docx", "pptx": ".pptx", "xlsx": ".xlsx", "odf": ".odt",
}  # fmt: skip
PARTS = {
    "docx": "word/document.xml", "pptx": "ppt/slides/slide1.xml", "xlsx": "xl/sharedStrings.xml", "odf": "content.xml"
}  # fmt: skip
TELLING = [
    b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"<", b">", b"</", b"<!--", b"<![CDATA[", b"]]>", b"<!DOCTYPE a [",
    b"<?xml", b"&", b"&#0;", b"&#xD800;", b"&#x110000;", b"&lol;", b'"', b"'", b"\\", b"\\ud800", b"\\x",
    b"\\U0000d800",
    b"{", b"}", b"[", b"]", b"(", b")", b"*", b"_", b"`", b"|", b"%", b"#", b"-", b"--> ", b"\r", b"\n\n", b"\t", b" ",
    b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"*x", b"&x ", b"!!python/object:a ", b"? ", b": ", b"---\n",
    b'<g id="1">', b"</g>", b'<x id="2"/>', b"{\\an8}", b"msgid ", b'msgstr[9999999999] ""', b"1e999999", b"-0", b"NaN",
]  # fmt: skip
WIDE = [
    b"<a ", b'<a "', b"<a '", b"<!--", b"<!", b"<?", b"<![CDATA[", b"</", b"<b>", b"</b>", b"&amp;", b"&", b"[",
    b"](", b"![",
    b"*", b"**a", b"_a", b"`", b"> ", b"- ", b"|", b"~~", b"{\\", b"{", b"[[", b'{"a":', b"\\", b'"', b"'", b" ", b"\t",
    b"\n", b"\r", b"\r\n", b"a: ", b"? ", b"- - ", b"&a ", b"*a ", b"# ", b"-->", b"\n\n-->\n", b'"a"\n', b"a ",
    b"/*", b"//",
    b"<g id=\"1\">", b"</g>", b"=", b"\xc3\xa4", b"\xe2\x80\xa8", b"<w:p>", b"<text:p>", b"<unit>", b"<tu>",
    b"<li>", b"<p>",
]  # fmt: skip
CODECS = [
    "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "utf-8-sig", "latin-1", "cp1252", "cp037", "shift_jis",
    "gb18030", "iso2022_jp", "koi8-r", "hz", "big5", "mac-roman",
]  # fmt: skip
NAMED = [
    "punycode", "idna", "unicode_escape", "raw_unicode_escape", "base64", "zip", "rot13", "undefined", "utf-16",
    "utf-32",
    "utf-7", "ebcdic", "x-" + "y" * 500, "ascii", "cp037", "iso2022_jp", "oem", "charmap",
]  # fmt: skip
DEEP = {
    "po": (b'msgid "<b>', b'"\n'), "json": (b'{"a":[', b"]}"), "yaml": (b"[", b"]"), "markdown": (b"> ", b""),
    "html": (b"<div><b>", b"</b></div>"), "srt": (b"<i>", b"</i>"), "vtt": (b"<c>", b"</c>"),
    "paragraphs": (b"(", b")"), "strings": (b"/*", b"*/"), "properties": (b"a\\", b"\\"),
}  # fmt: skip
_XML = ("xliff", "tmx", "android")
"""Formats that are XML; parts of archives count as XLIFF."""


# --- Damage by chance: each takes the bytes of a document and gives others. ---


def cut(data, draw):
    """A beginning, an end, or all but a piece of the middle."""
    first, last = sorted((draw.randrange(len(data) + 1), draw.randrange(len(data) + 1)))
    return draw.choice([data[:first], data[first:], data[:first] + data[last:]])


def flip(data, draw):
    """Some bits are others."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 5, 20, 100])):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def tell(data, draw):
    """Bytes that mean something in one of the formats are put in, or in place of others."""
    for _ in range(draw.choice([1, 1, 2, 4, 12])):
        at, value = draw.randrange(len(data) + 1), draw.choice(TELLING)
        data = data[:at] + value + data[at + draw.choice([0, 0, len(value), 7]) :]
    return data


def repeat(data, draw):
    """A piece is there many times."""
    at = draw.randrange(len(data) + 1)
    piece = data[at : at + draw.choice([1, 3, 10, 60, 400])] or b"a"
    return data[:at] + piece * min(draw.choice([2, 3, 20, 500, 20_000]), 50_000 // len(piece)) + data[at:]


def splice(data, draw):
    """The beginning of one document, and the end of another one of any format."""
    other = DOCUMENTS[draw.choice(sorted(DOCUMENTS))]
    return data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other)) :]


def encode(data, draw):
    """Written in another encoding, or said to be."""
    if draw.random() < 0.5:
        text = data.decode("utf-8", "replace")
        return text.encode(draw.choice(CODECS), "replace")
    name = draw.choice(NAMED).encode()
    head = draw.choice([b'<?xml version="1.0" encoding="%s"?>' % name, b'<meta charset="%s">' % name, b""])
    changed = data.replace(b"UTF-8", name).replace(b"utf-8", name).replace(b"iso-8859-1", name)
    return changed if changed != data else head + data


def nest(data, draw, kind):
    """The format's own brackets, deep inside each other; closed, or not."""
    before, after = DEEP.get(kind, (b"<a>", b"</a>"))
    depth = draw.choice([30, 200, 300, 1_000, 5_000])
    middle = before * depth + b"a" + after * draw.choice([depth, depth, 0, depth - 1])
    at = draw.choice([0, len(data), draw.randrange(len(data) + 1), data.find(b">", len(data) // 2) + 1])
    return draw.choice([middle, data[:at] + middle + data[at:]])


def widen(data, draw):
    """One piece of markup very often."""
    piece = draw.choice(WIDE) + draw.choice([b"", b"", b"a", b" ", draw.choice(WIDE)])
    many = piece * (draw.choice([1_000, 10_000, 50_000]) // len(piece))
    at = draw.randrange(len(data) + 1)
    return draw.choice([many, data[:at] + many + data[at:]])


def lengthen(data, draw):
    """One very long word, line or text."""
    at = draw.randrange(len(data) + 1)
    piece = draw.choice([b"a", b"word ", b"\xc3\xa4", b"<b>x</b> ", b"%s ", b"a\\n", b'a"\n"'])
    return data[:at] + piece * (draw.choice([20_000, 100_000, 200_000]) // len(piece)) + data[at:]


TEXTS = [
    '<g id="1">', "]]>", "</g>", "\u2028", "a" * 5_000, " ", "{\\an8}", "&amp;", "\n\n", "@x", "\\", "<x/>", '"', "%",
]  # fmt: skip
VALUES = ["", "1", "no", "a b", "\U0001f600", '"<&']


def doubled(one, other, draw):
    one.addnext(copy.deepcopy(one))


def emptied(one, other, draw):
    del one[:]
    one.text = draw.choice([None, "", " "])


def moved(one, other, draw):
    if one is not other and one not in list(other.iterancestors()):
        other.insert(0, one)


RESHAPES = [
    doubled, emptied, moved,
    lambda one, other, draw: one.getparent().remove(one),
    lambda one, other, draw: setattr(one, "tag", other.tag),
    lambda one, other, draw: setattr(one, "text", draw.choice(TEXTS)),
    lambda one, other, draw: setattr(one, "tail", draw.choice(TEXTS)),
    lambda one, other, draw: one.attrib.clear(),
    lambda one, other, draw: one.attrib.update(dict.fromkeys(one.attrib, draw.choice(VALUES))),
]  # fmt: skip


def reshape(data, draw):
    """Elements of XML are taken out, doubled, emptied, renamed, put inside others, given other texts: well formed."""
    try:
        root = etree.fromstring(data)
    except (etree.XMLSyntaxError, ValueError):
        return flip(data, draw)
    for _ in range(draw.choice([1, 1, 2, 4, 10])):
        if found := [one for one in root.iter() if isinstance(one.tag, str) and one is not root]:
            draw.choice(RESHAPES)(draw.choice(found), draw.choice(found), draw)
    return etree.tostring(root, encoding="UTF-8", xml_declaration=draw.random() < 0.5)


DAMAGES = {
    "cut": cut, "flip": flip, "tell": tell, "repeat": repeat, "splice": splice, "encode": encode, "nest": nest,
    "widen": widen, "lengthen": lengthen, "reshape": reshape,
}  # fmt: skip


def damaged(data, kind, draw):
    """How a document was damaged, once or twice, and its bytes then."""
    how = []
    for _ in range(draw.choice([1, 1, 1, 2])):
        name = draw.choice(sorted(DAMAGES))
        if kind in _XML and draw.random() < 0.4:
            name = "reshape"
        data = nest(data, draw, kind) if name == "nest" else DAMAGES[name](data, draw)
        how.append(name)
    return "+".join(how), data


# --- Archives ---


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts, how=zipfile.ZIP_DEFLATED, **fields):
    """An archive of pairs of name and content, with some fields of all members set."""
    data = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(data, "w") as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in parts:
            info = zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6))
            for field, value in fields.items():
                setattr(info, field, value)
            archive.writestr(info, content, how)
    return data.getvalue()


HOSTILE_NAMES = [
    "../../evil.txt", "/etc/evil.txt", "C:\\evil.txt", "..\\..\\evil.txt", "a/../../evil", "a\nb.xml",
    "word/\x1b[2J.xml",
    "n" * 60_000, "word/document.xml/x", "./word/document.xml", "ppt/slides/slide\n2.xml", "word/header\u0661.xml",
    "", "/",
]  # fmt: skip


def inside(data, kind, draw):
    """A part of an archive is damaged."""
    parts = members(data)
    how, parts[PARTS[kind]] = damaged(parts[PARTS[kind]], "xliff", draw)
    return f"inside {how}", packed(parts.items())


def renamed(data, kind, draw):
    """More members, with names that lead out of a folder, or are odd."""
    parts = [*members(data).items(), *((draw.choice(HOSTILE_NAMES), b"evil") for _ in range(draw.randrange(1, 4)))]
    draw.shuffle(parts)
    return "names", packed(parts)


def duplicated(data, kind, draw):
    """Two members of one name."""
    return "duplicate", packed([*members(data).items(), (draw.choice([PARTS[kind], "a"]), b"<a/>"), ("a", b"")])


def linked(data, kind, draw):
    """Members that are symbolic links."""
    parts = {**members(data), "link": "../../../etc/passwd", PARTS[kind] + ".link": "/etc/passwd"}
    return "links", packed(parts.items(), external_attr=0o120777 << 16)


def bomb(data, kind, draw):
    """Zeros, spaces or tags that unpack to many times their size: in the part that is read, or in another."""
    size = draw.choice([600 << 10, 5 << 20, 40 << 20])
    filling = draw.choice([b"\0", b" ", b"<w:p/>", b"a ", b"<text:p>a</text:p>", bytes(range(64, 127))])
    parts = members(data)
    name = draw.choice([PARTS[kind], "media/a.bin"])
    parts[name] = filling * (size // len(filling))
    if draw.random() < 0.3:
        parts[name] = members(data).get(name, b"<a>").replace(b">", b">" + parts[name], 1)
    return "bomb", packed(parts.items(), draw.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))


def nested(data, kind, draw):
    """Archives in archives."""
    inner = packed([("0", b"\0" * (8 << 20))])
    for depth in range(draw.choice([1, 3, 8])):
        inner = packed([(f"{depth}-{i}.zip", inner) for i in range(draw.choice([1, 4]))])
    return "nested", packed([*members(data).items(), ("inner.zip", inner[: 4 << 20])])


def crowded(data, kind, draw):
    """Very many members."""
    folder = draw.choice(["a/", PARTS[kind].rpartition("/")[0] + "/" if "/" in PARTS[kind] else "b/"])
    name = draw.choice(["{}.xml", "header{}.xml", "slide{}.xml"])
    many = draw.choice([300, 3_000, 21_000])
    content = members(data)[PARTS[kind]] if many < 1_000 else b"<a/>"
    return "crowd", packed([*members(data).items(), *((folder + name.format(i + 2), content) for i in range(many))])


def misdeclared(data, kind, draw):
    """Numbers of the central directory are others: sizes, checksums, packing, flags, places, dates."""
    changed, at = bytearray(data), -1
    places = []
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        places.append(at)
    ends = data.rfind(b"PK\x05\x06")
    for _ in range(draw.choice([1, 1, 2, 4])):
        offset, size = draw.choice(
            [(6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4)]
        )
        base = draw.choice(places)
        if draw.random() < 0.2:
            base, (offset, size) = ends, draw.choice([(8, 2), (10, 2), (12, 4), (16, 4), (20, 2)])
        value = draw.choice([0, 1, 8, 9, 12, 14, 93, 99, 0xFFFF, draw.randrange(1 << 16)])
        value = draw.choice([value, 0xFFFFFFFF, 0x7FFFFFFF, draw.randrange(1 << 32)]) if size == 4 else value
        changed[base + offset : base + offset + size] = struct.pack("<I", value)[:size]
    return "directory", bytes(changed)


def outside(data, kind, draw):
    """The archive itself is damaged."""
    how, data = damaged(data, kind, draw)
    return how, data


ARCHIVES = [
    inside,
    inside,
    inside,
    inside,
    renamed,
    duplicated,
    linked,
    bomb,
    nested,
    crowded,
    misdeclared,
    outside,
    outside,
]


# --- XML ---

LAUGHS = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
DECLARATIONS = {
    "laughs": (f'<!DOCTYPE a [<!ENTITY l0 "lol">{LAUGHS}]>', "&l9;"),
    "external": ('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>', "&e;"),
    "remote": ('<!DOCTYPE a SYSTEM "http://127.0.0.1:9/evil.dtd">', "&e;"),
    "parameter": ('<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>', ""),
    "quadratic": (f'<!DOCTYPE a [<!ENTITY q "{"a" * 50_000}">]>', "&q;" * 50_000),
    "attributes": (f'<!DOCTYPE a [<!ATTLIST b c CDATA "{"a" * 50_000}">]>', "<b/>" * 50_000),
    "recursive": ('<!DOCTYPE a [<!ENTITY r "&r;">]>', "&r;"),
    "unended": ("<!DOCTYPE a [", "a"),
    "lower": ('<!doctype a [<!entity e "x">]>', "&e;"),
    "include": ('<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></a>', ""),
    "stylesheet": ('<?xml-stylesheet href="file:///etc/passwd"?>', ""),
}
"""What comes before the root, and what is in the first text."""


def declared(text, name):
    """An XML document with a declaration that expands to more, in the encoding of most."""
    before, use = DECLARATIONS[name]
    start = text.index("?>") + 2 if text.startswith("<?xml") else 0
    at = text.index(">", text.index("Hello") - 1 if "Hello" in text else len(text) // 2) + 1
    return (text[:start] + before + text[start:at] + use + text[at:]).encode()


def bombed(kind, draw):
    """A document with one of the declarations, as a file or as a part of an archive."""
    name = draw.choice(sorted(DECLARATIONS))
    text = {"xliff": XLIFF, "tmx": TMX, "android": ANDROID, "html": HTML, "docx": DOCX, "odf": ODT}.get(kind, XLIFF2)
    data = declared(text, name)
    if kind not in PARTS:
        return name, data if draw.random() < 0.8 else codecs.BOM_UTF16_LE + data.decode().encode("utf-16-le")
    parts = members(DOCUMENTS[kind])
    parts[PARTS[kind]] = data
    return name, packed(parts.items())


def drawn(seed, number):
    """The case of this number: the same for the same seed, on every machine."""
    draw = random.Random(f"{seed}-{number}")
    sample = sorted(DOCUMENTS)[number % len(DOCUMENTS)]
    kind, data = sample.split()[0], DOCUMENTS[sample]
    xml = kind in (*PARTS, "xliff", "tmx", "android", "html")
    if xml and draw.random() < 0.12:
        how, data = bombed(kind, draw)
    elif kind in PARTS:
        how, data = draw.choice(ARCHIVES)(data, kind, draw)
    else:
        how, data = damaged(data, kind, draw)
    ending = ".arb" if sample == "json arb" else ENDINGS[kind]
    return Case(f"{number} {sample}: {how}", kind, ending, data)
