# Tunesmith. `make` alone prints this menu.
SHELL := /bin/bash
PY := .venv/bin/python
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test prove check generate lock bench up down clean

help: ## Print this menu
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:
	@tools/setup.sh

check: setup ## Format, lint, types, imports, generated files current
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy operator trainer simulator devcluster demo
	@$(BIN)/lint-imports

test: setup ## What CI runs: units, properties, real training, a real Kubernetes
	@$(PY) -m pytest -m "not prove"

up: setup ## A Kubernetes to develop against: given, by kind, or of binaries; prints its kubeconfig
	@$(BIN)/tunesmith-devcluster up

down: setup ## End exactly what `make up` started
	@$(BIN)/tunesmith-devcluster down

generate: setup ## Write crds/, the chart's copies and the page of reasons anew
	@$(PY) -m tunesmith.resources.generator

lock: setup ## Write the requirement locks anew
	@tools/lock.sh
