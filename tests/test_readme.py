"""Every command and every line of Python in the README runs, on a small corpus and for a few steps."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

import forked

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FEW_STEPS = ["--training.max_steps=2", "--data.validation_size=10", "--data.test_size=10"]
FEW_RUNS = [
    "--compare.equal_time=off",
    '--compare.variants={"full": {"method": "full", "rates": [1e-4]}}',
]


def blocks(language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [text for kind, text in fenced if kind == language]


def commands():
    return [line for block in blocks("") for line in block.splitlines() if re.match(r"(translora|echo|make) ", line)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, corpus_file):
    """A user's folder, with the files that the README names."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copy(corpus_file, folder / "my-corpus.tsv")
    lines = corpus_file.read_text(encoding="utf-8").splitlines(keepends=True)[:8]
    (folder / "test.tsv").write_text("".join(lines), encoding="utf-8")
    (folder / "strings.po").write_text('msgid ""\nmsgstr ""\n\nmsgid "Speichern"\nmsgstr ""\n', encoding="utf-8")
    for name, column in (("new.txt", 0), ("references.txt", 1), ("other.txt", 0)):
        texts = (line.rstrip("\n").split("\t")[column] + "\n" for line in lines)
        (folder / name).write_text("".join(texts), encoding="utf-8")
    return folder


def test_the_readme_has_the_commands_it_should():
    assert [command for command in commands() if command.startswith("make")] == ["make demo", "make test"]
    assert len(commands()) == 16
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo:.*\n\t\$\(BIN\)/translora demo$", makefile, flags=re.MULTILINE)
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


@pytest.mark.slow
def test_every_command_runs(folder):
    for command in commands():
        if command.startswith("make"):
            continue  # demo: tests/end_to_end/test_demo.py; test: this very run
        line, text = command, ""
        if piped := re.fullmatch(r'echo "(.*)" \| (translora .*)', command):
            text, line = f"{piped[1]}\n", piped[2]
        program, name, *arguments = shlex.split(line)
        assert program == "translora"
        few = {"train": FEW_STEPS, "compare": [*FEW_STEPS, *FEW_RUNS]}.get(name, [])
        result = forked.translora(name, *arguments, *few, cwd=folder, text=text)
        assert result.returncode == 0, f"{command}\n{result.stderr}"
        if text:
            assert result.stdout.count("\n") == 1
    assert len((folder / "translated.txt").read_text(encoding="utf-8").splitlines()) == 8


@pytest.mark.slow
def test_the_python_runs(folder, monkeypatch, capsys):
    (code,) = blocks("python")
    monkeypatch.chdir(folder)
    flags = ", ".join(f'"{flag}"' for flag in [*FEW_STEPS, "--output=runs/python"])
    code = code.replace('"--model=mini"', f'"--model=mini", {flags}')
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.rstrip().endswith("]")


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
