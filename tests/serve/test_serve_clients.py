"""The unmodified clients of LibreTranslate and DeepL, and the request shapes of Weblate, Mastodon and OPUS-CAT."""

import re
import urllib.error

import deepl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libretranslatepy import LibreTranslateAPI
from servers import LINES

from translora import Translator
from translora.serve.codes import deepl_targets, from_libre, libre_code
from translora.serve.texts import lines_of, nodes_of, restored


@pytest.fixture
def deepl_client(mini_server):
    client = deepl.Translator("any-key", server_url=mini_server.url)
    yield client
    client.close()


def test_a_line_is_the_same_by_every_interface(mini_server, deepl_client, expected):
    libre = LibreTranslateAPI(mini_server.url)
    assert mini_server.texts(LINES, source="de", target="en") == expected
    assert [libre.translate(line, "de", "en") for line in LINES] == expected
    found = deepl_client.translate_text(LINES, source_lang="DE", target_lang="EN-US")
    assert [one.text for one in found] == expected
    cat = [opuscat(mini_server, "MTRestService/TranslateJson", input=line)["translation"] for line in LINES]
    assert cat == expected


def opuscat(server, path, **more):
    answer = server.get(f"/{path}", params={"tokenCode": "0", "srcLangCode": "de-DE", "trgLangCode": "en-US", **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_libretranslatepy(mini_server):
    libre = LibreTranslateAPI(mini_server.url)
    assert libre.languages() == [
        {"code": "de", "name": "German", "targets": ["en"]},
        {"code": "en", "name": "English", "targets": ["de"]},
    ]
    (first, *_) = libre.detect("Wo ist der Bahnhof, bitte?")
    assert first["language"] == "de"
    assert 90 < first["confidence"] <= 100


def test_weblate_sends_arrays(mini_server, expected):
    asked = {"q": LINES[:3], "source": "de", "target": "en", "format": "text"}
    assert mini_server.post("/translate", json=asked).json() == {"translatedText": expected[:3]}
    asked["alternatives"] = 2
    answer = mini_server.post("/translate", json=asked).json()
    assert len(answer["translatedText"]) == 3
    assert all(len(set(others)) == 2 for others in answer["alternatives"])


def test_weblate_asks_for_the_languages_and_sends_batches_of_twenty_with_its_placeholders(server):
    (pair,) = [one["targets"] for one in server.get("/languages").json() if one["code"] == "de"]
    assert pair == ["en"]
    texts = [f"Satz [X{number}X] und [X{number + 1}X]." for number in range(0, 40, 2)]
    asked = {"api_key": "", "q": texts, "source": "de", "target": "en"}
    found = server.post("/translate", json=asked).json()["translatedText"]
    assert len(found) == 20
    for number, text in enumerate(found):
        assert re.findall(r"\[X\d+X\]", text) == [f"[X{2 * number}X]", f"[X{2 * number + 1}X]"]


def test_auto_is_identified_for_each_text(mini_server):
    texts = ["Wo ist der Bahnhof?", "Where is the station, please?"]
    answer = mini_server.post("/translate", json={"q": texts, "source": "auto", "target": "en"}).json()
    assert [one["language"] for one in answer["detectedLanguage"]] == ["de", "en"]
    assert answer["translatedText"][1] == texts[1]
    alone = mini_server.post("/translate", data={"q": texts[0], "source": "auto", "target": "en"}).json()
    assert alone["translatedText"] == answer["translatedText"][0]
    assert alone["detectedLanguage"]["language"] == "de"


def test_mastodon_sends_html_whose_tags_stay(mini_server, expected):
    page = (
        f'<p class="a>b">{LINES[0]} <br/>{LINES[1]}</p><!-- Ja > --><pre>Guten Tag</pre>'
        f'<span translate="no">Ja<b>Ja</b></span>\n <a href="x?a=1&amp;b=2">12 %</a>'
    )
    answer = mini_server.post("/translate", json={"q": [page], "source": "de", "target": "en", "format": "html"})
    wanted = page.replace(LINES[0], expected[0]).replace(LINES[1], expected[1].replace("&", "&amp;"))
    assert answer.json() == {"translatedText": [wanted]}


@pytest.mark.parametrize(
    "text",
    [
        "", "<", "a < b", "<p", "<p>x", 'a <b c="', "<!-- x", "<![CDATA[x]]>y", "<?php x ?>y", "</p>",
        "<a b='>'>x</a>",         "<p>Don't <i>\n a\r\nb </i>&nbsp;&lt;c</p>",
        "<script>if (a < b) x</script>y", "<svg/><br>z", "1<2>3", "<é>", "<!>",
    ],
)  # fmt: skip
def test_no_tag_is_lost_or_changed(text):
    """Texts that are translated to themselves are the same again, but for entities that need none."""
    import html

    pieces = nodes_of(text)
    again = restored(pieces, iter([piece.text for piece in pieces if piece.translated]))
    assert html.unescape(again) == html.unescape(text)
    assert restored(lines_of(text), iter([piece.text for piece in lines_of(text) if piece.translated])) == text


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("<p>Klicken Sie auf <b>Speichern</b>.</p>", ["Klicken Sie auf <b>Speichern</b>."]),
        ("<p> <b><i>Ja</i></b> <br/></p>", ["Ja"]),
        ("<b>Ja</b> und <b>nein</b>", ["<b>Ja</b> und <b>nein</b>"]),
        ("</b>Ja<i>x</b>", ["Ja<i>x"]),
        ("<b>Ja</b>, nein<br>", ["<b>Ja</b>, nein"]),
        ("Ja <img src='x'> nein", ["Ja <img src='x'> nein"]),
        ("Gr&ouml;&szlig;er <i>als</i>", ["Größer <i>als</i>"]),
        ("a &lt; <b>b</b>", ["a <", "b"]),
        ("R&amp;D <b>heute</b>", ["R&D", "heute"]),
        ('<a title="a>b">Ja</a> <span translate="no">nein</span> doch', ["Ja", "doch"]),
        ("Das <b>ist\ngut</b> so", ["Das <b>ist", "gut</b> so"]),
        ("<td>, <b>!</b></td>", []),
    ],
)
def test_tags_inside_a_sentence_are_part_of_it(text, translated):
    import html

    pieces = nodes_of(text)
    assert [piece.text for piece in pieces if piece.translated] == translated
    again = restored(pieces, iter(translated))
    assert html.unescape(again) == html.unescape(text)


_PARTS = [
    *(
        "Ja",
        " ",
        "nein, ",
        "<b>",
        "</b>",
        "<i class='x'>",
        "</i>",
        "<p>",
        "</p>",
        "<br/>",
        "&amp;",
        "&lt;i&gt;",
        "<",
        "é",
    ),
    *("\n", "<code>", "</code>", "<img src='a'>", "</a>", "<a href='?a=1&amp;b'>"),
]


@given(st.lists(st.sampled_from(_PARTS), max_size=12).map("".join))
def test_nothing_is_lost_between_tags(text):
    import html

    pieces = nodes_of(text)
    again = restored(pieces, iter([piece.text for piece in pieces if piece.translated]))
    assert html.unescape(again) == html.unescape(text)


def test_what_a_translation_adds_is_no_tag():
    pieces = nodes_of("Das <b>ist</b> gut")
    assert restored(pieces, iter(["<b>That</b> <i>is</i> <b>&"])) == "<b>That</b> &lt;i&gt;is&lt;/i&gt; &lt;b&gt;&amp;"


@pytest.mark.parametrize("path", ["/translate", "/v2/translate"])
def test_a_sentence_with_tags_is_translated_whole(mini_server, path):
    text = "Klicken Sie auf <b>Speichern</b>, um die Datei zu <i>sichern</i>."
    if path == "/translate":
        asked = {"q": text, "source": "de", "target": "en", "format": "html"}
        found = mini_server.post(path, json=asked).json()["translatedText"]
    else:
        asked = {"text": [text], "target_lang": "EN", "source_lang": "DE", "tag_handling": "xml"}
        found = mini_server.post(path, json=asked).json()["translations"][0]["text"]
    assert [found.count(tag) for tag in ("<b>", "</b>", "<i>", "</i>")] == [1, 1, 1, 1]
    assert "&lt;" not in found
    assert found == Translator.from_pretrained("mini").translate(text)


def test_script_comes_back_escaped(mini_server):
    asked = {"q": "&lt;script&gt;alert(1)&lt;/script&gt;", "source": "de", "target": "en", "format": "html"}
    assert "<script" not in mini_server.post("/translate", json=asked).json()["translatedText"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"source": "de", "target": "en"}, "Invalid request: missing q parameter"),
        ({"q": "", "source": "de", "target": "en"}, "Invalid request: missing q parameter"),
        ({"q": "a", "target": "en"}, "Invalid request: missing source parameter"),
        ({"q": "a", "source": "de"}, "Invalid request: missing target parameter"),
        ({"q": "a", "source": "zz", "target": "en"}, "zz is not supported"),
        ({"q": "a", "source": "de", "target": "zz"}, "zz is not supported"),
        ({"q": "a", "source": "de", "target": "en", "format": "pdf"}, "pdf format is not supported"),
        ({"q": "a", "source": "de", "target": "en", "alternatives": "x"}, "alternatives parameter is not a number"),
        ({"q": {"a": 1}, "source": "de", "target": "en"}, "q parameter is neither a text nor a list of texts"),
        ({"q": [1], "source": "de", "target": "en"}, "q parameter is neither a text nor a list of texts"),
        ({"q": "a", "source": 3, "target": "en"}, "source parameter is not a text"),
        ({"q": "a", "source": "\ud800", "target": "en"}, "source parameter is not a text"),
    ],
)
def test_errors_of_libretranslate(mini_server, asked, error):
    import json

    answer = mini_server.post(
        "/translate", content=json.dumps(asked), headers={"content-type": "application/json; charset=utf-8"}
    )
    assert answer.status_code == 400
    assert error in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b'"\xff"', b"[" * 100_00 + b"]", b"9" * 4999])
def test_json_that_is_none(mini_server, body):
    answer = mini_server.post("/translate", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413)
    assert answer.json()["error"]
    for path in ("/v1/translate", "/v2/translate", "/v1/adapters"):
        answer = mini_server.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 413)


def test_what_else_libretranslates_clients_ask_for(mini_server):
    settings = mini_server.get("/frontend/settings").json()
    assert settings["charLimit"] == 250
    assert settings["language"]["source"] == {"code": "de", "name": "German"}
    assert mini_server.post("/suggest", data={"q": "a", "s": "b", "source": "de", "target": "en"}).json() == {
        "success": True
    }
    assert mini_server.get("/health").json() == {"status": "ok"}
    assert "/translate" in mini_server.get("/spec").json()["paths"]
    files = mini_server.post("/translate", files={"q": ("a.txt", b"Guten Tag")}, data={"source": "de", "target": "en"})
    assert files.status_code == 400


def test_codes():
    assert [libre_code(code) for code in ("pt-BR", "pt", "zh-Hans", "zh_TW", "deu_Latn", "EN-us")] == [
        "pb", "pt", "zh", "zt", "de", "en",
    ]  # fmt: skip
    assert [from_libre(code) for code in ("pb", "zt", "zh", "de")] == ["pt-BR", "zh-Hant", "zh-Hans", "de"]
    assert deepl_targets("en") == ("EN-GB", "EN-US")
    assert deepl_targets("pt_BR") == ("PT-BR",)
    assert deepl_targets("deu") == ("DE",)


def test_deepls_client(deepl_client, expected):
    assert [one.code for one in deepl_client.get_source_languages()] == ["DE", "EN"]
    assert [one.code for one in deepl_client.get_target_languages()] == ["EN-GB", "EN-US", "DE"]
    found = deepl_client.translate_text(LINES[1], target_lang="EN-GB")
    assert found.text == expected[1]
    assert found.detected_source_lang == "DE"
    assert found.billed_characters == len(LINES[1])
    tagged = deepl_client.translate_text(f"<x>{LINES[0]}</x><y/>", target_lang="EN-GB", tag_handling="xml")
    assert tagged.text == f"<x>{expected[0]}</x><y/>"
    assert deepl_client.get_usage().character.count > 0
    with pytest.raises(deepl.DeepLException, match="Value for 'target_lang' not supported"):
        deepl_client.translate_text("a", target_lang="FR")
    with pytest.raises(deepl.DeepLException, match="Value for 'source_lang' not supported"):
        deepl_client.translate_text("a", source_lang="FR", target_lang="DE")


def test_deepl_leaves_what_is_in_the_target_language(deepl_client, expected):
    english = "The weather has been very nice for several weeks now."
    found = deepl_client.translate_text([LINES[1], english, "OK"], target_lang="EN-GB")
    assert [one.text for one in found[:2]] == [expected[1], english]
    assert [one.detected_source_lang for one in found] == ["DE", "EN", "DE"]  # the last is not sure
    button = '<button type="submit" class="btn btn-primary" onclick="submit()">Absenden</button>'
    tagged = deepl_client.translate_text(button, target_lang="EN-GB", tag_handling="html")
    assert tagged.detected_source_lang == "DE"  # by its text, not by the names of its tags


def test_deepls_ignored_tags_stay(deepl_client, expected):
    text = f"<keep>Der Hund</keep> im Garten. <p>{LINES[0]}</p><x id='1'></x>"
    asked = {"source_lang": "DE", "target_lang": "EN-US", "tag_handling": "xml", "ignore_tags": ["keep", "x"]}
    found = deepl_client.translate_text(text, **asked).text
    assert found.startswith("<keep>Der Hund</keep> ")
    assert found.endswith(f"<p>{expected[0]}</p><x id='1'></x>")
    with pytest.raises(deepl.DeepLException, match="Value for 'formality' not supported"):
        deepl_client.translate_text("a", source_lang="DE", target_lang="EN-US", formality="more")


def test_weblate_sends_deepl_a_form(mini_server, expected):
    asked = {"text": LINES[:2], "source_lang": "DE", "target_lang": "EN", "tag_handling": "xml"}
    headers = {"Authorization": "DeepL-Auth-Key any"}
    answer = mini_server.post("/v2/translate", data=asked, headers=headers).json()
    assert [one["text"] for one in answer["translations"]] == expected[:2]
    assert mini_server.post("/v2/translate", json={"text": ["a"]}).json() == {
        "message": "Value for 'target_lang' not supported."
    }


def test_opuscats_plugins(mini_server):
    for prefix in ("MtRestService", "MTRestService", "mtrestservice"):
        assert opuscat(mini_server, f"{prefix}/ListSupportedLanguagePairs") == ["de-en", "en-de"]
    assert opuscat(mini_server, "MtRestService/GetLanguagePairModelTags") == ["mini"]
    assert opuscat(mini_server, "MtRestService/CheckModelStatus", modelTag="") == "model mini is ready"
    assert opuscat(mini_server, "MtRestService/PreOrderBatch", input="a") == "batch received"
    tagged = opuscat(mini_server, "MtRestService/TranslateJson", input=LINES[0], modelTag="mini")
    assert tagged == opuscat(mini_server, "MtRestService/TranslateJson", input=LINES[0])
    missing = mini_server.get("/MtRestService/TranslateJson", params={"input": "a", "srcLangCode": "de"})
    assert missing.status_code == 400


@pytest.mark.parametrize("text", ["12.05.2023", "1.234,56 €", "* * *", "1 2 3 4 5 6 7 8 9 10", "|---|---|", "😀"])
def test_a_line_without_letters_stays(mini_server, text):
    asked = {"q": text, "source": "de", "target": "en"}
    assert mini_server.post("/translate", json=asked).json()["translatedText"] == text


def test_white_space_around_lines_stays(mini_server, expected):
    text = f"\t{LINES[0]}\t\n\n  • {LINES[1]} \r\n"
    found = mini_server.post("/translate", json={"q": text, "source": "de", "target": "en"}).json()["translatedText"]
    assert found.startswith(f"\t{expected[0]}\t\n\n  ")
    assert found.endswith(" \r\n")


def test_many_tags_take_no_time_that_grows_with_their_square():
    pieces = nodes_of("<b>" * 6_000 + "Ja" + "<i>" * 6_000)
    assert [piece.text for piece in pieces if piece.translated] == ["Ja"]


def test_a_missing_page_is_an_error_of_libretranslates_form(mini_server):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        LibreTranslateAPI(mini_server.url + "/nothing").languages()
    assert mini_server.get("/nothing").json() == {"error": "Not Found"}
    assert mini_server.get("/v2/nothing").json() == {"message": "Not Found"}
