#!/usr/bin/env python3
"""Martlet against peers on the same model, in turn (A B C A B C …), medians and ratios as a markdown table.

    python3 Benchmarks/side_by_side.py MODEL.gguf --rounds 5 --threads 2 \
        --peer 'llama.cpp=PATH/llama-bench -fa 1' --peer 'ik_llama.cpp=PATH/llama-bench -fa 1 -rtr 1'

A peer is a name and a llama-bench with its best flags. Absolute figures drift on shared machines: quote the ratios.
"""
import argparse, csv, io, shlex, statistics, subprocess, sys

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--martlet", default=".build/release/martlet")
parser.add_argument("--compute", default="int16,int8")
parser.add_argument("--peer", action="append", default=[])
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("-p", "--prompt", type=int, default=512)
parser.add_argument("-n", "--generate", type=int, default=64)
args = parser.parse_args()

sizes = ["-p", str(args.prompt), "-n", str(args.generate), "-r", "2", "-o", "csv"]
engines = {}
for compute in args.compute.split(","):
    engines[f"martlet {compute}"] = (
        [args.martlet, "bench", args.model, "--threads", str(args.threads), "--compute", compute] + sizes)
for peer in args.peer:
    name, command = peer.split("=", 1)
    engines[name] = shlex.split(command) + ["-m", args.model, "-t", str(args.threads)] + sizes

speeds = {name: {"prefill": [], "decode": []} for name in engines}
for number in range(args.rounds):
    for name, command in engines.items():
        print(f"round {number + 1}: {name}", file=sys.stderr)
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for row in csv.DictReader(io.StringIO(output)):
            generated = int(row.get("generated") or row.get("n_gen") or 0)
            speed = float(row.get("tokens_per_second") or row.get("avg_ts"))
            speeds[name]["decode" if generated else "prefill"].append(speed)

median = {name: {kind: statistics.median(values) for kind, values in kinds.items()} for name, kinds in speeds.items()}
ours = next(iter(median.values()))
print(f"| engine | prefill {args.prompt}, tok/s | first / this | decode {args.generate}, tok/s | first / this |")
print("|---|---:|---:|---:|---:|")
for name, kinds in median.items():
    print(f"| {name} | {kinds['prefill']:.0f} | {ours['prefill'] / kinds['prefill']:.2f} "
          f"| {kinds['decode']:.0f} | {ours['decode'] / kinds['decode']:.2f} |")
