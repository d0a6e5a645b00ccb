# Everything lives in $(VENV); nothing here needs root. `make help` lists the targets.
VENV ?= .venv
# The first Python that fits, unless you name one: make test PYTHON=python3.12
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
LOCK = requirements/$(1)-py$(shell $(PYTHON) -c 'import sys; print("%d%d" % sys.version_info[:2])').txt
PYTEST := $(BIN)/python -m pytest
QUICK := -m "not slow"
# A file of tests stays on one core, and so do the servers that it starts.
EVERY_CORE := --numprocesses auto --maxprocesses 4 --dist loadfile
# What `make demo` runs on: directory, kafka or queue.
STACK ?= directory

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-integration test-monitoring test-image test-torch test-slow chaos coverage bench bench-gpu chart check fmt docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runtime: pyproject.toml $(wildcard requirements/runtime-*.txt)
	@test -n "$(PYTHON)" || { echo "no Python 3.11, 3.12 or 3.13 found: install one, or name it: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(call LOCK,runtime)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime $(wildcard requirements/dev-*.txt)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(call LOCK,dev)
	@touch $@

setup: $(VENV)/.dev ## make the development environment

demo: $(VENV)/.$(if $(filter directory,$(STACK)),runtime,dev) ## transcribe this repository's recordings; STACK=kafka or queue: from a real broker
ifeq ($(STACK),directory)
	$(BIN)/transcriber-worker demo demo/recordings
else
	$(BIN)/python scripts/demo.py $(STACK)
endif

test: test-fast chart test-integration test-monitoring test-image test-torch ## all tests but the slow ones; what this machine lacks is skipped, with the reason

test-fast: $(VENV)/.dev ## unit tests, and the contract of every adapter
	$(PYTEST) tests/unit tests/contract $(QUICK) $(EVERY_CORE)

test-integration: $(VENV)/.dev ## real processes: workers, media children, the small model; killed at every stage
	$(PYTEST) -v tests/integration tests/chaos $(QUICK) $(EVERY_CORE)

test-monitoring: $(VENV)/.dev ## a real Prometheus over real workers: what is provoked fires its alerts, and no others
	$(PYTEST) tests/monitoring

test-image: $(VENV)/.dev ## the image, built and run: needs root, buildah, podman, runc and debootstrap
	$(PYTEST) tests/image $(QUICK)

test-torch: $(VENV)/.dev ## the torch encoder against CTranslate2's, on the CPU; skipped where torch is not installed
	$(PYTEST) tests/torch || test $$? -eq 5 # 5: nothing but skipped files

test-slow: $(VENV)/.dev ## accuracy, memory and chaos at length, the image with torch and on Debian 13: tens of minutes
	$(PYTEST) tests -m slow

# make chaos STACK=kafka JOBS=5000 KILLS=200 SEED=1; STACK=all: directory, kafka, oci_queue one after the other
chaos: STACK = all
chaos: JOBS = 5000
chaos: KILLS = 200
chaos: SEED = 1
chaos: $(VENV)/.dev ## thousands of jobs, hundreds of killed workers, servers that die: nothing may be lost
	$(BIN)/python -m tests.chaos.run --stack $(STACK) --jobs $(JOBS) --kills $(KILLS) --seed $(SEED)

coverage: $(VENV)/.dev ## branch coverage of the fast tests, with its floor
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q tests/unit tests/contract $(QUICK) $(EVERY_CORE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under=85

# make bench BENCH="--workloads long mixed clips --beams 5 1 --audio talk.mp3"; all options: transcriber-worker bench --help
BENCH =
bench: $(VENV)/.runtime ## this worker against faster-whisper used directly, on this machine (docs/benchmark.md)
	$(BIN)/transcriber-worker bench $(BENCH)

# make bench-gpu DRY_RUN=1: on the CPU, a few minutes; all options: transcriber-worker bench-gpu --help
bench-gpu: $(VENV)/.runtime ## what this machine's GPU can do, with models of random weights (docs/performance.md); DRY_RUN=1: without one
	$(BIN)/transcriber-worker bench-gpu $(if $(filter-out 0,$(DRY_RUN)),--dry-run) $(BENCH)

chart: $(VENV)/.dev ## the Helm chart: lint, every combination against the schemas of Kubernetes, KEDA and the Prometheus operator; alerts, scaling, the docs' commands
	$(PYTEST) tests/chart tests/scaling tests/docs $(EVERY_CORE)

check: $(VENV)/.dev ## formatting, lint, types, import rules, secrets, generated docs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/scan-secrets.py
	$(BIN)/python scripts/gen-docs.py --check
	$(BIN)/python scripts/gen-chart.py --check
	$(BIN)/python scripts/gen-dashboard.py --check
	$(BIN)/python scripts/gen-scaling.py --check

fmt: $(VENV)/.dev ## format and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.dev ## generate docs/ and the chart's schema, table and dashboard
	$(BIN)/python scripts/gen-docs.py
	$(BIN)/python scripts/gen-chart.py
	$(BIN)/python scripts/gen-dashboard.py
	$(BIN)/python scripts/gen-scaling.py

lock: ## pin every dependency by hash, for each Python (needs uv)
	scripts/lock.sh

clean: ## remove what make made, but for what it fetched into .models, .kafka and .tools
	rm -rf $(VENV) .venv-second .demo .bench .coverage* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
