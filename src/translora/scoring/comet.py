"""COMET (Rei et al. 2022), by its own program in its own environment: it needs another transformers than translora."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from translora.errors import TransloraError
from translora.io import console
from translora.io.files import one_line, write_lines

MODEL = "Unbabel/wmt22-comet-da"
_VARIABLE = "TRANSLORA_COMET"
_HOW = (
    "install it in an environment of its own "
    "(python3 -m venv comet; comet/bin/pip install unbabel-comet 'setuptools<81') "
    f"and set {_VARIABLE}=comet/bin/comet-score"
)


class CometError(TransloraError):
    """COMET is not there, or failed."""


class CometScore(NamedTuple):
    """COMET's score of a corpus."""

    score: float
    """The mean over the pairs; about 0 to 1."""
    model: str


def find_comet() -> str:
    """The program `comet-score`: `$TRANSLORA_COMET`, else the one on the path; raises `CometError` without it."""
    named = os.environ.get(_VARIABLE)
    program = shutil.which(named or "comet-score")
    if program is None:
        raise CometError(f"{named}: no such program: {_HOW}" if named else f"COMET is not installed: {_HOW}")
    return program


def comet(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]) -> CometScore:
    """Score a corpus by `MODEL`; its progress goes to standard error.

    Raises `CometError` where the program is not there or fails.
    """
    import torch

    program = find_comet()
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / part for part in ("source", "hypothesis", "reference")]
        for file, lines in zip(files, (sources, hypotheses, references), strict=True):
            write_lines(file, [one_line(line) for line in lines])
        command = [program, "-s", str(files[0]), "-t", str(files[1]), "-r", str(files[2])]
        command += ["--model", MODEL, "--gpus", str(int(torch.cuda.is_available())), "--only_system"]
        console.notice(f"COMET: {program}, {MODEL}")
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"score:\s*(-?[0-9.]+)", result.stdout)
    if result.returncode or not found:
        last = (result.stderr.strip() or result.stdout.strip() or "it printed nothing").splitlines()[-1]
        raise CometError(f"{program} failed ({last[:300]}): run it alone to see why")
    return CometScore(float(found[1]), MODEL)
