"""Tokenizing speed of Martlet beside Hugging Face `tokenizers`, one thread each, the same texts, in turn.

    python Benchmarks/tokenizer_speed.py --martlet .build/release/martlet --json OUT.json \
        --tokenizer NAME=FOLDER/tokenizer.json … --text NAME=FILE …

Texts are repeated to a megabyte. For each, the fastest of `--rounds` runs counts on both sides; loading the tokenizer does not.
`tokenizers` is timed by its faster call, with or without offsets. The ids must be equal, or the run ends with an error.
"""
import argparse
import json
import os
import re
import subprocess
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402  (reads the environment)

SIZE = 1_000_000


def text_of(path):
    """A megabyte of the file's text, cut between characters."""
    data = open(path, "rb").read()
    data = (data * (SIZE // max(len(data), 1) + 1))[:SIZE]
    return data.decode("utf8", errors="ignore")


def reference(tokenizer, text):
    """Ids, and seconds of the fastest call."""
    calls = [lambda: tokenizer.encode(text, add_special_tokens=False),
             lambda: tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]]
    best = float("inf")
    for call in calls:
        start = time.perf_counter()
        ids = call().ids
        best = min(best, time.perf_counter() - start)
    return ids, best


def martlet(program, path, text):
    """Ids, and seconds as `--verbose` prints them."""
    with tempfile.TemporaryFile() as file:
        file.write(text.encode("utf8"))
        file.seek(0)
        run = subprocess.run([program, "tokenize", path, "--special", "--verbose"], stdin=file, capture_output=True, check=True)
    milliseconds = re.search(rb"tokens: ([\d.]+) ms", run.stderr).group(1)
    return json.loads(run.stdout), float(milliseconds) / 1e3


def pairs(arguments):
    return [argument.split("=", 1) for argument in arguments]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--martlet", required=True)
    parser.add_argument("--tokenizer", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--text", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="where to write the samples")
    options = parser.parse_args()

    print(f"tokenizers {tokenizers.__version__}, best of {options.rounds}, one thread, MB/s\n")
    print("| tokenizer | text | Martlet | tokenizers | ratio |\n|---|---|---:|---:|---:|")
    samples = []
    for name, path in pairs(options.tokenizer):
        tokenizer = tokenizers.Tokenizer.from_file(path)
        for text_name, text_path in pairs(options.text):
            text = text_of(text_path)
            size = len(text.encode("utf8"))
            ours, theirs = [], []
            for _ in range(options.rounds):
                expected, seconds = reference(tokenizer, text)
                theirs.append(seconds)
                found, seconds = martlet(options.martlet, path, text)
                ours.append(seconds)
                if found != expected:
                    raise SystemExit(f"{name}, {text_name}: the ids differ")
            speeds = [size / min(times) / 1e6 for times in (ours, theirs)]
            samples.append({"tokenizer": name, "text": text_name, "bytes": size, "tokens": len(expected),
                            "martlet_seconds": ours, "tokenizers_seconds": theirs})
            print(f"| {name} | {text_name} | {speeds[0]:.1f} | {speeds[1]:.1f} | {speeds[0] / speeds[1]:.1f} |", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"tokenizers": tokenizers.__version__, "samples": samples}, file, indent=1)


if __name__ == "__main__":
    main()
