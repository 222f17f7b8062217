"""API keys: wrong, empty, prefix and non-ASCII ones by every interface, and the rates of each."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

import deepl
import pytest
from servers import LINES, serving

from translora.errors import ConfigError
from translora.serve.keys import Allowance, ApiKeys, Key
from translora.serve.limits import Limits
from translora.serve.refusals import RefusalError

KEYS = ("secret", "schlüssel-ß", "k" * 200)


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A server that needs a key."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in KEYS]
    file.write_text(f"# who may\nweblate {hashes[0]}\n{hashes[1].upper()} # bare\n\n{hashes[2]}\n", encoding="utf-8")
    with serving(["mini"], keys=ApiKeys.read(file)) as server:
        yield server


def asked_by(server, key):
    """The statuses of LibreTranslate's, DeepL's, OPUS-CAT's and our own interface for a key."""
    pair = {"source": "de", "target": "en"}
    bytes_key = key.encode()
    return [
        server.post("/translate", json={"q": "Ja", **pair, "api_key": key}).status_code,
        server.post("/translate", data={"q": "Ja", **pair, "api_key": key}).status_code,
        server.post("/translate", data={"q": "Ja", **pair}, params={"api_key": key}).status_code,
        server.post(
            "/v2/translate",
            data={"text": "Ja", "source_lang": "de", "target_lang": "en"},
            headers={b"authorization": b"DeepL-Auth-Key " + bytes_key},
        ).status_code,
        server.get(
            "/MtRestService/TranslateJson",
            params={"input": "Ja", "srcLangCode": "de", "trgLangCode": "en", "tokenCode": key},
        ).status_code,
        server.post(
            "/v1/translate", json={"texts": "Ja", **pair}, headers={b"authorization": b"Bearer " + bytes_key}
        ).status_code,
    ]


@pytest.mark.parametrize("key", KEYS)
def test_a_right_key(locked, key):
    assert asked_by(locked, key) == [200] * 6


@pytest.mark.parametrize("key", ["secre", "secrett", "Secret", " x", "schlussel-ß", "k" * 199, "k" * 201, "\x00", "🔑"])
def test_a_wrong_key(locked, key):
    if key == "\x00":  # no header can hold it
        asked = {"q": "Ja", "source": "de", "target": "en", "api_key": key}
        assert locked.post("/translate", json=asked).status_code == 403
        return
    assert asked_by(locked, key) == [403] * 6


def test_no_key(locked):
    pair = {"source": "de", "target": "en"}
    assert locked.post("/translate", json={"q": "Ja", **pair}).status_code == 400
    assert locked.post("/translate", json={"q": "Ja", **pair, "api_key": ""}).status_code == 400
    assert locked.post("/v1/translate", json={"texts": "Ja", **pair}).status_code == 401
    assert locked.post("/v1/adapters", json={"name": "a", "path": "a"}).status_code == 401
    assert locked.delete("/v1/adapters/mini").status_code == 401
    assert locked.get("/v2/usage").status_code == 403
    assert locked.get("/health").status_code == locked.get("/languages").status_code == 200
    assert locked.get("/frontend/settings").json()["keyRequired"] is True
    client = deepl.Translator("wrong", server_url=locked.url)
    with pytest.raises(deepl.AuthorizationException):
        client.translate_text("a", target_lang="EN-US")
    client.close()


@pytest.mark.parametrize(
    "text",
    [
        "", "# none", "secret", "x" * 64, "name " + "a" * 63, "a" * 64 + " requests", "a" * 64 + " requests=0",
        "a" * 64 + " requests=-1", "a" * 64 + " requests=1 requests=2", "a" * 64 + " lines=3",
        f"{'a' * 64}\n{'A' * 64}",
        "a" * 64 + " requests=1e3", "a" * 64 + " 10",
    ],
)  # fmt: skip
def test_a_file_of_keys_that_is_none(tmp_path, text):
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(ConfigError, match="keys"):
        ApiKeys.read(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        ApiKeys.read(tmp_path / "none")


def test_a_file_with_rates(tmp_path):
    file = tmp_path / "keys"
    one, two, three = (hashlib.sha256(key.encode()).hexdigest() for key in KEYS)
    file.write_text(f"web late {one} requests=60\tcharacters=1000 # both\n{two} characters=9\n{three}\n")
    keys = ApiKeys.read(file)
    callers = [keys.find(key) for key in KEYS]
    assert [one._requests and one._requests._most for one in callers] == [60, None, None]
    assert [one._characters and one._characters._most for one in callers] == [1000, 9, None]
    assert "secret" not in repr(vars(keys)) + repr(vars(callers[0]))


def test_an_allowance_comes_back_evenly_and_is_not_saved_up():
    now = [0.0]

    async def taken(allowance, *amounts):
        """Whether each amount can be taken at once."""
        results = []
        for amount in amounts:
            try:
                await allowance.take(amount, 0)
            except RefusalError as error:
                results.append((error.status, error.retry_after))
            else:
                results.append(True)
        return results

    async def check():
        allowance = Allowance(60, "characters", lambda: now[0])
        assert await taken(allowance, 59, 1, 1) == [True, True, (429, 1)]
        now[0] += 10
        assert await taken(allowance, 11, 10, 30) == [(429, 1), True, (429, 30)]
        now[0] += 1000
        assert await taken(allowance, 61, 1) == [True, (429, 2)]  # more than a minute's amount, once all is there

    asyncio.run(check())


def test_those_who_wait_for_an_allowance_have_their_turns(monkeypatch):
    async def check():
        done = []
        allowance = Allowance(60_000, "characters", asyncio.get_running_loop().time)
        await allowance.take(60_000, 60)

        async def take(number):
            await allowance.take(20, 60)
            done.append(number)

        waiting = [asyncio.create_task(take(number)) for number in range(4)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert done == [0, 2, 3]

    asyncio.run(check())


@pytest.fixture
def rated(adapters):
    """A server whose first key has three requests per minute, and the second ten characters; no time passes."""
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in KEYS]
    keys = ApiKeys([Key(hashes[0], requests=3), Key(hashes[1], characters=10), Key(hashes[2])], lambda: 0.0)
    with serving([adapters / "a0"], keys=keys, limits=Limits(patience=0.05)) as server:
        yield server


def statuses(server, key, *texts, **more):
    headers = {b"authorization": b"Bearer " + key.encode()}
    asked = [server.post("/v1/translate", json={"texts": text, **more}, headers=headers) for text in texts]
    for answer in asked:
        assert answer.status_code == 200 or 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.status_code == 200 or "of this API key is" in answer.json()["error"]
    return [answer.status_code for answer in asked]


def test_each_key_has_its_rate(rated):
    first, second, third = KEYS
    assert statuses(rated, first, "Ja", LINES, "Ja", "Ja") == [200, 200, 200, 429]
    assert statuses(rated, first, "Ja", stream=True) == [429]
    assert statuses(rated, second, "Wort", ["abc", "de"], "a", "") == [200, 200, 200, 200]
    assert statuses(rated, second, "a", "") == [429, 200]
    assert statuses(rated, third, *LINES) == [200] * 5
    headers = {"authorization": f"Bearer {first}"}
    assert rated.get("/v1/models", headers=headers).status_code == 200  # counted are those that translate
    pair = {"source": "de", "target": "en", "api_key": second}
    assert rated.post("/translate", json={"q": "Ja", **pair}).status_code == 429
    assert rated.post("/translate_file", files={"file": ("a.txt", b"Ja")}, data=pair).status_code == 429
    deepls = {"text": "Ja", "source_lang": "de", "target_lang": "en", "auth_key": second}
    assert rated.post("/v2/translate", data=deepls).status_code == 429
    cat = {"input": "Ja", "srcLangCode": "de", "trgLangCode": "en", "tokenCode": first}
    assert rated.get("/MtRestService/TranslateJson", params=cat).status_code == 429


def test_requests_at_once_share_the_rate(rated):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: statuses(rated, KEYS[0], "Ja")[0], range(8)))
    assert sorted(found) == [200] * 3 + [429] * 5
