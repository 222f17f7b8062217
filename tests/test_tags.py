"""Tags of a text, and whether a translation keeps them."""

import pytest

from translora.tags import edges_as_in, name_of, same_tags, tags, unmatched


def test_what_is_a_tag():
    text = (
        '<a href="x>y">b</a> <br/> <1>c</1> <Name> <max@example.org> <Bob\'s file> 1 <2 and 3> 2, a < b > c <!-- d -->'
    )
    found = ['<a href="x>y">', "</a>", "<br/>", "<1>", "</1>", "<Name>", "<max@example.org>", "<Bob's file>"]
    assert tags(text) == found
    assert [name_of(tag) for tag in found[:5]] == ["a", "/a", "br", "1", "/1"]
    assert [name_of(other) for other in ("%s", "{a}", "<!-- d -->", "<b>c</b>", "")] == [""] * 5


def test_halves_nest_where_the_whole_does():
    assert unmatched(["<b>", "<i>", "<br>", "</i>"]) == ["<b>"]
    assert unmatched(["</i>", "<x/>", "</b>"]) == ["</i>", "</b>"]
    assert unmatched(["<b>", "<i>", "</b>", "</i>"]) == ["<b>", "<i>", "</b>", "</i>"]
    assert unmatched(["<b>", "<Name>", "<i>", "</i>"], alone=True) == []


@pytest.mark.parametrize(
    ("source", "translation", "same", "whole"),
    [
        ("%s<b></b>", "<b></b>%s", True, True),
        ("<b></b>", "</b><b>", False, False),
        ("</b><x/><b>", "<x/></b><b>", True, True),
        ("</b><b>", "<b></b>", False, False),
        ("<file><folder>", "<folder><file>", False, True),
        ("<b><i></i>", "<i><b></i>", False, True),
        ("<b><Name></b>", "<Name><b></b>", False, True),
        ("<b><i></i></b>", "<b><i></b></i>", False, False),
        ("<b></b>", "<b></b><b></b>", False, False),
    ],
)
def test_tags_are_compared_as_a_part_and_as_a_whole(source, translation, same, whole):
    before, after = (text.replace("<", " <").replace("%", " %").split() for text in (source, translation))
    assert same_tags(before, after) is same
    assert same_tags(before, after, alone=True) is whole


@pytest.mark.parametrize(
    ("source", "translation", "spaced"),
    [
        ("<b>Datei</b> öffnen", "Open <b> File</b>", "Open <b>File</b>"),
        ("<b>Datei</b> öffnen", "Open<b> File</b>", "Open <b>File</b>"),
        ("<b>Datei</b> öffnen", "<b> File </b>open", "<b>File</b> open"),
        ("Öffnen: <b>Datei</b>.", "Open: <b>File </b>.", "Open: <b>File</b>."),
        ("(<b>Datei</b>)", "(<b> File </b>)", "(<b>File</b>)"),
        ("Das <b><i>hier</i></b> da", "This<b> <i> here </i> </b>there", "This <b><i>here</i></b> there"),
        (
            '<a href="x">a</a> <a href="y">b</a>',
            '<a href="x"> a</a><a href="y"> b</a>',
            '<a href="x">a</a> <a href="y">b</a>',
        ),
        ("<1>Datei</1> %s", "<1> File </1>%s", "<1>File</1> %s"),
        ("„<b>Datei</b>“", '"<b> File </b>"', '"<b>File</b>"'),
        ("„OK“ <b>jetzt</b>", 'Press "OK"<b> now</b>', 'Press "OK" <b>now</b>'),
        ('<b>Öffne</b> "Datei"', '<b>Open </b>"File"', '<b>Open</b> "File"'),
        ("Foo - <b>bar</b>", "Foo -<b> bar</b>", "Foo - <b>bar</b>"),
        ("Pay-<b>Karte</b>", "Pay-<b> card</b>", "Pay-<b>card</b>"),
        ("<b>Alle</b> .txt-Dateien", "<b>All </b>.txt files", "<b>All</b> .txt files"),
        ("<b>Achtung</b>!", "<b>Attention </b>!", "<b>Attention</b> !"),  # as French has it
    ],
)
def test_spaces_within_pairs_of_tags_go_outside(source, translation, spaced):
    assert edges_as_in(source, translation) == spaced


@pytest.mark.parametrize(
    ("source", "translation"),
    [
        ("Öffne <b> Datei </b>", "Open <b> File </b>"),  # as the source has it
        ("<Name> sagt", "says <Name> here"),  # no pair
        ("a<br/> b", "a <br/> b"),
        ("<b>a</b> <b> c</b>", "<b> a</b> <b>c</b>"),  # the same tag both ways
        ("<b>Datei</b>", "<b>Fichier\N{NO-BREAK SPACE}</b>"),
        ("Datei", "File <b> x </b>"),
    ],
)
def test_other_spaces_stay(source, translation):
    assert edges_as_in(source, translation) == translation
