# Tunesmith. `make` alone prints this menu.
SHELL := /bin/bash
PY := .venv/bin/python
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup binaries demo test prove check generate lock bench up down clean

help: ## Print this menu
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:
	@tools/setup.sh

binaries: setup
	@$(BIN)/tunesmith-devcluster binaries

demo: binaries ## Buy a simulated cluster, fine-tune a real model on it, give everything back (QUICK=1, KEEP=1)
	@$(BIN)/tunesmith-demo run $(if $(QUICK),--quick) $(if $(KEEP),--keep)

test: binaries ## What CI runs: units, properties, real training, a real Kubernetes
	@$(PY) -m pytest -m "not prove"

prove: binaries ## Everything that takes longer than `make test` allows (PART=name for one part)
	@$(PY) -m pytest -m "prove" $(if $(PART),-k "$(PART)")

check: setup ## Format, lint, types, imports, generated files current
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy operator trainer simulator devcluster demo
	@$(BIN)/lint-imports
	@$(PY) -m tunesmith_trainer.contract --check

generate: setup ## Write the CRDs, the contract's schemas and the reference pages from their sources

generate: setup ## Write what is generated anew: the trainer's contract
	@$(PY) -m tunesmith_trainer.contract --write

up: setup ## A Kubernetes to develop against: given, by kind, or of binaries; prints its kubeconfig
	@$(BIN)/tunesmith-devcluster up

down: setup ## End exactly what `make up` started
	@$(BIN)/tunesmith-devcluster down

lock: setup ## Write the requirement locks anew
	@tools/lock.sh

bench: setup ## Print figures with their conditions
	@for bench in tests/bench/*.py; do $(PY) $$bench || exit 1; done

up: binaries ## Bring up a Kubernetes with GPU nodes and print its kubeconfig
	@$(BIN)/tunesmith-devcluster up

down: setup ## End exactly what `make up` started
	@$(BIN)/tunesmith-devcluster down

clean: ## Remove what was generated in the checkout (caches outside it stay)
	@rm -rf .venv .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
