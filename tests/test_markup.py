"""Damaged HTML as tokens, and what a page and a text with tags make of it."""

import pytest

from translora.documents import html_pages
from translora.documents.document import Options
from translora.documents.markup import html_tokens, tokens
from translora.serve.texts import nodes_of, restored

DAMAGED = [
    ("<p>Ja</p><!-- never closed <p>Nein</p>", ["Ja"]),
    ("<p>Ja</p><!-- <p>Nein</p> --><p>Doch</p>", ["Ja", "Doch"]),
    ("<!DOCTYPE html><p>Ja</p>", ["Ja"]),
    ("<!doctype html [<!ENTITY a 'b>'>]><p>Ja</p>", ["Ja"]),
    ("<p>Ja</p><!doctype never closed", ["Ja"]),
    ("<p>Ja</p><![CDATA[<p>Nein</p>]]><p>Doch</p>", ["Ja", "Doch"]),
    ("<p>Ja</p><![CDATA[never closed <p>Nein</p>", ["Ja"]),
    ("<?xml:namespace prefix = o /><p>Ja</p>", ["Ja"]),
    ("<p>Ja</p><?php if ($a > 1) echo 'Nein'; ?><p>Doch</p>", ["Ja", "Doch"]),
    ("<p>Ja</p><?php echo '<p>Nein</p>';", ["Ja"]),
    ('<p lang="a>b" class=\'c>d\' id=e"f>Ja</p>', ["Ja"]),
    ("<p title=it's>Ja</p><p>Doch</p>", ["Ja", "Doch"]),
    ("<p>1 < 2 und 3 > 2</p>", ["1 < 2 und 3 > 2"]),
    ("<p>Ja <p", ["Ja <p"]),
    ("<p>Ja</p", ["Ja</p"]),
    ('<p>Ja <i class="', ['Ja <i class="']),
    ("<p>Ja<p>Doch<div>Nein", ["Ja", "Doch", "Nein"]),
    ("Ja</p></div><p>Doch", ["Ja", "Doch"]),
    ('<script>if (a<b) c="</p>"</script><p>Ja</p>', ["Ja"]),
    ("<script>if (a<b) never('closed')<p>Nein</p>", []),
    ("<P TRANSLATE=NO>Nein</P><p class='a notranslate'>Nein</p><p class=notranslated>Ja</p>", ["Ja"]),
]


@pytest.mark.parametrize(("page", "texts"), DAMAGED)
def test_damaged_html_is_read_alike_in_pages_and_in_texts(page, texts):
    """What is translated to itself is the same page again, but for entities of characters that mean something."""
    assert "".join(token.raw for token in html_tokens(page, ("script",))) == page
    pieces = nodes_of(page)
    assert [piece.text for piece in pieces if piece.translated] == texts
    again = restored(pieces, iter(texts))
    assert page in (again, again.replace("&lt;", "<").replace("&gt;", ">"))
    document = html_pages.read(page.encode(), "page.html", Options())
    assert [segment.text for segment in document.segments] == texts


def test_many_quotes_take_little_time():
    """Each quote has one meaning: a tag that never ends is not tried in all of its ways."""
    page = "<a " + "x\"y' \"'" * 50_000
    assert [token.kind for token in tokens(page)] == ["text"]
