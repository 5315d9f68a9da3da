#!/usr/bin/env bash
# Installs the libraries that decode images, where they are missing: libjpeg-turbo, libpng and libwebp, with their headers.
# On Debian and Ubuntu; elsewhere it says what is needed.
set -euo pipefail

missing=()
for pair in jpeglib.h:libjpeg-dev png.h:libpng-dev webp/decode.h:libwebp-dev; do
    header=${pair%%:*} package=${pair##*:}
    for folder in /usr/include /usr/include/"$(uname -m)"-linux-gnu /usr/local/include; do
        [ -f "$folder/$header" ] && continue 2
    done
    missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit

if ! command -v apt-get >/dev/null; then
    echo "install-deps: install the equivalents of Debian's ${missing[*]}, which Martlet decodes images with" >&2
    exit 1
fi
echo "install-deps: installing ${missing[*]} with apt-get" >&2
sudo=$(command -v sudo || true)
[ "$(id -u)" != 0 ] || sudo=
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
