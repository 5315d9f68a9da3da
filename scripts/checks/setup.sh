#!/usr/bin/env bash
# Makes the Python environment of the checks (scripts/checks) in .build/checks, or where $CHECKS_VENV says.
set -euo pipefail
cd "$(dirname "$0")"
venv="${CHECKS_VENV:-../../.build/checks}"
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement requirements.txt
echo "$venv/bin/python is ready"
