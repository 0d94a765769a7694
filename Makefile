# demo, test and check build the virtual environment they need; only Python 3.11+ and make must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-all check format gpu-bench gpu-wheels

help:
	@echo "make demo    install, compare small siblings on real data, time the series, try the best -> report/index.html"
	@echo "make test    install, then check the code and run the tests"
	@echo "make test-all   make test, then the thorough tests that it leaves out"
	@echo "make check   install, then check the code only (format, lint, types)"
	@echo "make format  format the code"
	@echo "make gpu-bench   measure the engine for GPUs, in eight minutes and without installing -> results"
	@echo "make gpu-wheels  print the wheels that gpu-bench needs besides those of a machine with PyTorch"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "$(PYTHON) is not Python 3.11 to 3.13; name one with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/test: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/demo

demo: $(VENV)/demo
	$(BIN)/resnexus compare --data digits --out report
	$(BIN)/resnexus predict report/examples/7.png --model report/best.safetensors --topk 3 --out -
	$(BIN)/resnexus export report/best.safetensors --format web --single-file --out report/best.html \
		&& echo "open report/best.html and give it a picture of report/examples" \
		|| echo "report/best.html was not written, for the reason above; ONNX Runtime Web comes from the registry of npm"
	@echo "open report/index.html"

# Both test processes, and all that they start, read what one of them has compiled.
test test-all: export PYTHONDONTWRITEBYTECODE =
test: check
	$(BIN)/pytest

test-all: test
	$(BIN)/pytest -m 'thorough and not slow'

check: $(VENV)/test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(VENV)/test
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The machine with the GPU may have no network: nothing is installed there.
gpu-bench:
	PYTHONPATH=src:. $(PYTHON) -m studies.gpu_bench --out results

gpu-wheels: $(VENV)/test
	@$(BIN)/python -m studies.gpu_wheels
