# Two commands matter: `make demo` shows the service at work, `make test` proves it.
# They need Python 3.11 (with its shared library) and make; everything else comes into .venv and the user's cache.

PYTHON ?= python3.11
VENV   := .venv
READY  := $(VENV)/.ready
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# `TORCH=cpu make models-venv` takes a CPU build of torch from PIP_FIND_LINKS and leaves CUDA's libraries out.
TORCH  ?= cuda

.PHONY: help neighbour demo test test-slow sim test-models test-browser sbom wheel audit-deps audit-workflows audit-chart chart kube kube-rolling chaos fuzz hold bench-quick bench-medium bench lint format models-venv models models-results lock clean
.DEFAULT_GOAL := help

help: ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 17

demo: $(READY) ## the main job, live, on the embedded broker and a real Triton; ends by itself
	@$(BIN)/inferstream demo $(ARGS)

test: $(READY) lint ## lint, types, import rules and all tests that are not slow
	$(BIN)/pytest -q -m "not slow" $(ARGS)

test-slow: $(READY) ## all that is long (Apache Kafka: Java and Maven; chaos, soak, security); SHORT=1 for the short form
	INFERSTREAM_SHORT=$(SHORT) $(BIN)/pytest -q -m slow --timeout 1800 $(ARGS)

chaos: $(READY) ## kill workers, brokers, Triton and the network of a real cluster, and check every promise; minutes
	$(BIN)/python -m tests.chaos $(ARGS)

sim: $(READY) ## the whole service in virtual time: crashes, zombies, lost answers; SEEDS=100000 for a night
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),500) $(ARGS)

INPUTS ?= 10000000
TARGET ?= envelope headers traceparent settings offsets
fuzz: $(READY) ## any bytes at all that are read from outside; INPUTS=100000 TARGET=envelope for less
	@for target in $(TARGET); do $(BIN)/python -m tests.fuzz $$target --inputs $(INPUTS) $(ARGS) || exit 1; done

hold: $(READY) ## how long hostile events hold the event loop, by kind and task; minutes
	$(BIN)/python -m loadtest.hold $(ARGS)

neighbour: $(READY) ## a healthy pipeline's share in time with and without a hostile topic beside it: service/SECURITY.md
	$(BIN)/python -m loadtest.neighbour --rate 300 $(ARGS)

bench-quick: $(READY) ## the service beside its ceilings, a hand-written loop and FastStream; under ten minutes
	$(BIN)/python -m loadtest bench --quick $(ARGS)

bench-medium: $(READY) ## all peers, and all that is promised of the service; about forty minutes
	$(BIN)/python -m loadtest bench --medium $(ARGS)

bench: $(READY) ## every peer tuned, nearly every scenario, and a soak; two hours by its estimate
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

MODELS_PIP := .venv-models/bin/python -m pip --disable-pip-version-check --quiet
models-venv: ## an environment with torch, for building the models
	@test -x .venv-models/bin/python || $(PYTHON) -m venv .venv-models
	@test "$(TORCH)" != cpu || test -n "$$PIP_FIND_LINKS" || \
	  { echo "TORCH=cpu takes torch from PIP_FIND_LINKS: set it to the folder or page that has the CPU build"; exit 1; }
	@$(MODELS_PIP) install --require-hashes --no-deps -r service/locks/models.txt
	@$(MODELS_PIP) install --require-hashes --no-deps $(if $(filter cpu,$(TORCH)),--no-index) -r service/locks/models-$(TORCH).txt
	@$(MODELS_PIP) install --no-deps --no-build-isolation -e .

FAMILIES ?= fraud sensor digits segmentation generation
models: models-venv ## build the shipped models anew, and show their figures beside those they had; FAMILIES=sensor for some
	@for family in $(FAMILIES); do .venv-models/bin/python -m inferstream.models build $$family || exit 1; done

models-results: models-venv ## build and measure every model of the recipes: service/inferstream/models/RESULTS.md
	@for family in $(FAMILIES); do .venv-models/bin/python -m inferstream.models results $$family || exit 1; done

test-models: models-venv ## the tests that train
	INFERSTREAM_REQUIRE=models .venv-models/bin/python -m pytest -q -m models --timeout 1800 $(ARGS)

lock: $(READY) ## resolve the locks anew (needs uv)
	service/locks/resolve

test-browser: $(READY) ## the live page in a headless Chromium, which must be installed (Debian: chromium-headless-shell)
	@$(PIP) install --require-hashes --no-deps -r service/locks/browser.txt
	INFERSTREAM_REQUIRE=browser $(BIN)/pytest -q tests/unit/web/test_browser.py $(ARGS)

sbom: $(READY) ## the bill of materials that the wheel carries, made anew from the runtime lock
	$(BIN)/python -m release.sbom

wheel: $(READY) ## wheel and sdist into dist/, built twice in two places and compared
	@rm -rf dist
	$(BIN)/python -m release.wheel dist

AUDIT_PIP := .venv-audit/bin/python -m pip --disable-pip-version-check --quiet
audit-deps: ## known weaknesses of all that the locks pin, licences of what is shipped; ARGS='-s osv' asks OSV
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	@$(AUDIT_PIP) install --require-hashes --no-deps -r service/locks/audit.txt
	.venv-audit/bin/python -m release.audit $(ARGS)

audit-workflows: ## the workflow files, by zizmor; offline
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	@$(AUDIT_PIP) install --require-hashes --no-deps -r service/locks/audit.txt
	.venv-audit/bin/zizmor --offline --quiet --pedantic .github/workflows

CHART_PIP := .venv-audit-chart/bin/python -m pip --disable-pip-version-check --quiet
audit-chart: $(READY) ## the chart as Helm renders it, and the Dockerfile, by checkov; what it may say, and why, is in helm/checkov.yaml
	@test -x .venv-audit-chart/bin/python || $(PYTHON) -m venv .venv-audit-chart
	@$(CHART_PIP) install --require-hashes --no-deps -r service/locks/audit-chart.txt
	@rm -rf .inferstream/chart
	$(BIN)/python -m tests.helm .inferstream/chart
	.venv-audit-chart/bin/checkov --config-file helm/checkov.yaml --directory .inferstream/chart
	.venv-audit-chart/bin/checkov --config-file helm/checkov.yaml --file service/Dockerfile

chart: $(READY) ## what the Helm chart takes from the code, made anew
	$(BIN)/python -m helm.generate

kube: $(READY) ## the chart on a real API server: that of KUBECONFIG, else one that the script CONTROL_PLANE starts
	@test -n "$(KUBECONFIG)$(CONTROL_PLANE)" || { echo "no API server: set KUBECONFIG (the chart is then installed there, in namespaces of its own), or CONTROL_PLANE to a script that starts one (tests/helm/control_plane.py says what it is given)"; exit 1; }
	INFERSTREAM_REQUIRE=kube,helm INFERSTREAM_KUBECONFIG="$(KUBECONFIG)" $(BIN)/pytest -q tests/helm/test_kube.py $(ARGS)

kube-rolling: $(READY) ## its pods as processes, upgraded and scaled under load: root, Java, Maven, CONTROL_PLANE; ten minutes
	$(BIN)/python -m tests.helm.rolling $(ARGS)

clean: ## remove what make made here
	rm -rf $(VENV) .venv-models .venv-peers .venv-audit .venv-audit-chart dist .inferstream .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
