#!/usr/bin/env python3
"""`transformers` on a CPU, with what serves it best: prefill and decode, alone and in a batch.

    pip install torch transformers
    python3 Benchmarks/transformers_speed.py MODEL_FOLDER [--threads 1,2] [--dtypes bf16,f32] [--attention sdpa,eager]
        [--rounds 5] [--json FILE]

MODEL_FOLDER holds config.json and safetensors (for SmolLM2: its GGUF file's weights, dequantized). All combinations run in turn;
the table gives each one's median, and the best of each column is what counts. Tokens are random: their values do not change the
work. A combination that fails is reported as failed.
"""
import argparse, itertools, json, os, pathlib, statistics, sys, time
import torch, transformers

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--threads", default="1,2")
parser.add_argument("--dtypes", default="bf16,f32")
parser.add_argument("--attention", default="sdpa,eager")
parser.add_argument("--prompts", default="128,512", help="prompt lengths of the prefill")
parser.add_argument("--batches", default="1,8", help="sequences that decode at once")
parser.add_argument("--context", type=int, default=16, help="tokens before the decoded ones")
parser.add_argument("--tokens", type=int, default=32, help="to decode")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--json", type=pathlib.Path)
args = parser.parse_args()

threads = [int(count) for count in args.threads.split(",")]
tests = [("pp", int(n)) for n in args.prompts.split(",")] + [("tg", int(n)) for n in args.batches.split(",")]
dtypes = {"bf16": torch.bfloat16, "f32": torch.float32}
combinations = list(itertools.product(args.dtypes.split(","), args.attention.split(","), threads))
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

models, failed = {}, {}
for dtype, attention in itertools.product(args.dtypes.split(","), args.attention.split(",")):
    try:
        models[dtype, attention] = transformers.AutoModelForCausalLM.from_pretrained(
            args.model, dtype=dtypes[dtype], attn_implementation=attention).eval()
    except Exception as error:  # another combination may still work
        failed[dtype, attention] = f"{type(error).__name__}: {error}"
        print(f"{dtype} {attention} failed to load: {failed[dtype, attention]}", file=sys.stderr)


def random_ids(model, batch, length):
    generator = torch.Generator().manual_seed(42)
    return torch.randint(0, model.config.vocab_size, (batch, length), generator=generator)


@torch.inference_mode()
def prefill(model, length):
    """Tokens per second; the logits of the last token only, as for a prompt."""
    ids = random_ids(model, 1, length)
    began = time.perf_counter()
    model(ids, use_cache=True, logits_to_keep=1)
    return length / (time.perf_counter() - began)


@torch.inference_mode()
def decode(model, batch):
    """Tokens per second of all sequences together. The loop calls the model itself: `generate` would add its own cost."""
    ids = random_ids(model, batch, args.context)
    output = model(ids, use_cache=True, logits_to_keep=1)
    cache, token = output.past_key_values, output.logits[:, -1:].argmax(-1)
    began = time.perf_counter()
    for _ in range(args.tokens):
        output = model(token, past_key_values=cache, use_cache=True)
        cache, token = output.past_key_values, output.logits[:, -1:].argmax(-1)
    return batch * args.tokens / (time.perf_counter() - began)


rates = {}
for number in range(args.rounds + 1):  # the first round warms up
    for (kind, size), (dtype, attention, count) in itertools.product(tests, combinations):
        model = models.get((dtype, attention))
        key = (dtype, attention, count, kind, size)
        if model is None or key in failed:
            continue
        torch.set_num_threads(count)
        try:
            rate = prefill(model, size) if kind == "pp" else decode(model, size)
        except Exception as error:
            failed[key] = f"{type(error).__name__}: {error}"
            print(f"{key} failed: {failed[key]}", file=sys.stderr)
            continue
        if number:
            rates.setdefault(key, []).append(rate)
    print(f"round {number} of {args.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)

names = [f"pp{size}" if kind == "pp" else f"tg{args.tokens}x{size}@{args.context}" for kind, size in tests]
print(f"transformers {transformers.__version__}, torch {torch.__version__}; tok/s, medians of {args.rounds} rounds in turn\n")
print("| dtype | attention | threads | " + " | ".join(names) + " |\n|---|---|---:|" + "---:|" * len(names))
median = {key: statistics.median(values) for key, values in rates.items()}
for dtype, attention, count in combinations:
    row = [median.get((dtype, attention, count, kind, size)) for kind, size in tests]
    print(f"| {dtype} | {attention} | {count} | " + " | ".join(f"{rate:.1f}" if rate else "failed" for rate in row) + " |")
best = [max((rate for key, rate in median.items() if key[3:] == test), default=None) for test in tests]
print("| **best** | | | " + " | ".join(f"**{rate:.1f}**" if rate else "failed" for rate in best) + " |")
if args.json:
    args.json.write_text(json.dumps({
        "transformers": transformers.__version__, "torch": torch.__version__,
        "samples": [{"dtype": key[0], "attention": key[1], "threads": key[2], "test": names[tests.index(key[3:])], "rates": values}
                    for key, values in rates.items()],
        "failed": [{"what": list(map(str, key)), "error": error} for key, error in failed.items()]}, indent=1) + "\n")
