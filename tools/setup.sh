#!/usr/bin/env bash
# Makes .venv from the locks. Does nothing when it is already what the locks say.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=.venv/.tunesmith-stamp
want=$(cat requirements/uv.lock requirements/dev.lock requirements/model.lock pyproject.toml ./*/pyproject.toml | sha256sum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0

say() { printf '\033[2m·\033[0m %s\n' "$*" >&2; }
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "Tunesmith needs Python 3.11 or newer as 'python3'. Install it, then run the same command again." >&2
  exit 1
fi
[ -x .venv/bin/python ] || { say "making .venv"; python3 -m venv .venv; }
if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
  say "installing uv"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
fi
say "installing the Python packages (a few minutes the first time: torch is large)"
.venv/bin/python -m uv pip sync --require-hashes requirements/dev.lock requirements/model.lock
say "installing Tunesmith's own packages"
.venv/bin/python -m uv pip install --quiet --no-deps --no-build-isolation \
  -e . -e ./devcluster -e ./simulator -e ./trainer -e ./demo
echo "$want" > "$stamp"
