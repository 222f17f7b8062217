"""Server-sent events of `/v1/translate`: in order, the same text as at once, errors as events, clients that go away."""

import json
import time
from contextlib import contextmanager

import pytest
from servers import LINES, serving

LONG = " ".join(f"Wo ist der Bahnhof Nummer {number}, und wie komme ich heute dorthin?" for number in range(20))
MANY = [f"Satz {number}." for number in range(600)]
PAIR = {"source": "de", "target": "en"}


@pytest.fixture(scope="module")
def real():
    """A server of the embedded model, whose words are never equally likely, as those of random weights can be."""
    with serving(["mini"]) as server:
        yield server


@contextmanager
def events(server, asked, **headers):
    """The events of an answer, each as its name and its data, as they come."""

    def read(lines):
        for line in lines:
            name = line.removeprefix("event: ")
            yield name, json.loads(next(lines).removeprefix("data: "))
            assert next(lines) == ""

    with server.client.stream("POST", f"{server.url}/v1/translate", json=asked, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield read(answer.iter_lines())


def collected(server, asked):
    """The names of all events, and for each text the parts of its translation."""
    with events(server, {**asked, "stream": True}) as found:
        (first, about), *rest = found
    assert first == "start"
    assert about == {"adapter": "mini", **PAIR}
    parts = [data for name, data in rest if name == "translation"]
    assert [one["index"] for one in parts] == sorted(one["index"] for one in parts)
    texts = [[one["text"] for one in parts if one["index"] == index] for index in range(len(asked["texts"]))]
    return [first, *(name for name, _ in rest)], texts


@pytest.mark.parametrize(
    ("texts", "markup"),
    [
        (["", " \n", f"{LINES[0]}\r\n\n {LINES[1]}\n", *LINES], False),
        ([LONG, f"  {LONG}\n{LINES[0]}"], False),
        ([f"<p> Das <b>ist</b> gut &amp; <i>neu</i>.<br/> {LINES[0]}</p><script>var a = '<';</script>", "<br>"], True),
        ([f"<p>Klicken Sie auf <b>Speichern</b>. {LONG}</p>\n"], True),
        ([], False),
    ],
    ids=["lines", "sentences", "html", "long html", "nothing"],
)
def test_a_stream_comes_in_parts_that_make_up_the_text(real, texts, markup):
    asked = {"texts": texts, **PAIR, "format": "html" if markup else "text"}
    names, found = collected(real, asked)
    assert names == ["start"] + ["translation"] * sum(map(len, found)) + ["end"]
    assert ["".join(parts) for parts in found] == real.texts(texts, **PAIR, format=asked["format"])
    if LONG in texts:
        assert len(found[0]) == 20


def test_scores_come_with_each_part_and_accept_asks_for_events(server):
    asked = {"texts": LINES[:2], "adapter": "a0", "scores": True}
    with events(server, asked, accept="text/html, Text/Event-Stream;q=0.9") as found:
        streamed = [data for name, data in found if name == "translation"]
    at_once = server.post("/v1/translate", json=asked).json()["translations"]
    assert [one["score"] for one in streamed] == pytest.approx([one["score"] for one in at_once], abs=1e-4)
    assert [one["cut"] for one in streamed] == [one["cut"] for one in at_once]


@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [
        ({"texts": ["a"], "adapter": "none"}, 404, "no model named none"),
        ({"texts": ["a"], "adapter": "a0", "alternatives": 1}, 400, "alternatives are not streamed"),
        ({"texts": ["a" * 20_001], "adapter": "a0"}, 400, "exceed the limit"),
    ],
)
def test_an_error_before_the_first_event_is_a_status(server, asked, status, error):
    answer = server.post("/v1/translate", json={**asked, "stream": True})
    assert answer.status_code == status
    assert error in answer.json()["error"]


def test_an_error_in_between_is_an_event(server):
    assert server.post("/v1/adapters", json={"name": "brief", "path": "a2"}).status_code == 201
    with events(server, {"texts": MANY, "adapter": "brief", "stream": True}) as found:
        assert [next(found)[0], next(found)[0]] == ["start", "translation"]
        with server.busy():
            assert server.delete("/v1/adapters/brief").status_code == 200
        *parts, (name, data) = found
    assert {name for name, _ in parts} == {"translation"}
    assert [data["index"] for _, data in parts] == list(range(1, len(parts) + 1))
    assert (name, data) == ("error", {"error": "brief is no longer served", "status": 404})
    server.wait_for(0)


def test_a_client_that_goes_away_frees_its_work(server):
    with events(server, {"texts": MANY, "adapter": "a0", "stream": True}) as found:
        assert [next(found)[0], next(found)[0]] == ["start", "translation"]
        busy = server.busy()
        busy.__enter__()
    try:
        server.wait_for(0)
        while server.service.batcher._live:
            time.sleep(0.01)
    finally:
        busy.__exit__(None, None, None)
    assert server.texts(LINES, adapter="a0")
