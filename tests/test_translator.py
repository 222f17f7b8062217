"""The public object: loaded once, a text for a text, cut lines said, saved and shared."""

import json
import subprocess
import sys
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM

import translora
from translora.config import Config
from translora.errors import ConfigError, DataError, ModelError, StorageError
from translora.runs.card import model_card
from translora.scoring.metrics import evaluate

LINES = ["Guten Morgen!", "", "Wo ist der Bahnhof?"]


@pytest.fixture(scope="module")
def mini():
    return translora.Translator.from_pretrained("mini")


@pytest.fixture
def run(tiny_config):
    return translora.train(tiny_config, quiet=True)


def test_a_text_gives_a_text_and_a_list_gives_a_list(mini):
    alone, listed = mini.translate(LINES[0]), mini.translate(LINES)
    assert isinstance(alone, str)
    assert listed[0] == alone
    assert listed[1] == ""
    assert mini.translate(tuple(LINES)) == mini.translate(iter(LINES)) == listed
    assert mini.translate([]) == []
    assert mini.translate("") == ""


def test_details_are_asked_for(mini):
    alone, listed = mini.translate(LINES[0], details=True), mini.translate(LINES, details=True)
    assert isinstance(alone, translora.Translation)
    assert [one.text for one in listed] == mini.translate(LINES)
    assert alone.score < 0
    assert not alone.cut
    assert not alone.source_cut
    assert mini.translate(LINES[0], max_tokens=2, details=True).cut_by == "max_tokens"


def test_what_is_cut_is_said_once(mini, caplog):
    mini.translate([LINES[0], LINES[2]], max_tokens=2)
    (record,) = [record for record in caplog.records if record.name == "translora"]
    assert "the translation of line 1 (and 1 more) reached decoding.max_tokens (2) and is cut" in record.getMessage()


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (lambda it: it.translate([3]), DataError, "text 1 to translate is int"),
        (lambda it: it.translate("a", max_tokens=-1), ConfigError, "decoding.max_tokens: must be at least 1"),
        (lambda it: it.translate("a", beams=-1), ConfigError, "decoding.beams: must be at least 1"),
        (lambda it: it.score([]), DataError, "pairs: no sentence pairs"),
        (lambda it: it.score([("a",)]), DataError, "pairs:1: .* is no pair"),
    ],
)
def test_mistakes_are_one_line(mini, work, error, message):
    with pytest.raises(error, match=message):
        work(mini)


def test_scores_are_those_of_its_translations(mini):
    pairs = [(LINES[0], "Good morning!"), (LINES[2], "Where's the station?")]
    expected = evaluate(mini.translate([source for source, _ in pairs]), [target for _, target in pairs], "en")
    assert mini.score(pairs) == expected


def test_an_adapter_is_saved_as_it_was_read(run, tiny_model, tmp_path):
    translator = run.translator()
    translator.save_pretrained(tmp_path / "saved")
    saved = tmp_path / "saved"
    weights = "adapter_model.safetensors"
    assert (saved / weights).read_bytes() == (run.adapter / weights).read_bytes()
    source = run.translated("source")[:3]
    again = translora.Translator.from_pretrained(saved)
    assert again.translate(source, max_tokens=8) == translator.translate(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers warns of what PEFT calls
        PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(tiny_model), saved)
    card = (saved / "README.md").read_text(encoding="utf-8")
    for text in (
        "Licence: not stated yet",
        run.summary.signature.replace("|", ", "),
        "rank: 4",
        "corpus.tsv",
        run.summary.hardware,
        str(tiny_model),
        "library_name: peft",
        json.loads(run.inputs.read_text())["train pairs"],
    ):
        assert text in card
    assert card == (run.adapter / "README.md").read_text(encoding="utf-8")


def test_a_whole_model_is_saved_as_transformers_reads_it(tiny_model, tmp_path):
    translator = translora.Translator.from_pretrained(tiny_model)
    (tmp_path / "notes.txt").write_text("mine")
    translator.save_pretrained(tmp_path)
    again = translora.Translator.from_pretrained(tmp_path)
    assert again.translate(LINES, max_tokens=6) == translator.translate(LINES, max_tokens=6)
    assert "library_name: transformers" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.glob("*.tmp"))
    with pytest.raises(StorageError, match="cannot be written"):
        translator.save_pretrained(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("source", "target", "codes"),
    [("deu_Latn", "pt-BR", ["de", "pt"]), ("zho_Hans", "nb", ["zh", "no"]), ("de", "tyv_Cyrl", ["de", "tyv"])],
)
def test_a_card_names_the_languages_as_the_hub_does(source, target, codes):
    card = model_card(Config(source=source, target=target), adapter=True)
    assert yaml.safe_load(card.split("---")[1])["language"] == codes


def test_a_push_without_a_network_is_one_line(mini, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"you/model: not uploaded \(.*\): check the network"):
        mini.push_to_hub("you/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match="no name of a model on the hub: use USER/MODEL"):
        mini.push_to_hub("a b")


def test_a_hub_that_does_not_answer_is_one_line(mini, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port, where nobody listens
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ModelError, match=r"you/model: not uploaded \(.*\): check the network"):
        mini.push_to_hub("you/model", token="hf_secret")


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as an upload of small files takes; keeps what it is sent."""

    def do_POST(self):
        here = f"http://{self.headers['Host']}/you/model"
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, body))
        if self.path.endswith("/preupload/main"):
            names = [file["path"] for file in json.loads(body)["files"]]
            answer = {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
        elif self.path.endswith("/commit/main"):
            answer = {
                "commitUrl": f"{here}/commit/1",
                "commitOid": "1",
                "success": True,
            }
        else:
            answer = {"url": here, "id": "you/model", "name": "you/model"}
        self._send(answer)

    def do_GET(self):
        self._send({"id": "you/model", "sha": "1", "siblings": []})

    def _send(self, answer):
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_push_uploads_what_is_saved(run, hub, monkeypatch):
    code = (
        "import sys, translora; translator = translora.Translator.from_pretrained(sys.argv[1]);"
        "print(translator.push_to_hub('you/model', token='hf_secret'))"
    )
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    done = subprocess.run([sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"http://127.0.0.1:{hub.server_port}/you/model"
    assert json.loads(hub.asked[0][1])["name"] == "model"
    commit = next(body for path, body in hub.asked if path.endswith("/commit/main"))
    files = {line["value"]["path"] for line in map(json.loads, commit.splitlines()) if line["key"] == "file"}
    assert files >= {"README.md", "adapter_config.json", "adapter_model.safetensors", "translora.json"}
