"""translora's own interface: which model translates, adapters on one base, added and removed while requests go on."""

import dataclasses
import json
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers import LINES, make_adapter, serving

import translora
from translora.config import Config
from translora.errors import ConfigError, ModelError
from translora.export import ctranslate2
from translora.models.load import load
from translora.serve.engines import Searching, SharedBase
from translora.serve.models import Loading, Models, split_name
from translora.translation.exported import MARKER


@pytest.fixture(scope="module")
def alone(adapters):
    """The translations of each adapter by a translator of its own."""
    return {f"a{i}": translora.Translator.from_pretrained(adapters / f"a{i}").translate(LINES) for i in range(8)}


def test_eight_adapters_in_a_crowd_translate_as_each_alone(server, alone):
    with ThreadPoolExecutor(16) as pool, server.busy():
        asked = [(name, pool.submit(server.texts, LINES, adapter=name)) for name in alone for _ in range(2)]
        server.wait_for(16 * len(LINES))
        together = server.get("/metrics").text
    for name, answer in asked:
        assert answer.result() == alone[name]
    assert large_steps(server.get("/metrics").text) > large_steps(together)
    assert len({tuple(texts) for texts in alone.values()}) == 8


def large_steps(metrics):
    """How many steps there were of more than 64 lines."""
    found = re.findall(r'translora_batch_lines_bucket{le="(?:64.0|\+Inf)"} (\S+)', metrics)
    return float(found[1]) - float(found[0])


def test_one_base_is_in_memory_once(server):
    engines = {id(served.engine) for served in server.service.models}
    assert len(engines) == 1
    (engine,) = {served.engine for served in server.service.models}
    assert isinstance(engine, SharedBase)


def test_beams_scores_and_alternatives(server, adapters):
    translator = translora.Translator.from_pretrained(adapters / "a0")
    expected = translator.translate(LINES, beams=3, details=True)
    answer = server.post(
        "/v1/translate", json={"texts": LINES, "adapter": "a0", "beams": 3, "scores": True, "alternatives": 2}
    ).json()
    assert answer["adapter"] == "a0"
    assert (answer["source"], answer["target"]) == ("de", "en")
    for one, other in zip(answer["translations"], expected, strict=True):
        assert one["text"] == other.text
        assert one["score"] == pytest.approx(other.score, abs=1e-4)
        assert one["cut"] == other.cut
        assert len(one["alternatives"]) == 2
        assert one["text"] not in [candidate["text"] for candidate in one["alternatives"]]
        scores = [one["score"], *(candidate["score"] for candidate in one["alternatives"])]
        assert all(score < 0 for score in scores)
        assert len(set(scores)) == 3


def test_lines_and_spaces_stay(mini_server):
    first, second = mini_server.texts(LINES[:2])
    assert mini_server.texts(f"{LINES[0]}\r\n\n{LINES[1]}\n") == [f"{first}\r\n\n{second}\n"]
    assert mini_server.texts(["", " \n "]) == ["", " \n "]
    assert mini_server.texts([]) == []


def test_a_model_is_found_by_its_languages(mini_server):
    assert mini_server.texts(["Good morning!"], source="en_GB", target="deu") == [
        translora.Translator.from_pretrained("mini", source="en", target="de").translate("Good morning!")
    ]


@pytest.mark.parametrize(
    ("asked", "status", "error"),
    [
        ({"texts": ["a"], "adapter": "none"}, 404, "no model named none"),
        ({"texts": ["a"]}, 400, "name an adapter or the languages"),
        ({"texts": ["a"], "source": "fr", "target": "en"}, 400, "fr to en is not supported"),
        ({"texts": ["a"], "adapter": "a1", "target": "fr"}, 400, "a1 does not translate"),
        ({"texts": [3], "adapter": "a1"}, 400, "texts"),
        ({"adapter": "a1"}, 400, "texts"),
        ({"texts": ["a"], "adapter": "a1", "beams": -1}, 400, "beams"),
        ({"texts": ["a"], "adapter": "a1", "beams": 99}, 400, "beams must be from 1 to 10"),
        ({"texts": ["a"], "adapter": "a1", "alternatives": 10}, 400, "beams must be from 1 to 10"),
        ({"texts": ["a"], "adapter": "a1", "more": 1}, 400, "more"),
        ({"texts": ["\ud800"], "adapter": "a1"}, 400, ""),
        ({"texts": ["a"], "adapter": "\ud800"}, 404, "no model named"),
    ],
)
def test_mistakes_have_a_status_and_a_line(server, asked, status, error):
    headers = {"content-type": "application/json"}
    answer = server.post("/v1/translate", content=json.dumps(asked), headers=headers)
    assert answer.status_code == status
    assert error in answer.json()["error"]


def test_adapters_come_and_go_under_load(server, alone, adapters, tiny_model):
    make_adapter(adapters / "new", tiny_model, 99)
    expected = translora.Translator.from_pretrained(adapters / "new").translate(LINES)
    (engine,) = {served.engine for served in server.service.models}
    stop, answers = threading.Event(), []

    def ask(name):
        while not stop.is_set():
            answers.append((name, server.texts(LINES, adapter=name)))

    threads = [threading.Thread(target=ask, args=(f"a{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            added = server.post("/v1/adapters", json={"name": f"new{number}", "path": "new"})
            assert added.status_code == 201, added.text
            assert added.json()["shares_base"]
            assert server.texts(LINES, adapter=f"new{number}") == expected
            assert server.post("/v1/adapters", json={"name": f"new{number}", "path": "new"}).status_code == 409
            removed = server.service.models.get(f"new{number}")
            assert server.delete(f"/v1/adapters/new{number}").json() == {"removed": f"new{number}"}
            assert removed.retired
            gone = server.post("/v1/translate", json={"texts": LINES, "adapter": f"new{number}"})
            assert gone.status_code == 404
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(answers) >= 3
    assert all(texts == alone[name] for name, texts in answers)
    server.service.batcher.exclusive(lambda: None)
    assert engine._decoder.adapters == tuple(f"a{i}" for i in range(8))
    assert [served.name for served in server.service.models] == [f"a{i}" for i in range(8)]


def test_a_removed_adapter_answers_what_waits_for_it(server, adapters, alone):
    assert server.post("/v1/adapters", json={"name": "brief", "path": "a3"}).status_code == 201
    with ThreadPoolExecutor(1) as pool, server.busy():
        answer = pool.submit(server.texts, LINES, adapter="brief")
        server.wait_for(len(LINES))
        assert server.delete("/v1/adapters/brief").status_code == 200
    assert answer.result() == alone["a3"]
    assert server.delete("/v1/adapters/brief").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "..", "../..", "a0/..", ".", "", "/", "/etc", "/etc/passwd", "../a0",
        "a0/../../x", "~", "~root", "none", "a0\x00", "a0/adapter_config.json", "%2e%2e", "..%2f..", "..\\..", "C:\\",
        "\\\\host\\share", "file:///etc",
        "http://localhost/a0", "link", "inner", "run", "a0/" * 3000, "x" * 5000, "\ud800", "./.", "//a0//..//", "a0\n",
    ],
    ids=lambda path: ascii(path[:20]),
)  # fmt: skip
def test_no_path_leads_out_of_the_root(server, adapters, tiny_model, tmp_path_factory, path):
    outside = tmp_path_factory.getbasetemp() / "outside"
    if not outside.exists():
        make_adapter(outside, tiny_model, 5)
        (adapters / "link").symlink_to(outside)
        (adapters / "inner").mkdir()
        shutil.copytree(adapters / "a0", adapters / "run" / "adapter")
        (adapters / "run" / "config.yaml").symlink_to("/etc/passwd")
        (adapters / "inner" / "adapter_config.json").symlink_to(outside / "adapter_config.json")
        (adapters / "inner" / "adapter_model.safetensors").symlink_to(outside / "adapter_model.safetensors")
    for one in (path, str(outside)):
        body = json.dumps({"name": "evil", "path": one})
        answer = server.post("/v1/adapters", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert "root:" not in answer.text
        assert str(outside) not in answer.text
    assert server.service.models.get("evil") is None


def test_adapters_are_added_only_where_the_operator_said_so(mini_server):
    assert mini_server.post("/v1/adapters", json={"name": "x", "path": "a0"}).status_code == 403
    assert mini_server.delete("/v1/adapters/mini").status_code == 400


def test_an_adapter_that_changes_its_base_has_a_copy_of_its_own(adapters, tiny_model, tmp_path):
    dora = make_adapter(tmp_path / "dora", tiny_model, 3, dora=True)
    expected = translora.Translator.from_pretrained(dora).translate(LINES)
    with serving([dora, adapters / "a0"]) as server:
        kinds = [type(served.engine) for served in server.service.models]
        assert kinds == [Searching, SharedBase]
        assert server.texts(LINES, adapter="dora") == expected
        assert not server.get("/v1/models").json()["models"][0]["shares_base"]


def test_a_model_that_cannot_be_loaded_leaves_the_others(adapters, tmp_path, caplog):
    with serving([adapters / "a0", f"broken={tmp_path}"]) as server:
        assert server.get("/v1/models").json()["failed"] == ["broken"]
        assert server.texts(LINES[:1], adapter="a0")
    assert "broken is not served: " in caplog.text
    with pytest.raises(ModelError):
        Models(Loading()).load_all([str(tmp_path)])
    with pytest.raises(ConfigError, match="two models are named a0"):
        Models(Loading()).load_all([str(adapters / "a0"), f"a0={adapters / 'a1'}"])


def test_names(tmp_path, adapters):
    assert split_name("mini") == ("mini", "mini")
    assert split_name("x=runs/y") == ("x", "runs/y")
    assert split_name(str(adapters / "a0")) == ("a0", str(adapters / "a0"))
    assert split_name("google/flan-t5-small") == ("flan-t5-small", "google/flan-t5-small")
    (tmp_path / "law" / "adapter").mkdir(parents=True)
    (tmp_path / "law" / "adapter" / "adapter_config.json").touch()
    assert split_name(str(tmp_path / "law" / "adapter"))[0] == "law"


def test_a_base_that_nobody_uses_is_given_back(adapters):
    models = Models(Loading())
    models.load_all([str(adapters / "a0"), str(adapters / "a1")])
    assert len(models._bases) == 1
    for name in ("a0", "a1"):
        models.release(models.remove(name))
    assert not models._bases
    assert models.remove("a0") is None


def test_an_export_and_an_adapter_are_served_together(adapters, tmp_path):
    config = Config(model="mini")
    loaded = load(config)
    folder = tmp_path / "converted"
    folder.mkdir()
    ctranslate2.convert(loaded, folder, "float32")
    marker = {
        "format": "ctranslate2", "compute": "float32", "source": "de", "target": "en", "prompt": loaded.prompt,
        "base": "mini", "decoding": dataclasses.asdict(config.decoding),
    }  # fmt: skip
    (folder / MARKER).write_text(json.dumps(marker))
    expected = translora.Translator.from_pretrained(folder).translate(LINES)
    with serving([folder, adapters / "a0"]) as server:
        assert server.texts(LINES, adapter="converted") == expected
        streamed = server.post("/v1/translate", json={"texts": LINES, "adapter": "converted", "stream": True}).text
        assert streamed.count("event: translation\n") == len(LINES)
        assert streamed.endswith('event: end\ndata: {"texts": 5}\n\n')
        assert [one["kind"] for one in server.get("/v1/models").json()["models"]] == ["export", "adapter"]
        chosen = server.post("/v1/translate", json={"texts": LINES, "source": "de", "target": "en"}).json()
        assert chosen["adapter"] == "a0"


def test_a_run_that_learnt_both_directions_serves_both(tiny_config):
    both = dataclasses.replace(tiny_config, data=dataclasses.replace(tiny_config.data, both_directions=True))
    run = translora.train(both, quiet=True)
    with serving([run.folder]) as server:
        (shown,) = server.get("/v1/models").json()["models"]
        assert shown["languages"] == [{"source": "de", "target": "en"}, {"source": "en", "target": "de"}]
        back = translora.Translator.from_pretrained(run.folder, source="en", target="de").translate(LINES)
        assert server.texts(LINES, source="en", target="de") == back
        assert server.texts(LINES) == run.translator().translate(LINES)
    models = Models(Loading(source="en", target="de"))
    models.load_all([str(run.folder), str(tiny_config.model)])
    assert [served.pairs for served in models] == [[("de", "en"), ("en", "de")], [("en", "de")]]
