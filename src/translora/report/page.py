"""Common to all reports: one self-contained HTML file from a template, with the versions at its end."""

from __future__ import annotations

import importlib.resources
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from translora import __version__
from translora.io.files import write_text
from translora.scoring.metrics import METRICS, with_interval

_LIBRARIES = ("torch", "transformers", "peft", "sacrebleu", "tokenizers")


def write_page(path: Path, template: str, content: dict[str, Any]) -> None:
    """Write `template`, filled with `content` (`title` and `verdict` at least), to `path`."""
    folder = importlib.resources.files(__package__) / "templates"
    loader = FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8"))
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    common = {"versions": _versions(), "metrics": METRICS, "with_interval": with_interval}
    write_text(path, environment.get_template(template).render(**content, **common))


def _versions() -> dict[str, str]:
    """The versions that the report was made with."""
    machine = {"Python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"translora": __version__, **machine, **libraries, "cores": str(os.cpu_count())}
