#!/usr/bin/env python3
"""What speculative decoding brings, and costs: the same answers with and without it, in turn.

    swift build -c release --product martlet
    python3 Benchmarks/speculation.py [MODEL.gguf] [--speculative ngram | DRAFT.gguf] [--rounds 5] [--temperature 0] \\
        [--json Benchmarks/results/speculation.json]

Each sample is a `martlet run --verbose` in a fresh process; its decode speed is what that prints. Repetitive prompts ask for a
text or a program back, changed a little; chat prompts are questions. The answers have to be the same, or this fails. Standard
library only.
"""
import argparse, json, re, statistics, subprocess, sys

NOVEL = """Sir Walter Elliot, of Kellynch Hall, in Somersetshire, was a man who, for his own amusement, never took up any book but \
the Baronetage; there he found occupation for an idle hour, and consolation in a distressed one; there his faculties were roused \
into admiration and respect, by contemplating the limited remnant of the earliest patents; there any unwelcome sensations, \
arising from domestic affairs changed naturally into pity and contempt as he turned over the almost endless creations of the \
last century; and there, if every other leaf were powerless, he could read his own history with an interest which never failed."""

PROGRAM = """def mean(values):
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def variance(values):
    center = mean(values)
    total = 0.0
    for value in values:
        total += (value - center) ** 2
    return total / len(values)


def standard_deviation(values):
    return variance(values) ** 0.5


def normalized(values):
    center = mean(values)
    scale = standard_deviation(values)
    return [(value - center) / scale for value in values]
"""

PROMPTS = {
    "repetitive": {
        "copy": f"Repeat this text word for word:\n\n{NOVEL}",
        "proofread": f"Correct the spelling of this text, and write all of it again:\n\n{NOVEL.replace('amusement', 'amusment')}",
        "code edit": f"Add a docstring to each function, and print the whole program:\n\n```python\n{PROGRAM}```",
        "rename": f"Rename the parameter `values` to `numbers` everywhere, and print the whole program:\n\n```python\n{PROGRAM}```",
    },
    "chat": {
        "sky": "Why is the sky blue?",
        "story": "Tell me a story about a lighthouse keeper and a whale.",
        "advice": "How do I prepare for a job interview at a bakery?",
        "history": "What were the causes of the French Revolution?",
    },
}


def answer(args, prompt, extra):
    command = [args.martlet, "run", "--verbose", "--max-tokens", str(args.max_tokens), "--temperature", str(args.temperature),
               "--seed", "1", "--threads", str(args.threads), *extra, args.model, prompt]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    speed = re.search(r"generated (\d+) tokens \(([\d.]+) tok/s\)", result.stderr)
    if result.returncode or not speed:
        sys.exit(f"{' '.join(command[:-1])}: {result.stderr}")
    accepted = re.search(r"accepted (\d+) of (\d+)", result.stderr)
    return result.stdout, int(speed[1]), float(speed[2]), (int(accepted[1]), int(accepted[2])) if accepted else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--martlet", default=".build/release/martlet")
    parser.add_argument("--speculative", default="ngram")
    parser.add_argument("--draft-tokens", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    args = parser.parse_args()
    flags = ["--speculative", args.speculative]
    if args.draft_tokens:
        flags += ["--draft-tokens", str(args.draft_tokens)]

    rows = []
    for kind, prompts in PROMPTS.items():
        for name, prompt in prompts.items():
            without, speculative = [], []
            for _ in range(args.rounds):
                text, tokens, speed, _none = answer(args, prompt, [])
                without.append(speed)
                other, _same, speed, accepted = answer(args, prompt, flags)
                speculative.append(speed)
                if other != text:
                    sys.exit(f"{name}: the answers differ:\n{text}\n---\n{other}")
            rows.append({"kind": kind, "prompt": name, "tokens": tokens, "without": without, "speculative": speculative,
                         "accepted": accepted, "ratio": statistics.median(speculative) / statistics.median(without)})
            print(f"{kind} {name}: {rows[-1]['ratio']:.2f}", file=sys.stderr)

    print(f"| {args.threads} threads, temperature {args.temperature:g} | tokens | tok/s | with `{args.speculative}` | ratio "
          "| accepted |\n|---|---:|---:|---:|---:|---:|")
    for row in rows:
        accepted = f"{row['accepted'][0]} of {row['accepted'][1]}" if row["accepted"] else "–"
        print(f"| {row['kind']}: {row['prompt']} | {row['tokens']} | {statistics.median(row['without']):.1f} "
              f"| {statistics.median(row['speculative']):.1f} | {row['ratio']:.2f} | {accepted} |")
    for kind in PROMPTS:
        ratios = [row["ratio"] for row in rows if row["kind"] == kind]
        print(f"| {kind}: geometric mean | | | | {statistics.geometric_mean(ratios):.2f} | |")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)


main()
