#!/bin/bash
# Builds the engines that Martlet is measured against. What stands already is only brought up to date.
#
#   Benchmarks/build_peers.sh --out PEERS [--ik IK_LLAMA_CPP_SOURCE] [--llama LLAMA_CPP_SOURCE]
#                             [--only llama.cpp,llama.cpp-avx2,ik_llama.cpp] [--jobs N]
#
# Needs python3 with venv, a C++ compiler, and PyPI. Makes
#   PEERS/tools                    a virtual environment: cmake, ninja, and gguf + numpy for synthetic_models.py
#   PEERS/source/llama.cpp         vendor/llama.cpp of the source distribution of llama-cpp-python (or --llama)
#   PEERS/llama.cpp/bin            this machine's instruction set
#   PEERS/llama.cpp-avx2/bin       AVX2, FMA, F16C and BMI2 only
#   PEERS/ik_llama.cpp/bin         this machine's instruction set; only with --ik, as it is not on PyPI
#   PEERS/versions.txt             what was built, from what, with what
set -euo pipefail

version=0.3.36 # of llama-cpp-python
out="" ik="" llama="" only="llama.cpp,llama.cpp-avx2,ik_llama.cpp" jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
    --out) out=$2 ;;
    --ik) ik=$2 ;;
    --llama) llama=$2 ;;
    --only) only=$2 ;;
    --jobs) jobs=$2 ;;
    --version) version=$2 ;;
    *) sed -n '2,/^set/{s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
    shift 2
done
[ -n "$out" ] || { echo "build_peers.sh: --out is missing" >&2; exit 2; }
mkdir -p "$out/source"
out=$(cd "$out" && pwd)

wanted() { case ",$only," in *",$1,"*) true ;; *) false ;; esac; }

if [ ! -x "$out/tools/bin/ninja" ] || [ ! -x "$out/tools/bin/cmake" ]; then
    python3 -m venv "$out/tools"
    "$out/tools/bin/pip" install --quiet cmake ninja gguf numpy
fi
PATH=$out/tools/bin:$PATH

if [ -z "$llama" ]; then
    llama=$out/source/llama.cpp
    if [ ! -f "$llama/CMakeLists.txt" ] && { wanted llama.cpp || wanted llama.cpp-avx2; }; then
        echo "fetching llama-cpp-python $version" >&2
        "$out/tools/bin/pip" download --quiet --no-deps --no-binary llama-cpp-python "llama-cpp-python==$version" \
            --dest "$out/source"
        rm -rf "$llama.part" && mkdir "$llama.part"
        tar -xzf "$out/source/llama_cpp_python-$version.tar.gz" -C "$llama.part" --strip-components=3 \
            "llama_cpp_python-$version/vendor/llama.cpp"
        mv "$llama.part" "$llama"
    fi
fi

# name, source, targets, flags …
build() {
    local name=$1 source=$2 targets=$3
    shift 3
    wanted "$name" || return 0
    echo "building $name from $source" >&2
    # No web page, no TLS: both would want downloads, and neither is measured.
    cmake -G Ninja -S "$source" -B "$out/$name" -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF -DLLAMA_CURL=OFF \
        -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF "$@" >"$out/$name.configure.log" 2>&1 ||
        { tail -20 "$out/$name.configure.log" >&2; return 1; }
    # shellcheck disable=SC2086 # a list of targets
    cmake --build "$out/$name" -j "$jobs" --target $targets >"$out/$name.build.log" 2>&1 ||
        { tail -20 "$out/$name.build.log" >&2; return 1; }
    touch "$out/versions.txt"
    sed -i "/^$name: /d" "$out/versions.txt"
    local from
    from=$(git -C "$source" rev-parse --short=8 HEAD 2>/dev/null || echo "llama-cpp-python $version")
    echo "$name: $from, $(c++ --version | head -1), $*" >>"$out/versions.txt"
}

tools="llama-bench llama-batched-bench llama-quantize"
failed=0
build llama.cpp "$llama" "$tools llama-completion llama-server" -DGGML_NATIVE=ON || failed=1
build llama.cpp-avx2 "$llama" "llama-bench llama-batched-bench" -DGGML_NATIVE=OFF -DGGML_SSE42=ON -DGGML_AVX=ON \
    -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON -DGGML_AVX_VNNI=OFF -DGGML_AVX512=OFF || failed=1
if [ -n "$ik" ]; then
    # Flash attention on quantized KV, which is not measured, takes most of the build's time.
    build ik_llama.cpp "$ik" "$tools llama-cli llama-sweep-bench" -DGGML_NATIVE=ON -DGGML_IQK_FA_ALL_QUANTS=OFF || failed=1
elif wanted ik_llama.cpp; then
    echo "ik_llama.cpp is left out: --ik says where its source is" >&2
fi
cat "$out/versions.txt" >&2
exit $failed
