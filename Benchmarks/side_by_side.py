#!/usr/bin/env python3
"""Martlet against its peers in turn (limit A B C, limit A B C, …): medians, ratios and shares of the machine's limits.

    Benchmarks/build_peers.sh --out PEERS --ik IK_LLAMA_CPP_SOURCE
    python3 Benchmarks/side_by_side.py MODEL.gguf … --peers PEERS --out Benchmarks/results/NAME \\
        [--tests decode,prefill,batch,long | pp512,tg128@4096,tg32x8@16,…] [--engines martlet,llama.cpp,ik_llama.cpp] \\
        [--threads 2,1] [--rounds 5] [--estimate]

Writes NAME.json (every sample), NAME.md (tables) and NAME-tN.svg (one plot for each number of threads) after every round. Run
again, it takes up where it stopped: what NAME.json has is not measured again, unless an engine has changed since. A cell that
fails is written down as failed, and the rest goes on. Standard library only.

Each round measures, cell by cell, the limit that bounds the cell (arithmetic for pp, arithmetic and read bandwidth for several
sequences) and then each engine in a fresh process. A sample waits for a quiet moment, up to --patience seconds. If other
processes took more than --max-other of the machine meanwhile, it is taken again, up to --retries times. Medians are of
undisturbed samples; a cell that has none is marked ~. With --again, the turns that were disturbed are measured anew.

What one sequence decodes in a second depends on the read bandwidth, and on a shared machine that can double from one moment to
the next. It is measured before and after each sample of tg; unless all measurements of a turn lie within --max-drift of each other,
the turn compares moments and not engines: it is taken again, up to --retries times, and then counts as disturbed. Not so behind
a context: computing that takes longer than the bandwidth stays the same.
"""
import argparse, json, math, os, pathlib, platform, signal, statistics, sys, time
import engines as engines_module, gguf_shape, machine_limits, report
from engines import EngineFailure, Test, others_share, processor_times, without_paths

SUITES = {
    "decode": ["tg128", "tg128@4096"],
    "prefill": ["pp128", "pp512", "pp2048"],
    "batch": ["tg32x4@16", "tg32x8@16", "tg32x16@16", "tg32x32@16"],
    "long": ["pp16384", "tg32@32000"],
}
VERSION = 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="GGUF files")
    parser.add_argument("--peers", default="peers", help="what build_peers.sh made")
    parser.add_argument("--martlet", default=".build/release/martlet")
    parser.add_argument("--tests", default="decode,prefill,batch", help="suites and tests, with commas")
    parser.add_argument("--engines", default="martlet,llama.cpp,ik_llama.cpp", help="with commas; --list prints them")
    parser.add_argument("--engine", action="append", default=[], metavar="NAME=ENGINE FLAGS",
                        help="one more engine: a known one's program with other flags")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long-rounds", type=int, default=2, help="for tests that take minutes (pp or depth over 8192)")
    parser.add_argument("--max-other", type=float, default=0.08, help="share of the machine others may take")
    parser.add_argument("--max-drift", type=float, default=0.2, help="by how much the read bandwidth may rise within a turn of tg")
    parser.add_argument("--retries", type=int, default=2)
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for others to be quiet; 0: do not wait")
    parser.add_argument("--again", action="store_true", help="measure disturbed turns anew")
    parser.add_argument("--timeout", type=float, default=6, help="times the estimate, and a minute")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("Benchmarks/results/side_by_side"))
    parser.add_argument("--estimate", action="store_true", help="say how long it will take, and stop")
    parser.add_argument("--report", action="store_true", help="write the tables and plots of what was measured, and stop")
    parser.add_argument("--list", action="store_true", help="print the known engines and tests, and stop")
    return parser, parser.parse_args()


class Measurement:
    def __init__(self, args, engines, shapes, tests, threads):
        self.args, self.engines, self.tests, self.threads = args, engines, tests, threads
        self.shapes = shapes  # by path
        self.file = args.out.with_suffix(".json")
        self.data = {"version": VERSION, "machine": {}, "engines": {}, "models": {}, "samples": [], "limits": []}
        if self.file.exists():
            self.data = json.loads(self.file.read_text())
            if self.data.get("version") != VERSION:
                raise SystemExit(f"{self.file} is of another version: move it away")
        self.describe()
        self.forget_what_changed()

    def describe(self):
        self.data["machine"] = machine()
        versions = {}
        listed = pathlib.Path(self.args.peers) / "versions.txt"
        if listed.exists():
            versions = dict(line.split(": ", 1) for line in listed.read_text().splitlines() if ": " in line)
        for engine in self.engines:
            self.data["engines"][engine.name] = {
                "flags": engine.flags, "group": engine.group, "ours": engine.is_ours,
                "built": without_paths(versions.get(engine.directory.parent.name, "")), "fingerprint": engine.fingerprint()}
        for shape in self.shapes.values():
            self.data["models"][shape.name] = dict(vars(shape), is_integer=shape.is_integer)

    def forget_what_changed(self):
        """Ratios are of runs in turn, so when one engine is another build, its cells are measured again for all."""
        current = {engine.name: self.data["engines"][engine.name]["fingerprint"] for engine in self.engines}
        stale = {cell(s) for s in self.data["samples"]
                 if s["engine"] in current and s["fingerprint"] != current[s["engine"]]}
        asked = {(shape.name, str(test), threads)
                 for shape in self.shapes.values() for test in self.tests for threads in self.threads}
        dropped = stale & asked
        if dropped:
            print(f"{len(dropped)} cells were measured with another build: again", file=sys.stderr)
        for kind in ("samples", "limits"):
            self.data[kind] = [s for s in self.data[kind] if cell(s) not in dropped]
        if self.args.again:
            turns = {(*cell(s), s["round"]) for s in self.data["samples"] if s.get("disturbed") and cell(s) in asked}
            for kind in ("samples", "limits"):
                self.data[kind] = [s for s in self.data[kind] if (*cell(s), s["round"]) not in turns]

    def rounds(self, test):
        long = max(test.tokens if test.kind == "pp" else 0, test.depth) > 8192
        return min(self.args.rounds, self.args.long_rounds) if long else self.args.rounds

    def plan(self):
        """(round, threads, path, test, engines that lack this round's sample), rounds outermost."""
        done = {(*cell(s), s["engine"], s["round"]) for s in self.data["samples"] if "error" not in s}
        steps = []
        for number in range(1, self.args.rounds + 1):
            for threads in self.threads:
                for path, shape in self.shapes.items():
                    for test in self.tests:
                        if number > self.rounds(test):
                            continue
                        key = (shape.name, str(test), threads)
                        missing = [engine for engine in self.engines if (*key, engine.name, number) not in done]
                        # Samples of a turn are compared with one another.
                        if missing and is_read(test):
                            missing = self.engines
                        if missing:
                            steps.append((number, threads, path, test, missing))
        return steps

    def sizes(self, path, test, threads):
        """(repetitions, warm up?, seconds that one process will take): short tests repeat for a second and a half."""
        preparing, running = test.seconds(self.shapes[path], threads)
        repetitions = max(1, min(5, round(1.5 / running)))
        warm_up = running < 20
        runs = repetitions + (1 if warm_up else 0)
        # ik_llama.cpp computes the context anew for each repetition.
        return repetitions, warm_up, preparing + running * runs

    def estimate(self, steps):
        """Seconds. What was measured before tells better than a guess."""
        known = {}
        for s in self.data["samples"]:
            if "seconds" in s:
                known.setdefault((*cell(s), s["engine"]), []).append(s["seconds"])
        total = 0.0
        for _, threads, path, test, missing in steps:
            total += 2.5
            for engine in missing:
                seconds = known.get((self.shapes[path].name, str(test), threads, engine.name))
                total += statistics.mean(seconds) if seconds else self.sizes(path, test, threads)[2]
        return total

    def limits(self, number, threads, path, test):
        only = "compute" if test.kind == "pp" else None
        for _ in range(self.args.retries + 1):
            wait_for_quiet(self.args.patience, self.args.max_other)
            before, began = processor_times(), time.monotonic()
            found = machine_limits.measure([threads], only=only, repetitions=7)
            other = others_share(before, processor_times(), time.monotonic() - began)
            if other <= self.args.max_other:
                break
        entry = {"model": self.shapes[path].name, "test": str(test), "threads": threads, "round": number,
                 "other_share": round(other, 3), "disturbed": other > self.args.max_other}
        if "bandwidth_gb_per_second" in found:
            entry["bandwidth"] = found["bandwidth_gb_per_second"][str(threads)]
        if "giga_operations_per_second" in found:
            entry["operations"] = found["giga_operations_per_second"][str(threads)]
        self.data["limits"].append(entry)

    def turn(self, engines, number, threads, path, test):
        """One sample of each engine, and by how much the read bandwidth rose or fell meanwhile, if that is what bounds them."""
        if not is_read(test):
            try:
                self.limits(number, threads, path, test)
            except Exception as error:  # the engines can be compared without it
                print(f"the limit was not measured: {error}", file=sys.stderr)
            return [self.sample(engine, number, threads, path, test) for engine in engines], 0
        entries, reads = [], [read_bandwidth(threads)]
        for engine in engines:
            entries.append(self.sample(engine, number, threads, path, test))
            reads.append(read_bandwidth(threads))
            entries[-1]["read_gb_per_second"] = [rate for rate in reads[-2:] if rate]
        return entries, max(reads) / min(reads) - 1 if all(reads) else math.inf

    def sample(self, engine, number, threads, path, test):
        repetitions, warm_up, seconds = self.sizes(path, test, threads)
        entry = {"model": self.shapes[path].name, "test": str(test), "threads": threads, "engine": engine.name, "round": number,
                 "fingerprint": self.data["engines"][engine.name]["fingerprint"]}
        attempts = []
        try:
            for _ in range(self.args.retries + 1):
                wait_for_quiet(self.args.patience, self.args.max_other)
                attempts.append(engine.measure(path, test, threads, repetitions, warm_up, 60 + self.args.timeout * seconds))
                if attempts[-1].other_share <= self.args.max_other:
                    break
            best = min(attempts, key=lambda attempt: attempt.other_share)
            entry |= {"rate": statistics.median(best.rates), "rates": best.rates, "seconds": round(best.seconds, 2),
                      "other_share": round(best.other_share, 3), "steal_share": round(best.steal_share, 3),
                      "disturbed": best.other_share > self.args.max_other}
            if len(attempts) > 1:
                entry["attempts"] = [{"rates": a.rates, "other_share": round(a.other_share, 3)} for a in attempts]
        except EngineFailure as failure:
            entry["error"] = str(failure)
        shown = entry.get("error") or f"{entry['rate']:.1f} tok/s" + (" ~" if entry["disturbed"] else "")
        print(f"round {number}, {threads} threads, {entry['model']}, {test}, {engine.name}: {shown}", file=sys.stderr, flush=True)
        return entry

    def save(self, with_report=True):
        self.data["samples"].sort(key=lambda s: (s["threads"], s["model"], s["test"], s["round"]))
        write(self.file, json.dumps(self.data, indent=1) + "\n")
        if with_report:
            for name, text in report.files(self.data, self.args.out.name).items():
                write(self.args.out.with_name(name), text)

    def run(self):
        steps = self.plan()
        print(f"{sum(len(step[4]) for step in steps)} samples to take, about {duration(self.estimate(steps))}"
              " where nobody disturbs", file=sys.stderr)
        if self.args.estimate:
            return
        failures = {}
        last_round = steps[0][0] if steps else 0
        for position, (number, threads, path, test, missing) in enumerate(steps):
            if number != last_round:
                last_round = number
                print(f"about {duration(self.estimate(steps[position:]))} to go", file=sys.stderr)
                self.save()
            # What an earlier run has of them, failures among that, is taken again.
            names = {engine.name for engine in missing}
            key = (self.shapes[path].name, str(test), threads)
            self.data["samples"] = [s for s in self.data["samples"]
                                    if not (cell(s) == key and s["round"] == number and s["engine"] in names)]
            for attempt in range(self.args.retries + 1):
                engines = [engine for engine in missing if failures.get((key, engine.name), 0) < 2]
                entries, drift = self.turn(engines, number, threads, path, test)
                if drift <= self.args.max_drift or test.depth:
                    break
                print(f"the read bandwidth drifted by {100 * drift:.0f} %", file=sys.stderr)
            else:
                for entry in entries:
                    entry["disturbed"] = True
            for entry in entries:
                if "error" in entry:
                    failures[(key, entry["engine"])] = failures.get((key, entry["engine"]), 0) + 1
            self.data["samples"] += entries
            self.save(with_report=False)


def is_read(test):
    """Whether reading is what bounds a test."""
    return test.kind == "tg" and test.batch == 1


def read_bandwidth(threads):
    """GB/s; None where it could not be measured."""
    try:
        return machine_limits.measure([threads], only="bandwidth", repetitions=5)["bandwidth_gb_per_second"][str(threads)]["median"]
    except Exception as error:  # the engines can be compared without it
        print(f"the read bandwidth was not measured: {error}", file=sys.stderr)
        return None


def wait_for_quiet(patience, share):
    """Until others take at most this share of the machine, or patience ends."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before, began = processor_times()["busy"], time.monotonic()
        time.sleep(0.4)
        busy = (processor_times()["busy"] - before) / (time.monotonic() - began) / (os.cpu_count() or 1)
        if busy <= share:
            return


def cell(entry):
    return entry["model"], entry["test"], entry["threads"]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text)
    unfinished.rename(path)


def duration(seconds):
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{max(1, minutes)} min"


def machine():
    model = platform.processor()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"processor": model, "processors": os.cpu_count(), "memory_gib": round(memory, 1),
            "system": f"{platform.system()} {platform.machine()}", "date": time.strftime("%Y-%m-%d")}


def main():
    parser, args = arguments()
    known = engines_module.known(args.martlet, args.peers)
    if args.list:
        for engine in known.values():
            print(f"{engine.name:24} {' '.join(engine.flags)}")
        for name, tests in SUITES.items():
            print(f"{name:24} {' '.join(tests)}")
        return 0
    if args.report:
        data = json.loads(args.out.with_suffix(".json").read_text())
        for name, text in report.files(data, args.out.name).items():
            write(args.out.with_name(name), text)
        return 0
    try:
        tests = [Test.parse(name) for suite in args.tests.split(",") for name in SUITES.get(suite, [suite])]
        threads = [int(count) for count in args.threads.split(",")]
        for text in args.engine:
            engine = engines_module.custom(text, known)
            known[engine.name] = engine
        names = args.engines.split(",") + [text.partition("=")[0] for text in args.engine]
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"no such engine: {', '.join(unknown)}; --list prints them")
        if min(threads) < 1 or args.rounds < 1 or args.long_rounds < 1:
            raise ValueError("threads and rounds are at least 1")
        if not args.models:
            raise ValueError("which model?")
        shapes = {path: gguf_shape.read(path) for path in args.models}
    except (ValueError, OSError) as error:
        parser.error(str(error))
    present = []
    for name in dict.fromkeys(names):
        if missing := known[name].missing():
            print(f"{name} is left out: {', '.join(missing)} is not there", file=sys.stderr)
        else:
            present.append(known[name])
    if not present:
        parser.error("no engine is there")
    measurement = Measurement(args, present, shapes, tests, threads)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        measurement.run()
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    finally:
        if not args.estimate:
            measurement.save()
    print(args.out.with_suffix(".md").read_text() if not args.estimate else "", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
