"""The wheel alone, installed into a fresh environment, runs the demo and translates from Python."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FIVE_LINES = """
import translora
translator = translora.Translator.from_pretrained("mini")
print(translator.translate("Guten Morgen!"))
print(translator.translate(["Ich habe Hunger.", ""]))
"""

pytestmark = pytest.mark.slow


def call(*command, **options):
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    return python


def test_the_wheel_ships_what_the_program_reads(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in [
        "py.typed", "recipes/demo.yaml", "mini/model/model.safetensors", "mini/model/README.md",
        "mini/corpus/test.tsv.gz", "mini/corpus/LICENSE", "mini/corpus/NOTICE.md",
        "mini/model/NOTICE.md", "report/templates/run.html",
    ]:  # fmt: skip
        assert f"translora/{wanted}" in names, wanted


def test_five_lines_of_python_translate(python, tmp_path):
    first, second = call(
        python, "-W", "error::DeprecationWarning:translora", "-c", FIVE_LINES, cwd=tmp_path
    ).splitlines()
    assert first == "Good morning!"
    assert second == "['I\\'m hungry.', '']" or second == "[\"I'm hungry.\", '']"


def test_the_demo_runs(python, tmp_path):
    few = ["--training.max_steps=3", "--data.test.limit=20", "--data.validation.limit=20"]
    shown = call(python.parent / "translora", "demo", *few, cwd=tmp_path)
    assert "Scores on 20 test pairs" in shown
    assert (tmp_path / "runs" / "demo" / "report.html").exists()
