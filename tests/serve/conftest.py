"""Servers that the tests here share."""

from pathlib import Path

import pytest
from servers import LINES, make_adapter, serving

from translora import Translator
from translora.serve.limits import Limits


@pytest.fixture(scope="session")
def adapters(tiny_model, tmp_path_factory) -> Path:
    """A folder with the adapters a0 to a7."""
    root = tmp_path_factory.mktemp("adapters")
    for number in range(8):
        make_adapter(root / f"a{number}", tiny_model, number)
    return root


@pytest.fixture(scope="session")
def server(adapters):
    """One server of all eight adapters, to which adapters can be added."""
    with serving([adapters / f"a{i}" for i in range(8)], adapters_root=adapters) as running:
        yield running


@pytest.fixture(scope="session")
def mini_server():
    """A server of the embedded model."""
    with serving(["mini"], limits=Limits(characters=250, texts=5, beams=4, body_bytes=5000)) as running:
        yield running


@pytest.fixture(scope="session")
def expected():
    """What the embedded model says of each line."""
    return Translator.from_pretrained("mini").translate(LINES)
