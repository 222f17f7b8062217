"""The recipe `my-corpus-vi` and the script that builds its corpus, on small packages and a model of mT5's form."""

import io
import shutil
import subprocess
import sys
import unicodedata
import zipfile
from itertools import product
from pathlib import Path

import pytest
import torch
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from transformers import MT5Config, MT5ForConditionalGeneration

import translora
from translora.scoring.metrics import bleu
from vocabularies import unigram

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts" / "mini"))

import build_vietnamese

VERBS = {"Mở": "Open", "Lưu": "Save", "Xóa": "Delete", "Sao chép": "Copy", "In": "Print"}
NOUNS = {"tài liệu": "the document", "bảng tính": "the spreadsheet", "hình ảnh": "the image", "thư mục": "the folder"}
PLACES = {"này": "here", "vào ổ đĩa": "to the disk", "trong cửa sổ mới": "in a new window", "ngay bây giờ": "now"}
PAIRS = {
    f"{verb[0]} {noun[0]} {place[0]}": f"{verb[1]} {noun[1]} {place[1]}"
    for verb, noun, place in product(VERBS.items(), NOUNS.items(), PLACES.items())
}

BRACES = ("Đóng { $count } thẻ", "Close { $count } tabs")


def package(packages, name, path, content):
    """A Debian package of one file."""
    file = packages / name / path
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    control = packages / name / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: a\n")
    command = ["dpkg-deb", "--build", str(packages / name), str(packages / f"{name}_1_all.deb")]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(packages / name)


def language_pack(locale, text):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr(f"browser/localization/{locale}/browser/a.ftl", text)
    return archive.getvalue()


@pytest.fixture
def corpus(tmp_path, monkeypatch, capsys):
    """The corpus that the script builds of small packages, and what it printed."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("needs dpkg-deb")
    catalog, packages = Catalog(locale="vi"), tmp_path / "packages"
    for vietnamese, english in PAIRS.items():
        catalog.add(f"~{english}", f"~{unicodedata.normalize('NFD', vietnamese)}")
    catalog.add("Bold", "Bold")
    file = io.BytesIO()
    write_mo(file, catalog)
    place = "usr/lib/libreoffice/program/resource/vi/LC_MESSAGES/sw.mo"
    package(packages, "libreoffice-l10n-vi", place, file.getvalue())
    vietnamese, english = (f"open = {text}\n" for text in BRACES)
    for program in ("firefox-esr", "thunderbird"):
        package(packages, program, f"usr/lib/{program}/omni.ja", language_pack("en-US", english))
        package(packages, f"{program}-l10n-vi", f"usr/lib/{program}/vi.xpi", language_pack("vi", vietnamese))
    monkeypatch.setattr(sys, "argv", ["build", "--packages", str(packages), "-o", str(tmp_path / "vi-en.tsv")])
    build_vietnamese.main()
    return tmp_path / "vi-en.tsv", capsys.readouterr().out


def test_the_corpus_has_composed_letters_and_no_pair_twice(corpus):
    path, printed = corpus
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [f"{vietnamese}\t{english}" for vietnamese, english in PAIRS.items()]
    assert set(lines) == {*expected, "\t".join(BRACES)}
    assert len(lines) == len(PAIRS) + 1
    assert [line.split(maxsplit=1) for line in printed.splitlines()[:3]] == [
        ["1", "dropped: not translated"],
        ["1", "kept of Firefox and Thunderbird"], [str(len(PAIRS)), "kept of LibreOffice"],
    ]  # fmt: skip


@pytest.fixture
def model(tmp_path):
    """A checkpoint of mT5's form with random weights and a vocabulary of these texts."""
    more = ["translate Vietnamese to English: ", *BRACES]
    tokenizer = unigram([*more, *(text for pair in PAIRS.items() for text in pair)])
    config = MT5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=64, num_heads=2, num_layers=2, num_decoder_layers=2,
        feed_forward_proj="gated-gelu", initializer_factor=0.1,
    )  # fmt: skip
    torch.manual_seed(0)
    MT5ForConditionalGeneration(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_the_recipe_runs_on_mt5s_form(corpus, model, tmp_path, caplog):
    flags = [
        f"--model={model}", f"--data.train.path={corpus[0]}", "--data.validation_size=8", "--data.test_size=8",
        "--data.cleaning.leakage=normalised", "--training.max_steps=4", "--decoding.max_tokens=8",
        f"--output={tmp_path / 'run'}",
    ]  # fmt: skip
    config = translora.load_config("my-corpus-vi", flags)
    run = translora.train(config)
    assert "mt5 family" in caplog.text
    assert "prompt 'translate Vietnamese to English: '" in caplog.text
    summary = run.summary
    assert "tok:13a" in summary.signature  # the English side is what is scored
    assert summary.bleu_after == bleu(run.translated("after"), run.translated("reference"), "en")
    assert set(run.translated("source")) <= {*PAIRS, BRACES[0]}
    assert "Vietnamese to English, lora" in run.report.read_text(encoding="utf-8")
