"""A `martlet serve` of one's own for a check: it starts on a free port, and is asked and stopped without any library.

$MARTLET names the binary, $MODEL the model, and $SERVE_OPTIONS more options for every server.
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("MARTLET", str(ROOT / ".build/release/martlet"))
MODEL = os.environ.get("MODEL", str(ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf"))
NAME = "SmolLM2"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """Runs from `start` to `stop`, or inside of a `with`."""

    def __init__(self, *options, environment=None, port=None, before=None, key=None, through=()):
        """`before` runs in the new process before the server does; `key` is one that the server wants; `through` is a command
        that runs the one behind it, in the same process."""
        self.before, self.key, self.through = before, key, list(through)
        self.port = port or free_port()
        self.options = list(options)
        self.environment = environment or {}
        self.process = None
        self.log = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def launch(self):
        """Starts the process, and waits for nothing."""
        self.log = tempfile.TemporaryFile(mode="w+b")
        command = [*self.through, BINARY, "serve", MODEL, "--port", str(self.port), "--served-model-name", NAME, *self.options]
        command += shlex.split(os.environ.get("SERVE_OPTIONS", ""))
        environment = {n: v for n, v in (os.environ | self.environment).items() if v is not None}
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment, preexec_fn=self.before)
        return self

    def start(self, within=60):
        self.launch()
        begin = self.begin
        while time.monotonic() - begin < within:
            if self.process.poll() is not None:
                break
            try:
                if self.get("/ready").status == 200:
                    self.time_to_ready = time.monotonic() - begin
                    return self
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"the server did not start: {self.output()}")

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def stop(self, by=signal.SIGTERM, within=40):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(by)
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stop()
        if kind is not None:
            print(f"--- the server's log\n{self.output()[-4000:]}", file=sys.stderr)

    # Asking

    def request(self, method, path, body=None, headers=None, timeout=120):
        """Any status is an answer: `status`, `headers`, `body` and `json`."""
        data = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        headers = ({"Content-Type": "application/json"} if data is not None else {}) | (headers or {})
        if self.key:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())
        except urllib.error.URLError as error:
            raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason))

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def metrics(self):
        return Metrics(self.get("/metrics").body.decode())

    def wait_idle(self, within=0.5):
        """Seconds until nothing runs, nothing waits and no row is in use; fails when that takes longer."""
        begin = time.monotonic()
        while True:
            metrics = self.metrics()
            took = time.monotonic() - begin
            if metrics.is_idle:
                return took
            assert took < within, f"still busy after {took:.2f} s: {metrics.busy}"
            time.sleep(0.005)

    # Looking at the process

    @property
    def resident_bytes(self):
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class Metrics:
    """Prometheus' text: `value(name, label=…)` is the sum of the series that have these labels."""

    def __init__(self, text):
        self.text = text
        self.series = []
        for line in text.splitlines():
            found = re.fullmatch(r"\w+:(\w+)\{(.*)\} (\S+)", line)
            if found:
                labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2]))
                self.series.append((found[1], labels, float(found[3])))

    def value(self, name, **labels):
        return sum(v for n, l, v in self.series if n == name and labels.items() <= l.items())

    def bound(self, name, part, since=None):
        """The histogram's bound that this part of the values is not beyond, in its unit."""
        def buckets(metrics):
            return {float(l["le"]): v for n, l, v in metrics.series if n == name + "_bucket"} if metrics else {}

        before = buckets(since)
        counts = {le: count - before.get(le, 0) for le, count in buckets(self).items()}
        total = counts.get(float("inf"), 0)
        return min((le for le, count in counts.items() if total and count >= part * total), default=float("nan"))

    @property
    def busy(self):
        return {n: self.value(n) for n in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")}

    @property
    def is_idle(self):
        return not any(self.busy.values())


class Cases:
    """Named checks, run in order; every one is reported, and `finish` says how many held."""

    def __init__(self):
        self.count = self.failed = 0
        self.only = os.environ.get("ONLY", "")

    def run(self, name, body):
        if self.only not in name:
            return
        self.count += 1
        begin = time.monotonic()
        try:
            note = body()
            print(f"ok    {name}" + (f": {note}" if note else f" ({time.monotonic() - begin:.2f} s)"), flush=True)
        except Exception as error:  # A check must not end the others.
            self.failed += 1
            text = str(error) or repr(error)
            own = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)
                   if "site-packages" not in f.filename][1:]
            print(f"FAIL  {name}: {type(error).__name__}: {text[:600]} ({', '.join(own)})", flush=True)

    def finish(self):
        print(f"{self.count} cases, {self.count - self.failed} ok")
        sys.exit(1 if self.failed or not self.count else 0)
