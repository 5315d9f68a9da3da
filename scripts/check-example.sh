#!/usr/bin/env bash
# Builds Examples/Embed as a package of its own that depends on this one, and runs it. It shares the scratch folder and the
# flags of `make test`, so that nothing but the example is compiled: arguments are those flags.
set -euo pipefail
cd "$(dirname "$0")/.."
swift build -c release "$@" --package-path Examples/Embed --scratch-path .build
answer=$(.build/release/Embed models/SmolLM2-135M-Instruct.Q4_1.gguf)
printf '%s\n' "$answer"
[[ $answer == *"Paris"* ]] || { echo "check-example: the answer is wrong" >&2; exit 1; }
