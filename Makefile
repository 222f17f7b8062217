# make demo   install, then run the main job: a real LoRA run on the embedded model and corpus, offline
# make test   install, then run every check and test, as CI does
# make check  the checks alone: style and types
# make docs   build the documentation site into site/

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs install

demo: .venv/installed
	$(BIN)/translora demo

test: check
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-dev
	$(BIN)/mkdocs build --strict --quiet

install: .venv/installed

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e ".[dev]"
	touch .venv/installed $@
