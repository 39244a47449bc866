# The only door: `make help` says what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
PORT ?= 8000
DATA ?= .data
KAFKA_DIR ?= .kafka
KAFKA_NODES ?= 1
WORKERS ?= 2
ROUNDS ?= 20
SOAK_MINUTES ?= 5
RATE ?= 50
LANGUAGES ?= python typescript typescript-fetch java go csharp
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
KAFKA := $(BIN)/python scripts/kafka_local.py

##@ Try it
.PHONY: run
run: .venv/.run ## Start everything on one port with demonstration data (PORT=, DATA=, DATABASE_URL=, CLOCK=2026-11-16T09:00)
	@$(BIN)/concordat run embedded --port $(PORT) --data $(DATA) $(if $(CLOCK),--clock $(CLOCK))

##@ Prove it
.PHONY: test
test: .venv/.dev ## Run every test that needs only Python
	$(PYTEST) -q -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: test-kafka
test-kafka: .venv/.dev ## Run the bus, integration, end-to-end and fault suites on a real Apache Kafka
	@set -e; trap '$(KAFKA) down --dir $(KAFKA_DIR)' EXIT; \
	export CI_REQUIRE_KAFKA=1 KAFKA_BOOTSTRAP; \
	KAFKA_BOOTSTRAP="$$($(KAFKA) up --nodes $(KAFKA_NODES) --dir $(KAFKA_DIR))"; \
	$(PYTEST) -q tests/contract tests/integration tests/e2e $(ARGS); \
	$(PYTEST) -q -m kafka tests/fault $(ARGS)

.PHONY: soak
soak: .venv/.dev ## Run the fault suite with long kill loops and a soak (ROUNDS=20, SOAK_MINUTES=5, RATE=50 commands/s, SEED= repeats a run)
	FAULT_ROUNDS=$(ROUNDS) SOAK_MINUTES=$(SOAK_MINUTES) RATE=$(RATE) $(PYTEST) -q tests/fault $(ARGS)

.PHONY: check
check: .venv/.dev ## Lint, types, import lists, and every structural guard: documents, migrations, samples, policies, row security
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/concordat documents --check
	$(PYTEST) -q -m guard $(ARGS)
	@echo "Structure holds. Behaviour is another matter: make test runs the rest (about 6 minutes), make test-kafka the broker's part (about 5)."

.PHONY: clients
clients: .venv/.dev .cache/clients/.tools ## Generate, compile and call clients from the API documents (LANGUAGES="python go ...")
	@$(BIN)/python scripts/clients/generate.py $(LANGUAGES)
	CLIENTS=$(CURDIR)/.cache/clients $(PYTEST) -q tests/clients $(ARGS)

.PHONY: bench
bench: .venv/.dev ## Print ratios against named peers and write bench.json
	@$(BIN)/python -m bench $(ARGS)

##@ Change it
.PHONY: format
format: .venv/.dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: documents
documents: .venv/.dev ## Write the generated documents (OpenAPI, AsyncAPI, event schemas, map)
	$(BIN)/concordat documents

.PHONY: lock
lock: .venv/.dev ## Resolve the dependencies anew into the two lock files
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev pyproject.toml -o requirements-dev.lock

.PHONY: clean
clean: ## Remove the environment, caches and the embedded mode's data
	rm -rf .venv $(DATA) .cache $(KAFKA_DIR) .pytest_cache .mypy_cache .ruff_cache .hypothesis

##@ Help
.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	$(PYTHON) -m venv .venv

.cache/clients/.tools: scripts/clients/requirements.txt scripts/clients/package.json
	@echo "Installing the generators of clients (once, and after their versions changed)..."
	@mkdir -p .cache/clients && cp scripts/clients/package.json .cache/clients/
	@$(PYTHON) -m venv .cache/clients/tools
	@.cache/clients/tools/bin/python -m pip install -q -r scripts/clients/requirements.txt
	@npm install --prefix .cache/clients --no-package-lock --no-audit --no-fund --silent
	@touch $@

.venv/.run: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing (once, and after the lock changed)..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

.venv/.dev: requirements-dev.lock pyproject.toml | .venv/bin/python
	@echo "Installing the tools for development (once, and after the lock changed)..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@ .venv/.run
