"""Lower never imports higher: the order of the modules, and that the package is light to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import translora

SOURCE = Path(translora.__file__).parent
ORDER = [
    "errors", "files", "config", "languages", "families", "recipe", "terminal", "progress", "hub", "mini", "data",
    "model", "translate", "evaluate", "significance", "comet", "runs", "training", "summary", "report", "pipeline",
    "evaluation", "compare", "cli",
]  # fmt: skip


def layer_of(module):
    return ORDER.index(module.split(".")[1])


def imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "translora":
            for name in node.names:
                yield f"translora.{name.name}" if node.module == "translora" else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("translora."))


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_no_module_imports_a_higher_one(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    if parts == ("__init__",):
        return
    own = ORDER.index(parts[0])
    for module in imports(path):
        if module != "translora.__version__":
            assert layer_of(module) <= own, f"{path.name} imports {module}, which is higher"


def test_every_module_has_its_place():
    found = {path.relative_to(SOURCE).with_suffix("").parts[0] for path in SOURCE.rglob("*.py")} - {"__init__"}
    assert found == set(ORDER)


@pytest.mark.parametrize("code", ["import translora", "import translora.cli", "import translora.recipe"])
def test_importing_loads_no_torch(code):
    check = f"{code}; import sys; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'datasets')))"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_every_public_name_is_there():
    for name in translora.__all__:
        assert getattr(translora, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        translora.nothing  # noqa: B018
