#!/usr/bin/env bash
# Compiles CKernels for arm64 Linux with all warnings as errors, and, where this machine can, runs its NEON kernels against
# the portable ones (Tests/NEON/compare.c): natively, or under qemu-user with Debian's cross libc. Where there is no arm64
# libc, everything but the two files that call the operating system is compiled, against the declarations below.
# With --install it first installs what running takes.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1-}" = --install ]; then
    sudo=$(command -v sudo || true)
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends qemu-user libc6-dev-arm64-cross libgcc-12-dev-arm64-cross
fi

toolchain=$(dirname "$(readlink -f "$(command -v swift)")")
clang=$toolchain/clang
[ -x "$clang" ] || clang=$(command -v clang)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=(-std=c17 -O2 -Wall -Wextra -Werror -ISources/CKernels/include)
sources=(Sources/CKernels/*.c)
libc=/usr/aarch64-linux-gnu
qemu=()
if [ "$(uname -m)" = aarch64 ]; then
    runs=1
else
    flags+=(--target=aarch64-linux-gnu -nostdlibinc)
    qemu=("$(command -v qemu-aarch64 || true)")
    runs=0
    if [ -f $libc/include/string.h ]; then
        flags+=(-isystem $libc/include)
        if [ -n "${qemu[0]}" ] && [ -f $libc/lib/libc.a ]; then runs=1; fi
    else
        sources=($(ls Sources/CKernels/*.c | grep -v -e dispatch.c -e threads.c))
        flags+=(-ffreestanding -isystem "$work")
        cat >"$work/string.h" <<'HEADER'
#include <stddef.h>
void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
HEADER
        cat >"$work/math.h" <<'HEADER'
#define INFINITY __builtin_inff()
float sqrtf(float);
HEADER
    fi
fi

[ $runs = 0 ] || sources+=(Tests/NEON/compare.c)
printf '%s\n' "${sources[@]}" |
    xargs -P "$(nproc)" -I{} sh -c '"$@" -c {} -o '"$work"'/$(basename {}).o || exit 255' sh "$clang" "${flags[@]}"
echo "check-neon: ${#sources[@]} files compiled for arm64"

if [ $runs = 0 ]; then
    echo "check-neon: not run, as there is no qemu-user or no arm64 libc (make neon installs them)"
    exit
fi
link=(-lm)
[ ${#qemu[@]} = 0 ] || link=(--target=aarch64-linux-gnu -fuse-ld=lld -static -B$libc/lib -L$libc/lib -lm)
"$clang" "$work"/*.o "${link[@]}" -o "$work/compare"
if [ ${#qemu[@]} = 0 ]; then
    "$work/compare"
else
    # With the dot-product extension and without it.
    for cpu in neoverse-n1 cortex-a72; do
        echo "check-neon: run as $cpu under qemu"
        "${qemu[0]}" -cpu $cpu "$work/compare"
    done
fi
