"""The wheel, in an environment with its declared dependencies alone, runs the demo and translates from Python."""

import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


def dependencies(of, extras=("",)):
    """The distributions that `of` needs, and those that they need, from the environment of the tests."""
    for requirement in map(Requirement, of.requires or []):
        if not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            found = distribution(requirement.name)
            yield found
            yield from dependencies(found, ("", *requirement.extras))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Of an environment that has the wheel, and links to what it says that it needs; nothing is downloaded again."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    call(*pip, "install", "--quiet", "--no-deps", wheel)
    (metadata,) = folder.glob("lib/*/site-packages/translora-*.dist-info")
    for needed in dependencies(Distribution.at(metadata)):
        for name in {file.parts[0] for file in needed.files} - {"..", "__pycache__"}:
            if not (metadata.parent / name).exists():
                (metadata.parent / name).symlink_to(needed.locate_file(name))
    call(*pip, "check")
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
