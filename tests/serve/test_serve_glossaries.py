"""Glossaries at the server: of one request, and stored ones as DeepL's client has them."""

import deepl
import pytest

from translora.errors import ConfigError
from translora.serve.engines import Alone, Options, Work, translated_together
from translora.serve.glossaries import Glossaries, GlossaryLimits, entries_of, glossary_of
from translora.serve.refusals import RefusalError
from translora.translation.translator import Translator

LINE = "Das Essen war gut."
TERMS = {"Essen": "meal", "Wohnung": "house"}


@pytest.fixture(scope="module")
def client(mini_server):
    client = deepl.Translator("any-key", server_url=mini_server.url)
    yield client
    client.close()


def test_a_request_brings_its_glossary(mini_server, expected):
    def ask(glossary, texts=(LINE, "Guten Morgen!\nDas Essen"), **more):
        asked = {"texts": texts, "source": "de", "target": "en", "glossary": glossary, **more}
        return mini_server.post("/v1/translate", json=asked)

    first, second = ask([["Essen", "meal"], ["gut", "splendiferous"]]).json()["translations"]
    assert "meal" in first["text"]
    assert first["terms"] == [
        {"source": "Essen", "target": "meal", "occurred": 1, "honoured": 1},
        {"source": "gut", "target": "splendiferous", "occurred": 1, "honoured": 0},
    ]
    assert second["text"].startswith(expected[0] + "\n")
    assert [(one["source"], one["occurred"]) for one in second["terms"]] == [("gut", 1), ("Essen", 1)]  # as in "Guten"
    tagged = ask([["Essen", "meal"]], ["<p>Das Essen war gut.</p>"], format="html").json()["translations"][0]
    assert "meal" in tagged["text"]
    assert "meal" not in ask([]).json()["translations"][0]["text"]
    assert ask([["Essen", ""]]).status_code == 400
    assert ask([["Essen", "meal"], ["Essen", "food"]]).json() == {
        "error": "Invalid glossary: entry 2 translates 'Essen' differently a second time"
    }
    assert ask([["Essen"]]).status_code == 400


def test_deepls_client_stores_lists_uses_and_deletes(client):
    made = client.create_glossary("Küche", "DE", "EN-US", TERMS)
    assert (made.name, made.source_lang, made.target_lang, made.entry_count, made.ready) == (
        "Küche",
        "DE",
        "EN",
        2,
        True,
    )
    assert [one.glossary_id for one in client.list_glossaries()] == [made.glossary_id]
    assert client.get_glossary(made.glossary_id).creation_time == made.creation_time
    assert client.get_glossary_entries(made) == TERMS
    found = client.translate_text(
        [LINE, "Guten Morgen!"], source_lang="DE", target_lang="EN-GB", glossary=made.glossary_id
    )
    assert "meal" in found[0].text
    assert "meal" in client.translate_text_with_glossary(LINE, made, target_lang="EN-US").text
    assert "meal" not in client.translate_text(LINE, source_lang="DE", target_lang="EN-GB").text
    table = client.create_glossary_from_csv("csv", "EN", "DE", 'file,"Datei, groß",EN,DE\n')
    assert client.get_glossary_entries(table) == {"file": "Datei, groß"}
    with pytest.raises(deepl.DeepLException, match="The glossary is for en to de"):
        client.translate_text("a", source_lang="DE", target_lang="EN-GB", glossary=table.glossary_id)
    for one in (made, table):
        client.delete_glossary(one)
    assert client.list_glossaries() == []
    with pytest.raises(deepl.GlossaryNotFoundException):
        client.get_glossary(made.glossary_id)
    with pytest.raises(deepl.DeepLException, match="Glossary not found"):
        client.translate_text("a", source_lang="DE", target_lang="EN-GB", glossary=made.glossary_id)


def test_deepls_client_sees_languages_and_what_is_wrong(client, mini_server):
    pairs = {(one.source_lang, one.target_lang) for one in client.get_glossary_languages()}
    assert pairs == {("de", "en"), ("en", "de")}
    with pytest.raises(deepl.DeepLException, match="Value for 'target_lang' not supported"):
        client.create_glossary("a", "DE", "FR", TERMS)
    for entries, form, said in (
        ("Essen", "tsv", "line 1 has 1 cells"),
        ('"a,b', "csv", "line 1 is not CSV"),
        ("a\tb\nx\t ", "tsv", "the target of entry 2 is no term"),
        ("", "tsv", "0 entries"),
        ("a\tb", "tbx", "neither tsv nor csv"),
    ):
        asked = {"name": "x", "source_lang": "de", "target_lang": "en", "entries": entries, "entries_format": form}
        answer = mini_server.post("/v2/glossaries", data=asked)
        assert answer.status_code == 400
        assert said in answer.json()["message"]
    asked = {"text": ["a"], "source_lang": "DE", "target_lang": "EN", "glossary_ids": ["a"]}
    assert mini_server.post("/v2/translate", json=asked).status_code == 400
    assert client.list_glossaries() == []


def test_a_folder_keeps_glossaries_and_no_key_sees_those_of_another(tmp_path):
    stored = Glossaries(tmp_path)
    made = stored.add("a", ("de", "en"), [("Essen", "meal")], "one")
    assert stored.all("other") == []
    with pytest.raises(RefusalError, match="not found"):
        stored.get(made.glossary_id, "other")
    with pytest.raises(RefusalError, match="not found"):
        stored.remove("../a", "one")
    again = Glossaries(tmp_path)
    assert again.all("one") == [made]
    assert again.get(made.glossary_id, "one").glossary.found("Das Essen")
    again.remove(made.glossary_id, "one")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"x.json: the glossary is damaged"):
        Glossaries(tmp_path)


def test_what_is_stored_has_limits():
    stored = Glossaries(limits=GlossaryLimits(glossaries=2, entries=2, characters=20))
    with pytest.raises(RefusalError, match="3 entries"):
        stored.add("a", ("de", "en"), [("a", "b"), ("c", "d"), ("e", "f")], "")
    stored.add("a", ("de", "en"), entries_of("a\tb", "tsv"), "")
    with pytest.raises(RefusalError, match="no room"):
        stored.add("a", ("de", "en"), [("a" * 20, "b")], "")
    stored.add("a", ("de", "en"), [("a", "b")], "")
    with pytest.raises(RefusalError, match="no room"):
        stored.add("a", ("de", "en"), [("a", "b")], "")


def test_models_that_share_nothing_follow_glossaries_too():
    translator = Translator.from_pretrained("mini")
    glossary = glossary_of(list(TERMS.items()), "de", "en")
    works = [
        Work(translator, [LINE, ""], Options(glossary=glossary)),
        Work(translator, ["Hallo!"], Options(glossary=glossary)),
    ]
    keys = [
        Alone().read(work, lambda ticket: None).ticket.key for work in (*works, Work(translator, [LINE], Options()))
    ]
    assert keys[0] == keys[1] != keys[2]
    (first, empty), (other,) = translated_together(works)
    assert "meal" in first.text
    assert [one.honoured for one in first.terms] == [1]
    assert empty.terms == other.terms == ()
