"""Limits at n-1, n and n+1, the bounded queue, clients that go away, and memory that runs out."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from servers import LINES, serving

import translora
from translora.models.t5.decode import Decoder
from translora.serve.limits import Limits
from translora.translation import running


@pytest.mark.parametrize(("count", "status"), [(249, 200), (250, 200), (251, 400)])
def test_characters(mini_server, count, status):
    text = "a " * (count // 2) + "." * (count % 2)
    pair = {"source": "de", "target": "en"}
    half = [text[: count // 2], text[count // 2 :]]
    assert mini_server.post("/v1/translate", json={"texts": half, **pair}).status_code == status
    assert mini_server.post("/translate", json={"q": text, **pair}).status_code == status
    answer = mini_server.post("/translate", data={"q": text, **pair, "source": "auto"})
    assert answer.status_code == status
    assert status == 200 or "exceed the limit of 250" in answer.json()["error"]
    asked = {"text": half, "source_lang": "de", "target_lang": "en"}
    assert mini_server.post("/v2/translate", json=asked).status_code == status


@pytest.mark.parametrize(("count", "status"), [(4, 200), (5, 200), (6, 400)])
def test_texts(mini_server, count, status):
    pair = {"source": "de", "target": "en"}
    assert mini_server.post("/v1/translate", json={"texts": ["Ja"] * count, **pair}).status_code == status
    assert mini_server.post("/translate", json={"q": ["Ja"] * count, **pair}).status_code == status


@pytest.mark.parametrize(("beams", "status"), [(3, 200), (4, 200), (5, 400)])
def test_beams(mini_server, beams, status):
    asked = {"texts": ["Ja"], "source": "de", "target": "en", "beams": beams}
    assert mini_server.post("/v1/translate", json=asked).status_code == status


@pytest.mark.parametrize(("size", "status"), [(4999, 200), (5000, 200), (5001, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_bytes(mini_server, size, status, chunked):
    body = json.dumps({"q": "Ja", "source": "de", "target": "en"}).encode().ljust(size)
    content = iter([body[:100], body[100:]]) if chunked else body
    answer = mini_server.post("/translate", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert status == 200 or "5000 bytes" in answer.json()["error"]


def test_a_full_queue_waits_before_it_says_so(adapters):
    limits = Limits(queue_lines=2 * len(LINES), patience=0.3)
    with serving([adapters / "a0"], limits=limits) as server, ThreadPoolExecutor(3) as pool:
        with server.busy():
            waiting = [pool.submit(server.texts, LINES, adapter="a0") for _ in range(2)]
            server.wait_for(2 * len(LINES))
            begun = time.monotonic()
            refused = server.post("/v1/translate", json={"texts": LINES})
            assert time.monotonic() - begun >= 0.3
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert server.get("/health").status_code == 200
        expected = translora.Translator.from_pretrained(adapters / "a0").translate(LINES)
        assert [one.result() for one in waiting] == [expected] * 2
        assert server.texts(LINES, adapter="a0") == expected
        server.wait_for(0)


def test_a_place_in_the_queue_is_waited_for(adapters):
    limits = Limits(queue_lines=len(LINES), patience=60)
    with serving([adapters / "a0"], limits=limits) as server, ThreadPoolExecutor(4) as pool:
        with server.busy():
            waiting = [pool.submit(server.texts, LINES, adapter="a0") for _ in range(4)]
            while server.service.metrics.under_way._value.get() < 4:
                time.sleep(0.01)
        assert len({tuple(one.result()) for one in waiting}) == 1
        assert server.texts(LINES * 3, adapter="a0")  # more than the queue holds: alone
        server.wait_for(0)


def test_a_client_that_goes_away_gives_its_place_back(server):
    address = urlsplit(server.url)
    with server.busy():
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(posted({"texts": LINES, "adapter": "a0"}))
            server.wait_for(len(LINES))
        server.wait_for(0)
    assert server.texts(LINES, adapter="a0")


def test_a_client_that_goes_away_gives_its_places_in_the_search_up(adapters, monkeypatch):
    step, stopped, go, steps = Decoder.step, threading.Event(), threading.Event(), []

    def halting(self, cache):
        steps.append(cache.lines)
        if len(steps) == 3:
            stopped.set()
            go.wait(60)
        return step(self, cache)

    with serving([adapters / "a0"]) as server:
        monkeypatch.setattr(Decoder, "step", halting)
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(posted({"texts": LINES * 3}))
            stopped.wait(60)
        while server.service.batcher._live:
            time.sleep(0.01)
        go.set()
        server.wait_idle()
        assert len(steps) == 3
        assert server.texts(LINES)


def posted(asked):
    """The bytes of a request."""
    body = json.dumps(asked).encode()
    head = "POST /v1/translate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def test_a_request_that_takes_too_long_is_refused(adapters):
    with serving([adapters / "a0"], limits=Limits(seconds=0.2)) as server:
        with server.busy():
            answer = server.post("/v1/translate", json={"texts": LINES})
            assert answer.status_code == 503
            assert "not done within 0.2 seconds" in answer.json()["error"]
            server.wait_for(0)
        assert server.service.batcher.exclusive(lambda: "goes on") == "goes on"


def test_out_of_memory_halves_the_batch_for_good(adapters, monkeypatch):
    begin, asked = running.begin, []

    def short(decoder, source, rules, places, found):
        asked.append(places(1))
        if places(1) > 100:
            raise MemoryError
        return begin(decoder, source, rules, places, found)

    with serving([adapters / "a0"]) as server:
        expected = server.texts(LINES)
        server.wait_idle()
        monkeypatch.setattr(running, "begin", short)
        assert server.texts(LINES) == expected
        assert len(asked) > 1
        server.wait_idle()
        assert server.texts(LINES) == expected
        assert asked[-1] == asked[-2] <= 100
        server.wait_idle()
        monkeypatch.setattr(running, "begin", lambda *_: (_ for _ in ()).throw(MemoryError))
        assert server.post("/v1/translate", json={"texts": LINES}).status_code == 503
        monkeypatch.setattr(running, "begin", begin)
        assert server.texts(LINES) == expected


def test_a_request_that_fails_leaves_the_others(adapters, monkeypatch, caplog):
    encode = Decoder.encode

    def picky(self, rows, *rest):
        if any(len(row) > 100 for row in rows):
            raise RuntimeError("a defect")
        return encode(self, rows, *rest)

    with serving([adapters / "a0"]) as server, ThreadPoolExecutor(2) as pool:
        expected = server.texts(LINES)
        monkeypatch.setattr(Decoder, "encode", picky)
        with server.busy():
            good = pool.submit(server.texts, LINES)
            server.wait_for(len(LINES))
            bad = pool.submit(server.post, "/v1/translate", json={"texts": "Wort " * 120})
            server.wait_for(len(LINES) + 1)
        assert good.result() == expected
        assert bad.result().status_code == 500
        assert bad.result().json() == {"error": "internal error"}
    assert "a defect" in caplog.text


def test_cors_is_off_unless_it_is_on(mini_server, adapters):
    origin = {"origin": "https://page.example"}
    assert "access-control-allow-origin" not in mini_server.get("/languages", headers=origin).headers
    with serving([adapters / "a0"], origins=("https://page.example",), limits=Limits(body_bytes=100)) as server:
        answer = server.get("/languages", headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        refused = server.post("/translate", json={"q": "a" * 200}, headers=origin)
        assert refused.status_code == 413
        assert refused.headers["access-control-allow-origin"] == "https://page.example"
        other = server.get("/languages", headers={"origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


def figures(server):
    """The value of each metric, by its name and labels."""
    lines = server.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}


def test_metrics(server):
    before = figures(server)
    with ThreadPoolExecutor(2) as pool, server.busy():
        other = pool.submit(server.texts, LINES[:2], adapter="a5")
        asked = pool.submit(server.post, "/v1/translate", json={"texts": LINES, "adapter": "a4"})
        server.wait_for(len(LINES) + 2)
        assert figures(server)["translora_queue_lines"] == len(LINES) + 2
    cut = sum(one["cut"] for one in asked.result().json()["translations"])
    other.result()
    server.get("/nothing/a/b")
    found = figures(server)
    grown = {name: value - before.get(name, 0) for name, value in found.items()}
    names = {name.split("{")[0] for name in found}
    assert names >= {
        "translora_requests_total", "translora_request_seconds_count", "translora_queue_lines",
        "translora_batch_lines_sum", "translora_step_seconds_sum", "translora_queue_seconds_sum",
    }  # fmt: skip
    tokenizer = server.service.models.get("a4").translators["de", "en"].tokenizer
    prompt = server.service.models.get("a4").translators["de", "en"].prompt
    wanted = {
        "lines_total": len(LINES), "characters_total": sum(map(len, LINES)),
        "source_tokens_total": sum(len(tokenizer(prompt + line)["input_ids"]) for line in LINES),
    }  # fmt: skip
    own = {name: grown[f'translora_{name}{{model="a4"}}'] for name in (*wanted, "target_tokens_total")}
    written = own.pop("target_tokens_total")
    assert own == wanted
    assert grown['translora_model_batch_lines_sum{model="a4"}'] == written + cut  # a step finds that a line is cut
    both = [grown[f'translora_model_batch_lines_sum{{model="{name}"}}'] for name in ("a4", "a5")]
    assert grown["translora_batch_lines_sum"] == sum(both)
    assert grown["translora_queue_seconds_count"] == 2
    assert not any("/nothing" in name for name in found)


def test_a_web_page_cannot_add_adapters_by_a_simple_request(server):
    """Browsers send other types than JSON across origins without asking first."""
    body = json.dumps({"name": "evil", "path": "a0"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = server.post("/v1/adapters", content=body, headers={"content-type": kind})
        assert answer.status_code == 400
    assert server.service.models.get("evil") is None
