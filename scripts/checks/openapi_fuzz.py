"""schemathesis against the server's own /openapi.json: every check, valid and invalid requests.

    scripts/checks/setup.sh && .build/checks/bin/python scripts/checks/openapi_fuzz.py [options of `st run`]

Fails on a 5xx, an answer that its schema does not describe, a valid request that is refused, or an invalid one that is taken.
"""

import collections
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from server import Server

HERE = Path(__file__).resolve().parent

CONFIG = """
hooks = "{hooks}"
headers = {{ Authorization = "Bearer fuzz-key" }}
request-timeout = 60
continue-on-failure = true
max-failures = 200

[checks]
positive_data_acceptance.expected-statuses = ["2xx"]
# A list with too many elements may be too large a body first.
negative_data_rejection.expected-statuses = ["400", "401", "404", "405", "413", "415"]
max_response_time = 60
"""


def by_status(metrics):
    counts = collections.Counter()
    for name, labels, value in metrics.series:
        if name == "http_requests_total":
            counts[labels["status"]] += int(value)
    return counts


def main():
    examples = os.environ.get("EXAMPLES", "60")
    with Server("--api-key", "fuzz-key", "--max-requests", "4", "--max-body", "4", key="fuzz-key") as server, tempfile.TemporaryDirectory() as folder:
        before = by_status(server.metrics())  # /ready says 503 while the model loads
        (Path(folder) / "schemathesis.toml").write_text(CONFIG.format(hooks=HERE / "openapi_fuzz_hooks.py"))
        command = [str(Path(sys.executable).parent / "st"), "--config-file", str(Path(folder) / "schemathesis.toml"), "run",
                   f"{server.url}/openapi.json", "--checks", "all", "--mode", "all", "--max-examples", examples, "--seed", "1",
                   "--phases", "examples,coverage,fuzzing", "--report", "ndjson", "--report-ndjson-path", str(Path(folder) / "events"),
                   "--no-color", *sys.argv[1:]]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"COLUMNS": "160", "OPENAPI": json.dumps(server.get("/openapi.json").json)})
        print(done.stdout)
        metrics = server.metrics()
        counts = by_status(metrics) - before
        total, bad = sum(counts.values()), sum(v for k, v in counts.items() if k.startswith("5"))
        idle = metrics.is_idle
        found = re.search(r"([\d,]+) generated", done.stdout)
        print(f"requests by status: {dict(sorted(counts.items()))}; idle at the end: {idle}")
        ok = done.returncode == 0 and bad == 0 and total >= 2000 and idle and server.process.poll() is None
        print(f"schemathesis: {total} requests ({found[1] if found else '?'} generated cases), {bad} answers of 5xx: {'ok' if ok else 'FAILED'}")
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
