# Two commands matter: `make demo` shows the service at work, `make test` proves it.
# They need Python 3.11 (with its shared library) and make; everything else comes into .venv and the user's cache.

PYTHON ?= python3.11
VENV   := .venv
READY  := $(VENV)/.ready
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# `TORCH=cpu make models-venv` takes a CPU build of torch from PIP_FIND_LINKS and leaves CUDA's libraries out.
TORCH  ?= cuda

.PHONY: help demo test test-slow bench-quick bench lint format models-venv models lock clean
.DEFAULT_GOAL := help

help: ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

demo: $(READY) ## the main job, live, on the embedded broker and a real Triton; ends by itself
	@$(BIN)/inferstream demo $(ARGS)

test: $(READY) lint ## lint, types, import rules and all tests that are not slow
	$(BIN)/pytest -q -m "not slow" $(ARGS)

test-slow: $(READY) ## what is long: chaos and soak; SHORT=1 for the short form
	INFERSTREAM_SHORT=$(SHORT) $(BIN)/pytest -q -m slow --timeout 1800 $(ARGS)

bench-quick: $(READY) ## the service beside its ceilings, a hand-written loop and FastStream; about ten minutes
	$(BIN)/python -m loadtest bench --quick $(ARGS)

bench: $(READY) ## everything of loadtest/RESULTS.md; takes hours
	$(BIN)/python -m loadtest bench $(ARGS)

lint: $(READY) ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY) ## write the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): pyproject.toml service/locks/dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) ..."
	@$(PIP) install --require-hashes --no-deps -r service/locks/dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

models-venv: ## an environment with torch, for building the models
	@test -x .venv-models/bin/python || $(PYTHON) -m venv .venv-models
	@.venv-models/bin/python -m pip --quiet install --require-hashes --no-deps -r service/locks/models.txt
	@test "$(TORCH)" = cpu || .venv-models/bin/python -m pip --quiet install --require-hashes --no-deps -r service/locks/models-cuda.txt
	@.venv-models/bin/python -m pip --quiet install --no-deps --no-build-isolation -e .

models: models-venv ## build the shipped models anew
	.venv-models/bin/python -m inferstream.models build fraud

lock: $(READY) ## resolve the locks anew (needs uv)
	service/locks/resolve

clean: ## remove what make made here
	rm -rf $(VENV) .venv-models .venv-peers .inferstream .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
