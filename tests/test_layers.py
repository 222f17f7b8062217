"""Lower never imports higher: the order of all modules, inside packages too, and what an import loads."""

import ast
import importlib
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import translora

SOURCE = Path(translora.__file__).parent
ORDER = [
    "errors",
    "languages", "tags",
    "io.files", "io.network", "io.interrupt", "io.console", "io.launcher",
    "config.section", "config.data", "config.schema", "config", "config.help", "config.reading", "config.load",
    "mini",
    "documents.document", "documents.inline", "documents.markup", "documents.po", "documents.xliff",
    "data.store", "data.pairs", "data.batching", "data.readers.lines", "data.readers.remarks", "data.form",
    "data.readers.rows", "data.readers.slices", "data.readers.delimited", "data.readers.jsonl", "data.readers.parquet",
    "data.readers.markup", "data.readers.codes", "data.readers.tmx", "data.readers.po", "data.readers.xliff",
    "data.readers.wmt", "data.readers.text", "data.readers.hub",
    "data.readers.files", "data.readers.embedded", "data.readers.sources",
    "data.given",
    "data.cleaning.hashes", "data.cleaning.leakage", "data.cleaning.minhash", "data.cleaning.near",
    "data.cleaning.identify", "data.cleaning.rules", "data.cleaning.corpus",
    "data.tokens", "data.placeholders", "data.characters", "data.check", "data.splits",
    "scale.shards", "scale.worker", "scale.cluster", "scale.corpora",
    "models.files", "models.hub", "models.tokenizer", "models.shortlist", "models.families", "models.kinds",
    "models.hardware", "models.weights", "models.quantise", "models.shards",
    "models.t5.layout", "models.t5.layers", "models.t5.attention", "models.t5.forward", "models.t5.packed",
    "models.t5.products",
    "models.t5.cache", "models.t5.head", "models.t5.decode",
    "models.loss", "models.load", "models.tied", "models.lora", "models.adapter", "models.budget",
    "scoring.metrics", "scoring.significance", "scoring.comet",
    "runs.summary", "runs.folder", "runs.lifecycle", "runs.card",
    "translation.protect", "translation.terms", "translation.glossary", "translation.numbers", "translation.choices",
    "translation.search", "translation.workers", "translation.generate",
    "translation.shortlist", "translation.result", "translation.decode", "translation.running",
    "translation.segments", "translation.interface", "translation.kept", "translation.termed", "translation.tally",
    "translation.exported", "translation.configuration", "translation.sharing",
    "translation.quality", "translation.similar", "translation.memory", "translation.review", "translation.notes",
    "translation.translator", "translation.stream", "scale.lines", "translation.evaluation",
    "documents.archive", "documents.values", "documents.json_locale",
    "documents.subtitles", "documents.paragraphs", "documents.tmx", "documents.android",
    "documents.html_pages", "documents.markdown", "documents.yaml_locale", "documents.bound", "documents.office",
    "documents.opendocument",
    "documents.formats", "documents.fill", "documents.side", "documents.job",
    "training.estimate", "training.rollcall", "training.ranks", "training.plan", "training.optimizer",
    "training.checkpoint", "training.tracking", "training.encoded", "training.step",
    "training.initial", "training.loop", "training.protection", "training.term_list", "training.terminology",
    "training.matches", "training.sharding", "training.examples", "training.shortlist", "training.validation",
    "training.corruption", "training.canary", "training.memory", "training.probe", "training.duration",
    "report.plots", "report.page", "report.review", "report.changes", "report.terminal", "report.run",
    "report.comparison", "outcome",
    "pipeline",
    "export.parity", "export.merged", "export.ctranslate2", "export.job",
    "comparison.folder", "comparison.variants", "comparison.places", "comparison.workers", "comparison.jobs",
    "comparison.results", "scale.runs",
    "comparison.runner", "comparison.advice", "comparison.process",
    "serve.refusals", "serve.limits", "serve.keys", "serve.parameters", "serve.texts", "serve.codes", "serve.detection",
    "serve.described", "serve.files", "serve.glossaries", "serve.scheduler", "serve.engines", "serve.metrics",
    "serve.models", "serve.batcher", "serve.service", "serve.stream", "serve.events",
    "serve.protocols.own", "serve.protocols.libretranslate", "serve.protocols.libre_files", "serve.protocols.deepl",
    "serve.protocols.opuscat", "serve.protocols.operation", "serve.protocols.reports", "serve.protocols.page",
    "serve.app", "serve.server",
    "cli.arguments", "cli.train", "cli.compare", "cli.evaluate", "cli.export", "cli.report", "cli.translate",
    "cli.serve", "cli.data", "cli.program", "cli",
    "__main__",
]  # fmt: skip
"""Every module, each below those that may import it. Packages that only hold a docstring are left out."""


def name_of(path):
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def imports(path):
    """The modules of translora that `path` imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "translora":
            module = node.module.removeprefix("translora").removeprefix(".")
            for name in node.names:
                inner = f"{module}.{name.name}".removeprefix(".")
                yield inner if inner in ORDER else module
        elif isinstance(node, ast.Import):
            yield from (name.name.removeprefix("translora.") for name in node.names if "translora." in name.name)


MODULES = sorted(path for path in SOURCE.rglob("*.py") if name_of(path) != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_imports_a_higher_one(path):
    name = name_of(path)
    for module in filter(None, imports(path)):
        assert ORDER.index(module) < ORDER.index(name), f"{name} imports {module}, which is higher"


def test_every_module_has_its_place():
    found = {name_of(path) for path in MODULES if len(ast.parse(path.read_text(encoding="utf-8")).body) > 1}
    assert found == set(ORDER)


@pytest.mark.parametrize("code", ["import translora", "import translora.cli", "import translora.config.load"])
def test_importing_loads_no_torch(code):
    check = f"{code}; import sys; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'datasets')))"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


LOADED = """
import sys
import translora.translation.translator
print([name for name in {unwanted} if name in sys.modules])
import translora.serve.server
print([name for name in {unwanted} if name in sys.modules])
"""


def test_what_translates_or_serves_loads_neither_training_nor_plots():
    """Nor, where it translates, what reads files."""
    unwanted = ("translora.training", "translora.report", "translora.pipeline", "matplotlib", "pandas", "datasets")
    command = [sys.executable, "-c", LOADED.format(unwanted=unwanted)]
    translates, serves = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert translates == "[]"
    assert serves in ("[]", "['datasets']")


def test_no_public_name_is_the_name_of_a_module():
    """Importing a submodule would hide it."""
    for module in pkgutil.walk_packages(translora.__path__, "translora."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in translora.__all__:
        assert not isinstance(getattr(translora, name), types.ModuleType), name


def test_the_package_is_typed():
    assert (SOURCE / "py.typed").exists()


def test_every_public_name_is_there():
    for name in translora.__all__:
        assert getattr(translora, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        translora.nothing  # noqa: B018
