#!/usr/bin/env python3
"""Compiles and runs machine_limits.c: what this machine reads and multiplies at best.

    python3 Benchmarks/machine_limits.py [--threads 1,2] [--json FILE]

Run it beside the engines, not a day before: on a shared machine the limit moves (side_by_side.py measures it in every round).
"""
import argparse, json, os, pathlib, shutil, subprocess, sys

SOURCE = pathlib.Path(__file__).with_name("machine_limits.c")
BINARY = pathlib.Path(__file__).resolve().parent.parent / ".build" / "benchmarks" / "machine_limits"


def compiled():
    """The program's path; it is built again when the source is newer."""
    if not BINARY.exists() or BINARY.stat().st_mtime < SOURCE.stat().st_mtime:
        compiler = os.environ.get("CC") or next((name for name in ("clang", "gcc", "cc") if shutil.which(name)), None)
        if not compiler:
            raise FileNotFoundError("no C compiler: install clang or gcc, or set CC")
        BINARY.parent.mkdir(parents=True, exist_ok=True)
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-pthread"]
        unfinished = BINARY.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *flags, str(SOURCE), "-o", str(unfinished)], check=True)
        unfinished.rename(BINARY)
    return str(BINARY)


def measure(threads, only=None, repetitions=9):
    """machine_limits.c's JSON; keys of thread counts are strings."""
    command = [compiled(), "--threads", ",".join(map(str, threads)), "--repetitions", str(repetitions)]
    if only:
        command += ["--only", only]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--json", type=pathlib.Path, help="also write the JSON here")
    args = parser.parse_args()
    limits = measure([int(t) for t in args.threads.split(",")], repetitions=args.repetitions)
    if args.json:
        args.json.write_text(json.dumps(limits, indent=1) + "\n")
    print("| threads | what | median | best | worst |\n|---:|---|---:|---:|---:|")
    for threads, found in limits["bandwidth_gb_per_second"].items():
        for name, rate in found["patterns"].items():
            print(f"| {threads} | read, {name}, GB/s | {rate['median']:.1f} | {rate['best']:.1f} | {rate['worst']:.1f} |")
    for threads, found in limits["giga_operations_per_second"].items():
        for name, rate in found.items():
            if rate:
                print(f"| {threads} | {name} ({rate['instruction']}), G operations/s "
                      f"| {rate['median']:.0f} | {rate['best']:.0f} | {rate['worst']:.0f} |")


if __name__ == "__main__":
    sys.exit(main())
