"""XLIFF that is written keeps the rules of its version: OASIS's schemas, where they are, and those of `xliff_rules`."""

import re

import pytest
from lxml import etree

from translora.documents.document import Options
from translora.documents.formats import read
from xliff_rules import faults, schema_of

FIRST = """<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
  <file source-language="en" target-language="de" original="a" datatype="plaintext">
    <header><note>A note</note></header>
    <body>
      <group id="g1"><trans-unit id="1"><source>Hello <g id="5">you &amp; <x id="6"/></g></source>
        <note>A note</note></trans-unit></group>
      <trans-unit id="2"><source>Two</source><target state="new"></target><note from="x">b</note></trans-unit>
      <trans-unit id="3"><source>Three</source>
        <target state="final" state-qualifier="exact-match">Drei</target>
        <alt-trans><target>3</target></alt-trans></trans-unit>
      <trans-unit id="4">
        <source>A <bx id="1" rid="1"/>bold<ex id="2" rid="1"/> <it id="3" pos="open">i</it> word
        <ph id="4">%s</ph></source><target/></trans-unit>
      <trans-unit id="5"><source>One. Two.</source>
        <seg-source><mrk mtype="seg" mid="0">One.</mrk> <mrk mtype="seg" mid="1">Two
        <bpt id="1">{</bpt>b<ept id="1">}</ept>.</mrk></seg-source></trans-unit>
      <trans-unit id="6" translate="no"><source>Four</source></trans-unit>
    </body>
  </file>
  <file source-language="en" original="b" datatype="html"><body><trans-unit id="1"><source>Five</source>
    <alt-trans><source>Five</source><target>5</target></alt-trans></trans-unit></body></file>
</xliff>
"""
SECOND = """<x:xliff xmlns:x="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" xmlns:o="urn:other">
  <x:file id="f"><x:notes><x:note>A note</x:note></x:notes>
    <x:unit id="u"><o:other/><x:originalData><x:data id="d1">&lt;b&gt;</x:data></x:originalData>
      <x:segment id="1"><x:source>Hello <x:pc id="1" dataRefStart="d1">you <x:ph id="2"/></x:pc></x:source></x:segment>
      <x:ignorable><x:source> </x:source></x:ignorable>
      <x:segment state="initial" subState="o:mt">
        <x:source>A <x:sc id="4"/>bold<x:ec startRef="4"/> <x:cp hex="0001"/></x:source>
        <x:target></x:target></x:segment>
      <x:segment subState='o:a' state='final'><x:source>Three</x:source><x:target>Drei</x:target></x:segment></x:unit>
    <x:group id="g"><x:unit id="v"><x:notes><x:note category="x">b</x:note></x:notes>
      <x:segment>
        <x:source><x:mrk id="m1" type="term">Four</x:mrk> <x:sm id="m2"/>words<x:em startRef="m2"/></x:source>
      </x:segment>
      </x:unit><x:unit id="w" translate="no"><x:segment><x:source>No</x:source></x:segment></x:unit></x:group>
  </x:file>
</x:xliff>
"""


def translated(text, all_of_it, reviewed, comments):
    """The file with a translation of each text, in which the tags are in another order where they may be."""
    document = read(text.encode(), "a", "xliff", Options("en", "de", reviewed))
    found = [f"Z <& {one.text} Ä" if all_of_it or not one.translated else None for one in document.segments]
    moved = '<x id="3"/>'
    found = [one if one is None or moved not in one else moved + one.replace(moved, "") for one in found]
    assert sum(one is not None for one in found) >= 3
    return document.filled(found, [f"comment {i}" for i in range(len(found))] if comments else ())


@pytest.mark.parametrize(("text", "version"), [(FIRST, "1.2"), (SECOND, "2.0")])
@pytest.mark.parametrize("how", [(False, False, False), (True, False, True), (True, True, True)])
def test_what_is_written_is_valid(text, version, how):
    assert [fault for fault in faults(text.encode()) if "other codes" not in fault and "trgLang" not in fault] == []
    written = translated(text, *how)
    assert faults(written) == []
    if schema := schema_of(version):
        assert schema.validate(etree.fromstring(text.encode())), schema.error_log
        assert schema.validate(etree.fromstring(written)), schema.error_log
    again = translated(written.decode(), True, *how[1:])
    assert faults(again) == []
    assert again.count(b"<target") == written.count(b"<target")
    if version == "2.0":
        assert written.count(b' trgLang="de"') == again.count(b' trgLang="de"') == 1
        assert (b"o:a" in written, b"o:mt" in written) == (not how[0], False)


BROKEN = [
    (FIRST, "<source>Two</source>", "", "trans-unit: holds target note"),
    (FIRST, ' id="2"', "", "trans-unit: no id"),
    (FIRST, 'id="2"', 'id="1"', "trans-unit/bin-unit: two of the id 1"),
    (FIRST, 'state="new"', 'state="done"', "target: state is done"),
    (FIRST, ' mtype="seg" mid="0"', "", "no mtype"),
    (FIRST, '<x id="6"/>', '<x id="6"><g id="7"/></x>', "x: holds g"),
    (FIRST, '<target state="new"></target><note from="x">b</note>', "<note>b</note><target/>", "source note target"),
    (FIRST, "Drei", '<g id="1">Drei</g>', "trans-unit: other codes in the target"),
    (SECOND, 'hex="0001"', "", "cp: no hex"),
    (SECOND, "Drei", '<x:ph id="1"/>', "other codes in the target"),
    (SECOND, " srcLang", " trgLang", "xliff: no srcLang"),
    (SECOND, "state='final'", "", "a subState without a state"),
    (SECOND, 'state="initial"', 'state="new"', "segment: state is new"),
    (SECOND, "<x:notes><x:note>A note</x:note></x:notes>", "<x:notes/>", "notes: holds nothing"),
    (SECOND, 'id="v"', 'id="u"', "unit: two of the id u"),
    (SECOND, "<x:source>Three</x:source>", "", "segment: holds target"),
    (SECOND, "Drei", "Drei", "targets without trgLang"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "words"), BROKEN)
def test_the_rules_find_what_is_wrong(text, old, new, words):
    assert old in text
    broken = text.replace(old, new, 1).encode()
    assert any(words in re.sub(r" in line \d+", "", fault) for fault in faults(broken)), faults(broken)
    schema = schema_of("1.2" if text is FIRST else "2.0")
    if schema and not any(rule in words for rule in ("other codes", "subState", "trgLang", "two of")):
        assert not schema.validate(etree.fromstring(broken))
