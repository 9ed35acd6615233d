#!/usr/bin/env bash
# Writes the requirement locks: exact versions with hashes, naming no package host.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
    --no-emit-package tunesmith-devcluster --no-emit-package tunesmith-simulator --no-emit-package tunesmith-trainer \
    "${@:2}" --output-file "requirements/$1"
}
compile uv.lock requirements/uv.in
compile model.lock requirements/model.in --no-deps
compile build.lock requirements/build.in --constraint requirements/dev.lock
compile go.lock requirements/go.in --no-deps
compile tools.lock requirements/tools.in --no-deps
compile dev.lock requirements/dev.in pyproject.toml trainer/pyproject.toml simulator/pyproject.toml \
  devcluster/pyproject.toml demo/pyproject.toml --extra trackers --extra stacks
compile operator.lock pyproject.toml --constraint requirements/dev.lock
compile trainer.lock trainer/pyproject.toml --extra qlora --extra trackers --extra stacks --constraint requirements/dev.lock
