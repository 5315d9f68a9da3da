#!/usr/bin/env python3
"""From starting a process to its first token, and its peak memory, with a warm page cache; engines in turn.

    python3 Benchmarks/load_speed.py MODEL.gguf … --peers PEERS [--martlet .build/release/martlet] [--threads 2] [--rounds 5]
        [--context 4096] [--json FILE]

Each engine loads the model, repacks it as it likes best, reserves a context and generates one token of a short prompt. The time is
from starting to ending the process, which for one token is what somebody waits; peak memory is the process's largest resident
set, and so counts mapped pages of the file. It is compared with the file and the context's KV cache in 16 bits. Standard
library only.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile, time
import engines, gguf_shape

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("models", nargs="+")
parser.add_argument("--peers", default="peers")
parser.add_argument("--martlet", default=".build/release/martlet")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--context", type=int, default=4096)
parser.add_argument("--json", type=pathlib.Path)
args = parser.parse_args()
PROMPT = "The sea is"


def commands(model):
    peers, martlet, model = (pathlib.Path(path).absolute() for path in (args.peers, args.martlet, model))
    common = ["-m", str(model), "-t", str(args.threads), "-c", str(args.context), "-p", PROMPT, "-n", "1", "--temp", "0", "--no-warmup"]
    return {
        "martlet": [martlet, "run", model, PROMPT, "--raw", "--max-tokens", "1", "--temperature", "0",
                    "--threads", str(args.threads), "--context", str(args.context)],
        "llama.cpp": [peers / "llama.cpp/bin/llama-completion", *common, "-fa", "on", "-no-cnv", "--simple-io"],
        "llama.cpp, not repacked": [peers / "llama.cpp/bin/llama-completion", *common, "-fa", "on", "-no-cnv", "--simple-io", "-nr"],
        "ik_llama.cpp": [peers / "ik_llama.cpp/bin/llama-cli", *common, "-fa", "on", "-rtr"],
        "ik_llama.cpp, not repacked": [peers / "ik_llama.cpp/bin/llama-cli", *common, "-fa", "on"],
    }


def run(command):
    """(seconds, bytes of the largest resident set) of one process; an error is a string."""
    # ik_llama.cpp leaves its logs where it runs.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        try:
            process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       cwd=scratch)
        except OSError as error:
            return f"does not start: {error.strerror}"
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            seconds = time.perf_counter() - began
            if ended:
                break
            if seconds > 300:
                process.kill()
                os.wait4(process.pid, 0)
                return "took longer than 300 s"
            time.sleep(0.002)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            last = output.read().decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
            return engines.without_paths(f"ended with {process.returncode}: {last[0][:200]}")
        return seconds, usage.ru_maxrss * 1024


report = []
print("| model | engine | seconds, median (least) | martlet / this | peak RSS, MB | of file + KV |\n|---|---|---:|---:|---:|---:|")
for model in args.models:
    shape = gguf_shape.read(model)
    with open(model, "rb") as file:  # warms the page cache
        while file.read(1 << 24):
            pass
    samples, failed = {}, {}
    for number in range(args.rounds):
        for name, command in commands(model).items():
            if name in failed:
                continue
            result = run(command)
            if isinstance(result, str):
                failed[name] = result
            else:
                samples.setdefault(name, []).append(result)
    seconds = {name: [s for s, _ in values] for name, values in samples.items()}
    ours = statistics.median(seconds["martlet"]) if "martlet" in seconds else None
    expected = shape.file_bytes + shape.kv_bytes(args.context)
    for name in commands(model):
        if name in failed:
            print(f"| {shape.name} | {name} | failed: {failed[name]} | | | |")
            report.append({"model": shape.name, "engine": name, "threads": args.threads, "error": failed[name]})
            continue
        middle, resident = statistics.median(seconds[name]), max(r for _, r in samples[name])
        print(f"| {shape.name} | {name} | {middle:.2f} ({min(seconds[name]):.2f}) | {f'{ours / middle:.2f}' if ours else ''} "
              f"| {resident / 1e6:.0f} | {resident / expected:.2f} |", flush=True)
        report.append({"model": shape.name, "engine": name, "threads": args.threads, "context": args.context,
                       "seconds": seconds[name], "peak_bytes": [r for _, r in samples[name]], "file_and_kv_bytes": expected})
if args.json:
    args.json.write_text(json.dumps(report, indent=1) + "\n")
sys.exit(0)
