#!/usr/bin/env bash
# Runs the commands of the README's command-line block, so that none of them goes stale.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.build/release:$PATH"
commands=$(sed -n '/^```sh$/,/^```$/p' README.md | sed '/^```/d')
[ -n "$commands" ] || { echo "check-readme: no commands found" >&2; exit 1; }
while IFS= read -r command; do
    printf '$ %s\n' "$command"
    # No terminal and no prompt would wait for one: nothing on standard input.
    bash -euo pipefail -c "$command" </dev/null
done <<<"$commands"
echo "check-readme: all commands ran"
