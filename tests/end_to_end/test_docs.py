"""The documentation site builds, strictly: every link, page and Python name in it exists."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_the_site_builds(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    for name in ("Translator.from_pretrained", "Run", "load_config", "LoraConfig", "TransloraError"):
        assert f"{name}" in page
    assert (tmp_path / "site" / "lesson.vi" / "index.html").exists()
