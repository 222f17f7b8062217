"""Whatever a client sends: no status from 500 on, no traceback in an answer, and the server goes on."""

import json
import os
import random
import socket
from urllib.parse import urlsplit

import schemathesis
from hypothesis import HealthCheck, given, settings
from servers import LINES, serving

from translora.serve.limits import Limits

COUNT = int(os.environ.get("TRANSLORA_FUZZ", "150"))
PATHS = [
    "/v1/translate", "/v1/adapters", "/v1/models", "/translate", "/detect", "/languages", "/suggest",
    "/frontend/settings", "/v2/translate", "/v2/languages", "/v2/usage", "/MTRestService/TranslateJson",
    "/MtRestService/GetLanguagePairModelTags", "/MtRestService/CheckModelStatus", "/health", "/ready", "/metrics", "/x",
    "/v1/adapters/a0/..", "/openapi.json", "/spec", "//", "/%ff", "/v1/%00",
]  # fmt: skip
NAMES = [
    "texts", "adapter", "source", "target", "beams", "scores", "alternatives", "format", "q", "api_key", "text",
    "text[]", "source_lang", "target_lang", "tag_handling", "input", "srcLangCode", "trgLangCode", "modelTag", "name",
    "path", "type",
]  # fmt: skip
TEXTS = [
    "", "de", "en", "auto", "DE", "zz", "Ja", "a0", "mini", "\ud800", "\x00", "<p>Ja<b", "🙂", "../..", "html", "xml",
    "de-", "1" * 400, "é" * 90, "[X12X]", "\r\n\n", "&#0;&#x110000;&amp", "_", "-_-", "x-y-z-x", "root", "de_XX@y",
]  # fmt: skip


def value(draw, depth=0):
    """Any value of JSON, mostly those that mean something."""
    kind = draw.randrange(12)
    if kind < 6:
        return draw.choice(TEXTS)
    if kind == 6:
        return draw.choice([0, -1, 3, 10**30, 1e308, 0.5, True, None])
    if kind == 7 and depth < 3:
        return {draw.choice(NAMES): value(draw, depth + 1)}
    if depth < 3:
        return [value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return None


def test_any_request(mini_server):
    draw = random.Random(14)
    for _ in range(COUNT):
        path = draw.choice(PATHS)
        fields = {name: value(draw) for name in draw.sample(NAMES, draw.randrange(8))}
        method = draw.choice(["GET", "POST", "POST", "POST", "DELETE", "PUT"])
        options = draw.choice(
            [
                {"content": json.dumps(fields), "headers": {"content-type": "application/json"}},
                {"data": {name: str(one).encode("utf-8", "replace").decode() for name, one in fields.items()}},
                {
                    "content": draw.randbytes(60),
                    "headers": {"content-type": draw.choice(["application/json", "a", ""])},
                },
                {"content": draw.randbytes(60), "headers": {"content-type": "multipart/form-data; boundary=x"}},
                {
                    "content": b"--x\r\n" + draw.randbytes(9),
                    "headers": {"content-type": "multipart/form-data; boundary=x"},
                },
                {"params": {name: str(one).encode("utf-8", "replace").decode() for name, one in fields.items()}},
            ]
        )
        answer = mini_server.request(method, path, **options)
        assert answer.status_code < 500, (method, path, options, answer.text)
        assert "Traceback" not in answer.text
        assert answer.status_code != 200 or 'File "' not in answer.text
    assert mini_server.texts(LINES[:1], source="de", target="en")


def test_any_bytes_on_the_socket(mini_server):
    draw = random.Random(15)
    address = urlsplit(mini_server.url)
    starts = [
        b"", b"GET / HTTP/1.1\r\n", b"POST /translate HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n",
        b"POST /translate HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\n", b"GET /" + b"a" * 70_000,
        b"POST /v1/translate HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
    ]  # fmt: skip
    for _ in range(COUNT // 10):
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(draw.choice(starts) + draw.randbytes(draw.randrange(200)))
            client.shutdown(socket.SHUT_WR)
            client.settimeout(30)
            try:
                answer = client.recv(10_000)
            except ConnectionResetError:
                continue
            assert b"Traceback" not in answer
            assert not answer.startswith(b"HTTP/1.1 5")
    assert mini_server.texts(LINES[:1], source="de", target="en")


def test_any_request_of_the_openapi_document(adapters):
    """Schemathesis makes requests that the document allows, and others; 503 alone may stand among the errors of 500."""
    limits = Limits(characters=60, texts=3, beams=3, body_bytes=5000)
    with serving([adapters / "a0"], adapters_root=adapters, limits=limits) as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) > 20
        seen = {}
        for operation in operations:
            check_operation(server, operation, max(5, COUNT // 20), seen)
        assert seen[200] > 10  # most of what is allowed by the letter is refused by its contents
        assert seen[400] > len(operations)
        assert server.texts(LINES[:1], adapter="a0")


def check_operation(server, operation, count, seen):
    """Ask `count` times, as the operation is described and not; `seen` counts the statuses."""

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(
        case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
        | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    )
    def check(case):
        answer = case.call(base_url=server.url, timeout=60)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        assert answer.status_code < 500 or answer.status_code == 503, (case.as_curl_command(), answer.text)
        assert "Traceback" not in answer.text
        assert 'File "' not in answer.text or answer.status_code == 200

    check()
