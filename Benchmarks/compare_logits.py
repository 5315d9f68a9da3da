#!/usr/bin/env python3
"""Compares `martlet logits` with reference logits: top-1 agreement, perplexity ratio, largest difference.

    pip install numpy safetensors
    python3 Benchmarks/compare_logits.py MODEL.gguf ids.json reference.safetensors --window 512 [--compute f32]

ids.json is a list of token ids; reference.safetensors holds `logits` [len(ids), vocabulary] in float32, computed by
`transformers` on the dequantized weights in disjoint windows (shared/tools/make_hf_smollm2.py makes the model folder).
"""
import argparse, json, pathlib, subprocess, tempfile
import numpy
from safetensors import safe_open

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("ids")
parser.add_argument("reference")
parser.add_argument("--window", type=int, default=512)
parser.add_argument("--martlet", default=".build/release/martlet")
parser.add_argument("--compute", default="auto")
args = parser.parse_args()


def negative_log_likelihood(logits, targets):
    logits = logits.astype(numpy.float64)
    largest = logits.max(-1)
    return numpy.log(numpy.exp(logits - largest[:, None]).sum(-1)) + largest - logits[numpy.arange(len(targets)), targets]


ids = json.loads(pathlib.Path(args.ids).read_text())
reference = safe_open(args.reference, "numpy").get_slice("logits")
agreeing = positions = 0
largest_difference = deviation = 0.0
ours, theirs = [], []
with tempfile.TemporaryDirectory() as folder:
    for start in range(0, len(ids) - args.window + 1, args.window):
        window = ids[start:start + args.window]
        output = f"{folder}/logits.safetensors"
        command = [args.martlet, "logits", args.model, "--token-ids", ",".join(map(str, window)), "-o", output]
        subprocess.run(command + ["--compute", args.compute], check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        got = safe_open(output, "numpy").get_tensor("logits")
        expected = reference[start:start + args.window]
        agreeing += int((got.argmax(-1) == expected.argmax(-1)).sum())
        positions += len(window)
        largest_difference = max(largest_difference, float(abs(got - expected).max()))
        deviation = float(expected.std())
        ours.append(negative_log_likelihood(got[:-1], window[1:]))
        theirs.append(negative_log_likelihood(expected[:-1], window[1:]))
ratio = numpy.exp(numpy.concatenate(ours).mean() - numpy.concatenate(theirs).mean())
print(f"positions {positions}")
print(f"top-1 agreement {100 * agreeing / positions:.2f} %")
print(f"perplexity ratio {ratio:.6f}")
print(f"largest difference {largest_difference:.6f}, {largest_difference / deviation:.6f} of the logits' deviation")
