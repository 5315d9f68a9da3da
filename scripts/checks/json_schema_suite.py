"""Answers held to the schemas of the JSON Schema organization's test suite: what is drawn must satisfy the schema.

    scripts/checks/setup.sh && .build/checks/bin/python scripts/checks/json_schema_suite.py FOLDER

FOLDER is the suite's `tests/draft2020-12`, from https://github.com/json-schema-org/JSON-Schema-Test-Suite or from the source
distribution of the PyPI package `jsonschema`. Every schema is either refused with a 400 that names what is not supported, or
compiled within a second, and then all complete answers at a high temperature are checked with `jsonschema`.
"""

import json
import os
import re
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema

from server import Server

CHOICES, TOKENS, SECONDS = 3, 64, 1.0


def check(server, file, group):
    """(outcome, seconds, problem or None, number of answers that were complete)."""
    schema = group["schema"]
    body = {"prompt": "JSON: ", "guided_json": json.dumps(schema), "n": CHOICES, "temperature": 1.5, "seed": 1, "max_tokens": TOKENS}
    if isinstance(schema, bool):
        body["guided_json"] = schema
    # Compiling alone, before others are asked for answers.
    begin = time.monotonic()
    first = server.post("/v1/completions", body | {"n": 1, "max_tokens": 1})
    took = time.monotonic() - begin
    if first.status == 400:
        error = first.error
        if not error["param"].startswith("guided_json"):
            return "refused", took, f"400 names {error['param']}: {error['message']}", 0
        if "not supported" in error["message"]:
            named = set(re.findall(r"'([^']+)'", error["message"])) - {"guided_json"}
            # A member, or a word of a regular expression.
            if not any(word in json.dumps(schema) for word in named):
                return "refused", took, f"nothing of the schema is named: {error['message']}", 0
            return "refused by name", took, None, 0
        return "refused", took, None, 0
    if first.status != 200:
        return "failed", took, f"{first.status}: {first.body[:200]}", 0
    answer = server.post("/v1/completions", body)
    if answer.status != 200:
        return "failed", took, f"{answer.status}: {answer.body[:200]}", 0
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    complete = 0
    for choice in answer.json["choices"]:
        if choice["finish_reason"] != "stop":
            continue
        complete += 1
        try:
            validator.validate(json.loads(choice["text"]))
        except re.error:
            complete -= 1  # A regular expression that Python does not know.
        except (ValueError, jsonschema.ValidationError) as error:
            return "compiled", took, f"{choice['text']!r} does not satisfy {json.dumps(schema)}: {error}"[:600], complete
    return "compiled", took, None, complete


def main():
    folder = Path(sys.argv[1])
    groups = []
    for path in sorted(folder.rglob("*.json")):
        for group in json.loads(path.read_text()):
            groups.append((str(path.relative_to(folder)), group))
    outcomes, reasons, problems, slow, complete = {}, Counter(), [], [], 0
    longest = 0
    with Server("--max-requests", "8") as server, ThreadPoolExecutor(int(os.environ.get("WORKERS", "4"))) as pool:
        for (file, group), (outcome, took, problem, count) in zip(groups, pool.map(lambda g: check(server, *g), groups)):
            outcomes.setdefault(file, Counter())[outcome] += 1
            complete += count
            longest = max(longest, took)
            if problem:
                problems.append(f"{file}, {group['description']}: {problem}")
            if took > SECONDS:
                slow.append(f"{file}, {group['description']}: {took:.2f} s")
        idle = server.wait_idle(5)
    total = sum(outcomes.values(), Counter())
    for file, counts in outcomes.items():
        print(f"{file}: " + ", ".join(f"{v} {k}" for k, v in counts.items()))
    for line in problems + slow:
        print(f"PROBLEM {line}")
    print(f"{len(groups)} schemas: {dict(total)}; {complete} complete answers, all checked; the slowest took {longest * 1000:.0f} ms with its first token")
    print(f"json_schema_suite: {len(problems)} problems, {len(slow)} over {SECONDS} s")
    sys.exit(1 if problems or slow or not total["compiled"] else 0)


if __name__ == "__main__":
    main()
