# What people type. Every target first makes .venv hold what requirements.lock names; the second time that is instant.
.NOTPARALLEL:
.DEFAULT_GOAL := help

INSTALLED := .venv/.installed
BIN := .venv/bin

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(INSTALLED) ## Run everything on this machine; make demo ARGS="--market DIR --speed 600"
	@$(BIN)/mimawari demo $(ARGS)

.PHONY: test
test: $(INSTALLED) ## Run the tests; make test ARGS="tests/ledger -k chain"
	@$(BIN)/pytest $(ARGS)

.PHONY: campaigns
campaigns: $(INSTALLED) ## Play ten seeds of the demo and print what was stopped; make campaigns ARGS="--seeds 3 --jobs 2"
	@$(BIN)/python -m tests.campaigns $(ARGS)

.PHONY: bench
bench: $(INSTALLED) ## Measure against baselines of the same run; make bench ARGS="--only clicks"
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: bench-detect
bench-detect: $(INSTALLED) ## Time detections on millions of orders; make bench-detect ARGS="--orders 1000000"
	@$(BIN)/python -m tests.bench.detect $(ARGS)

.PHONY: chaos-proof
chaos-proof: $(INSTALLED) ## Plant bugs and print which promise each is seen to break; make chaos-proof ARGS="self_approval"
	@$(BIN)/python -m tests.chaos.proof $(ARGS)

.PHONY: chaos
chaos: $(INSTALLED) ## Kill, cut and confuse everything, then audit what came of it; make chaos ARGS="--seed 2"
	@$(BIN)/python -m tests.chaos --operations 3000 --kills 60 --cuts 60 --seed 1 $(ARGS)

.PHONY: fuzz
fuzz: $(INSTALLED) ## Send 100,000 requests as nobody should to a running bot; make fuzz ARGS="--inputs 5000 --seed 1"
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: check
check: lint test ## Run all that CI runs: lint, then the tests

.PHONY: lint
lint: $(INSTALLED) ## Check format, style, layers, types and dependencies
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/mypy
	@$(BIN)/deptry bot

.PHONY: format
format: $(INSTALLED) ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

.PHONY: install
install: $(INSTALLED) ## Install into .venv, again after the lock has changed
	@echo "Installed: try $(BIN)/mimawari --help, or make demo."

$(INSTALLED): requirements.lock pyproject.toml scripts/install.sh
	@PYTHON='$(PYTHON)' sh scripts/install.sh

.PHONY: lock
lock: ## Write requirements.lock anew from pyproject.toml; make lock ARGS=--upgrade
	@command -v uv >/dev/null || { echo "The lock is written by uv: install it first." >&2; exit 1; }
	@uv pip compile pyproject.toml --extra embedded --extra demo --extra dev --universal --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements.lock $(ARGS)
