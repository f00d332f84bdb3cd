# Edgeproof. `make` alone prints this help.
SHELL := /bin/bash
PYTHON ?= python3
OUT ?= build/demo
# 2 to 8, 3 unless set; on Fabric the network's topology decides.
EDGES ?=
DEVICES ?= 30
ROUNDS ?= 10
LEDGER ?= embedded
# challenge, ceremony (one is run first) or the path of a modulus.json.
MODULUS ?= challenge
# default, dev or the path of a topology file; the network that is there keeps its own.
TOPOLOGY ?=
NETWORK ?= build/network
VENV := .venv
BIN := $(VENV)/bin
# uv from PATH, else from PyPI into the environment itself.
UV := $(shell command -v uv || echo $(BIN)/uv)

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench test-faults bench-fabric bench-accumulator native lock clean up down status logs doctor clean-network

help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml requirements/full.lock
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON). Set PYTHON=/path/to/python3.11 (or newer)"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Edgeproof needs Python 3.11 or newer: $(PYTHON) is $$($(PYTHON) --version 2>&1). Set PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks venv or ensurepip. On Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	@echo "Making $(VENV) (about 6 GB, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/full.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --config-settings editable_mode=compat -e .
	@touch $@

demo: $(VENV)/.installed ## Run the whole system on real data, attack it, write a report below build/demo
	$(BIN)/edgeproof demo --out "$(OUT)" $(if $(EDGES),--edges "$(EDGES)") --devices "$(DEVICES)" --rounds "$(ROUNDS)" --ledger "$(LEDGER)" --network "$(NETWORK)" --modulus "$(MODULUS)"

NETWORK_COMMAND := $(BIN)/edgeproof network
up: $(VENV)/.installed ## Start real Fabric networks (TOPOLOGY=dev, or a file) in build/network; needs Fabric's programs
	@$(NETWORK_COMMAND) up --root "$(NETWORK)" $(if $(TOPOLOGY),--topology "$(TOPOLOGY)")

down: $(VENV)/.installed ## End every process of the networks, their gateways and demos; all state is kept
	@$(NETWORK_COMMAND) down --root "$(NETWORK)"

status: $(VENV)/.installed ## Show what of the networks runs where
	@$(NETWORK_COMMAND) status --root "$(NETWORK)"

logs: $(VENV)/.installed ## Show the ends of the networks' logs (NAME=peer chooses)
	@$(NETWORK_COMMAND) logs --root "$(NETWORK)" $(NAME)

doctor: $(VENV)/.installed ## Say what stands in a network's way: programs, ports, room, identities
	@$(NETWORK_COMMAND) doctor --root "$(NETWORK)" $(if $(TOPOLOGY),--topology "$(TOPOLOGY)")

clean-network: $(VENV)/.installed ## End the networks and remove them, ledgers and keys too
	@$(NETWORK_COMMAND) clean --yes --root "$(NETWORK)"

test: lint ## Run the suite: ruff, mypy strict, import-linter, pytest (all but the long kill runs)
	$(BIN)/python -m pytest -m "not faults" -n auto --maxprocesses 4 --dist loadscope

lint: $(VENV)/.installed ## Run ruff, mypy strict and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-faults: $(VENV)/.installed ## Kill every process at many points and check that nothing is lost (long)
	$(BIN)/python -m pytest -m faults

bench: $(VENV)/.installed ## Measure on the embedded ledger: build/bench/*.json and docs/benchmarks.md
	$(BIN)/python -m benchmarks

bench-fabric: $(VENV)/.installed ## Measure on fresh networks of real Fabric: build/bench/fabric.json and docs/benchmarks-fabric.md
	$(BIN)/python -m benchmarks.fabric

PEERS ?=
bench-accumulator: $(VENV)/.installed ## Measure and count the accumulator (PEERS="--peer NAME=COMMAND" adds others): docs/benchmarks-accumulator.md
	$(BIN)/python -m benchmarks.accumulator $(PEERS)

native: $(VENV)/.installed ## Compile the accumulator's optional kernel (a C compiler, AVX-512 IFMA): three times as fast
	$(BIN)/python -m accumulator.native.build

lock: ## Resolve the lock files anew (versions and hashes, no addresses)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/base.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --all-extras pyproject.toml -o requirements/full.lock

clean: ## End the networks below build/ and remove everything that was built; keeps .venv
	@find build -type d -name run -prune -print0 2>/dev/null | while IFS= read -r -d '' run; do \
	  network="$${run%/run}"; \
	  test -x $(BIN)/edgeproof || { echo "$$network may be running, and there is no $(VENV) to end it with: \`make $(VENV)/.installed\` first" >&2; exit 2; }; \
	  $(NETWORK_COMMAND) clean --yes --root "$$network" < /dev/null || exit; \
	done
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
