#!/usr/bin/env bash
# Sets up what every target but the plainest needs: the Python packages and the control-plane binaries.
# The binaries' build needs only Python and Go, so it runs beside the installation of the packages.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
PYTHONPATH=devcluster nice python3 -m tunesmith_devcluster.binaries >"$log" 2>&1 &
build=$!
trap 'kill "$build" 2>/dev/null || true; rm -f "$log"' EXIT
tools/setup.sh
# The one that comes second waits for the first, and shows how far it is.
.venv/bin/tunesmith-devcluster binaries
trap - EXIT
rm -f "$log"
