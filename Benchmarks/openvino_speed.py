#!/usr/bin/env python3
"""OpenVINO GenAI with 4-bit weights on a CPU: prefill and decode, alone and in a batch.

    python3 -m venv openvino && openvino/bin/pip install openvino-genai optimum-intel nncf torch
    openvino/bin/pip uninstall -y torchvision torchaudio      # of another build than a CPU torch, they break its import
    openvino/bin/optimum-cli export openvino -m MODEL_FOLDER --task text-generation-with-past \\
        --weight-format int4 --group-size 64 --ratio 1.0 MODEL_INT4     # SmolLM2's 576 columns are no multiple of 128
    openvino/bin/python Benchmarks/openvino_speed.py MODEL_INT4 [--threads 1,2] [--rounds 5] [--json FILE]

All tests run in turn on every number of threads; medians. The prefill is the time to the first token; the decode counts what
comes after it. Tokens are random: their values do not change the work.
"""
import argparse, json, os, pathlib, random, statistics, sys
import numpy, openvino, openvino_genai

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--threads", default="1,2")
parser.add_argument("--prompts", default="128,512", help="prompt lengths of the prefill")
parser.add_argument("--batches", default="1,8", help="sequences that decode at once")
parser.add_argument("--context", type=int, default=16, help="tokens before the decoded ones")
parser.add_argument("--tokens", type=int, default=32, help="to decode")
parser.add_argument("--vocabulary", type=int, default=0, help="default: config.json's")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--json", type=pathlib.Path)
args = parser.parse_args()

vocabulary = args.vocabulary or json.loads((pathlib.Path(args.model) / "config.json").read_text())["vocab_size"]
tests = [("pp", int(n)) for n in args.prompts.split(",")] + [("tg", int(n)) for n in args.batches.split(",")]
names = [f"pp{size}" if kind == "pp" else f"tg{args.tokens}x{size}@{args.context}" for kind, size in tests]
threads = [int(count) for count in args.threads.split(",")]
numbers = random.Random(42)


def pipeline(count):
    return openvino_genai.LLMPipeline(args.model, "CPU", INFERENCE_NUM_THREADS=count, PERFORMANCE_HINT="LATENCY")


def inputs(batch, length):
    # Other tokens each time: a pipeline that keeps prefixes would not compute them again.
    ids = numpy.array([[numbers.randrange(vocabulary) for _ in range(length)] for _ in range(batch)], dtype=numpy.int64)
    return openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids)))


def rate(pipe, kind, size):
    config = openvino_genai.GenerationConfig(ignore_eos=True, do_sample=False)
    batch, length = (1, size) if kind == "pp" else (size, args.context)
    config.max_new_tokens = config.min_new_tokens = 1 if kind == "pp" else args.tokens + 1
    metrics = pipe.generate(inputs(batch, length), config).perf_metrics
    first = metrics.get_ttft().mean / 1e3
    if kind == "pp":
        return length / first
    return batch * args.tokens / (metrics.get_generate_duration().mean / 1e3 - first)


pipes, failed, rates = {}, {}, {}
for count in threads:
    try:
        pipes[count] = pipeline(count)
    except Exception as error:
        failed[count] = str(error).strip().splitlines()[-1]
for number in range(args.rounds + 1):  # the first round warms up
    for (kind, size), name in zip(tests, names):
        for count, pipe in pipes.items():
            if (count, name) in failed:
                continue
            try:
                found = rate(pipe, kind, size)
            except Exception as error:
                failed[count, name] = str(error).strip().splitlines()[-1]
                continue
            if number:
                rates.setdefault((count, name), []).append(found)
    print(f"round {number} of {args.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)

version = openvino_genai.__version__.split("-")[0]
print(f"openvino-genai {version}; tok/s, medians of {args.rounds} rounds in turn\n")
print("| threads | " + " | ".join(names) + " |\n|---:|" + "---:|" * len(names))
for count in threads:
    row = [rates.get((count, name)) for name in names]
    print(f"| {count} | " + " | ".join(f"{statistics.median(values):.1f}" if values else "failed" for values in row) + " |")
for what, error in failed.items():
    print(f"\n{what} failed: {error}")
if args.json:
    args.json.write_text(json.dumps({
        "openvino-genai": version,
        "samples": [{"threads": count, "test": name, "rates": values} for (count, name), values in rates.items()],
        "failed": [{"what": str(what), "error": error} for what, error in failed.items()]}, indent=1) + "\n")
