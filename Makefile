# Tunesmith. `make` alone prints this menu.
SHELL := /bin/bash
PY := .venv/bin/python
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup ground demo test prove check generate lock bench methods up down clean

help: ## Print this menu
	@printf 'Tunesmith: make TARGET. Each target sets up what it needs, once. First: make demo\n\n'
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:
	@tools/setup.sh

ground:
	@tools/ground.sh

demo: ground ## Buy a simulated cluster, fine-tune a real model on it, give everything back (QUICK=1, KEEP=1, STORY=name)
	@$(BIN)/tunesmith-demo $(if $(STORY),story $(STORY),run $(if $(QUICK),--quick)) $(if $(KEEP),--keep)

test: ground ## What CI runs: units, properties, real training, a real Kubernetes
	@$(PY) -m pytest -n 4 --dist loadscope -m "not prove"

prove: ground ## Everything that takes longer than `make test` allows (PART=name for one part)
	@$(PY) -m pytest -n 2 --dist loadscope -m "prove" $(if $(PART),-k "$(PART)")

check: setup ## Format, lint, types, imports, generated files current
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy operator trainer simulator devcluster demo
	@$(BIN)/lint-imports
	@$(PY) -m tunesmith.resources.generator --check
	@$(PY) tools/values_reference.py --check
	@$(PY) tools/model_fit.py --check
	@$(PY) -m tunesmith_trainer.contract --check
	@$(PY) tools/sbom.py --check
	@$(BIN)/hadolint --no-color operator/Dockerfile trainer/Dockerfile

generate: setup ## Write the CRDs, docs/reference/ and the contract from their sources
	@$(PY) -m tunesmith.resources.generator
	@$(PY) tools/values_reference.py
	@$(PY) tools/model_fit.py
	@$(PY) -m tunesmith_trainer.contract --write
	@$(PY) tools/sbom.py

lock: setup ## Write the requirement locks anew
	@tools/lock.sh

bench: ground ## Print figures with their conditions
	@for bench in tests/bench/*.py tests/bench/trainer/beside_trl.py; do $(PY) $$bench || exit 1; done

methods: setup ## Train a real 135 M model with every method on the CPU; print the losses (about five minutes)
	@$(PY) tests/bench/trainer/methods.py

up: setup ## A Kubernetes to develop against: given, by kind, or of binaries; prints its kubeconfig
	@$(BIN)/tunesmith-devcluster up

down: setup ## End exactly what `make up` started
	@$(BIN)/tunesmith-devcluster down

clean: ## Remove what was generated in the checkout (caches outside it stay)
	@rm -rf .venv .run dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -type d \( -name '*.egg-info' -o -name __pycache__ \) -prune -exec rm -rf {} +
