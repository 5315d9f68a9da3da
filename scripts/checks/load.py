"""Many clients at `martlet serve` at once, more than it takes: whether it stays polite, correct and small.

    scripts/checks/setup.sh && .build/checks/bin/python scripts/checks/load.py --seconds 300

64 clients in a closed loop; 8 requests run and 16 wait, others are refused. Some clients leave in the middle. Needs Python's
standard library only, and nothing else on the machine: it measures times. Exits with 1 where a bound is missed.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time

from server import Server


def quantile(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


class Load:
    def __init__(self, server, clients, seconds, seed):
        self.server, self.clients, self.rng = server, clients, random.Random(seed)
        self.end = time.monotonic() + seconds
        self.accepted = self.completed = self.cancelled = self.refused = 0
        self.refusal_times, self.first_times, self.gaps = [], [], []
        self.problems = []
        self.tokens = 0

    def body(self):
        rng = self.rng
        return {
            "prompt": [rng.randrange(1000, 40000) for _ in range(rng.randint(8, 256))], "max_tokens": rng.randint(8, 96),
            "ignore_eos": True, "temperature": rng.choice([0, 1]), "stream": rng.random() < 0.7,
            "stream_options": None,
        }

    async def client(self, index):
        rng = self.rng
        await asyncio.sleep(rng.random())
        reader = writer = None
        while time.monotonic() < self.end:
            try:
                if writer is None or writer.is_closing():
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
                keep = await self.ask(reader, writer)
                if not keep:
                    writer.close()
                    writer = None
            except (OSError, asyncio.IncompleteReadError, ValueError, IndexError) as error:
                self.problems.append(f"{type(error).__name__}: {error}")
                writer = None
        if writer is not None:
            writer.close()

    async def ask(self, reader, writer):
        """One request. False where the connection is not to be used again."""
        body = self.body()
        leaves = self.rng.random() < 0.1
        data = json.dumps(body).encode()
        begin = time.perf_counter()
        writer.write((f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(data)}\r\n\r\n").encode() + data)
        if leaves and not body["stream"]:
            # What it was, accepted or refused, the client never learns; the server's counters do.
            await asyncio.sleep(self.rng.random() * 0.5)
            return False
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        took = time.perf_counter() - begin
        status = int(head.split(" ")[1])
        headers = dict(l.lower().split(": ", 1) for l in head.split("\r\n")[1:] if ": " in l)
        if status == 429:
            self.refused += 1
            self.refusal_times.append(took)
            error = json.loads(await reader.readexactly(int(headers["content-length"])))["error"]
            after = int(headers["retry-after"])
            if error["code"] != "rate_limit_exceeded" or not 1 <= after <= 60:
                self.problems.append(f"429 with {error} and Retry-After {after}")
            await asyncio.sleep(0.2 + self.rng.random() * 0.3)
            return True
        if status != 200:
            self.problems.append(head.split("\r\n")[0])
            return False
        self.accepted += 1
        if "content-length" in headers:
            answer = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.finish(answer["usage"]["completion_tokens"], body)
            return True
        return await self.read_stream(reader, body, begin, leaves)

    async def read_stream(self, reader, body, begin, leaves):
        count, last, text, stop_at = 0, None, b"", self.rng.randint(1, 8)
        while True:
            size = int(await reader.readuntil(b"\r\n"), 16)
            text += await reader.readexactly(size + 2)
            if size == 0:
                break
            now = time.perf_counter()
            if last is None:
                self.first_times.append(now - begin)
            else:
                self.gaps.append(now - last)
            last, count = now, count + 1
            if leaves and count == stop_at:
                self.cancelled += 1
                return False
        if not text.rstrip(b"\r\n").endswith(b"data: [DONE]"):
            self.problems.append(f"a stream ended with {text[-100:]}")
        if b'data: {"error"' in text:  # And not a text that is this word.
            self.problems.append(f"an error in a stream: {text[-300:]}")
        self.finish(text.count(b"data: {") - 1, body)
        return True

    def finish(self, tokens, body):
        self.completed += 1
        self.tokens += tokens

    async def watch(self, samples):
        while time.monotonic() < self.end:
            samples.append((time.monotonic(), self.server.resident_bytes, self.server.open_files))
            await asyncio.sleep(1)


# A process of its own: what the clients' interpreter does must not count.
PROBE = """
import http.client, sys, time
port, seconds = int(sys.argv[1]), float(sys.argv[2])
end, times = time.monotonic() + seconds, []
while time.monotonic() < end:
    begin = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    times.append(time.perf_counter() - begin)
    time.sleep(0.1)
times.sort()
print(len(times), times[len(times) // 2], times[int(len(times) * 0.99)], times[-1])
"""


def slope(samples):
    """Bytes per second, by least squares."""
    times, values = [s[0] for s in samples], [s[1] for s in samples]
    t, v = sum(times) / len(times), sum(values) / len(values)
    return sum((a - t) * (b - v) for a, b in zip(times, values)) / sum((a - t) ** 2 for a in times)


async def run(server, arguments):
    load = Load(server, arguments.clients, arguments.seconds, arguments.seed)
    samples = []
    await asyncio.gather(load.watch(samples), *(load.client(i) for i in range(arguments.clients)))
    return load, samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--running", type=int, default=8)
    parser.add_argument("--queued", type=int, default=16)
    arguments = parser.parse_args()
    misses = []

    def bound(name, value, limit, unit):
        ok = value < limit
        print(f"{'ok  ' if ok else 'MISS'}  {name}: {value:.1f} {unit} (bound {limit} {unit})")
        if not ok:
            misses.append(name)

    def equal(name, value, expected):
        ok = value == expected
        print(f"{'ok  ' if ok else 'MISS'}  {name}: {value} (expected {expected})")
        if not ok:
            misses.append(name)

    # A pool of rows that is filled in the first seconds: cached prefixes take what there is, which is no leak.
    with Server("--max-requests", str(arguments.running), "--max-queued-requests", str(arguments.queued), "--max-tokens-in-cache", "4096") as server:
        server.post("/v1/completions", {"prompt": "x", "max_tokens": 8})
        files = server.open_files
        probe = subprocess.Popen([sys.executable, "-c", PROBE, str(server.port), str(arguments.seconds)],
                                 stdout=subprocess.PIPE, text=True)
        before = server.metrics()
        load, samples = asyncio.run(run(server, arguments))
        asked, median, p99, worst = (float(x) for x in probe.communicate()[0].split())
        server.wait_idle(5)
        time.sleep(0.5)
        metrics = server.metrics()

        def counted(name, **labels):
            return int(metrics.value(name, **labels) - before.value(name, **labels))

        ended = {r: counted("request_success_total", finished_reason=r) for r in ("stop", "length", "abort", "rejected", "cancelled")}
        print(f"{arguments.clients} clients, {arguments.seconds:.0f} s: {load.accepted} accepted, {load.completed} completed, "
              f"{load.cancelled} left in the middle of a stream, {load.refused} refused; {load.tokens / arguments.seconds:.0f} tokens/s")
        print(f"server: {ended}, {counted('num_preemptions_total')} preemptions; TTFT p50 {quantile(load.first_times, 0.5) * 1000:.0f} ms, "
              f"p99 {quantile(load.first_times, 0.99) * 1000:.0f} ms; between chunks p50 {quantile(load.gaps, 0.5) * 1000:.1f} ms, "
              f"p99 {quantile(load.gaps, 0.99) * 1000:.1f} ms")
        print(f"429: p50 {quantile(load.refusal_times, 0.5) * 1000:.1f} ms, p99 {quantile(load.refusal_times, 0.99) * 1000:.1f} ms, "
              f"max {max(load.refusal_times, default=0) * 1000:.1f} ms; /health {asked:.0f} times, p50 {median * 1000:.1f} ms, max {worst * 1000:.1f} ms")
        # From a request's head to its answer's, without what the clients and the kernel add.
        print("      seen by the server: 429 " + ", ".join(
            f"{name} <= {metrics.bound('request_refusal_time_seconds', part, before) * 1000:g} ms"
            for name, part in [("p50", 0.5), ("p99", 0.99), ("all", 1)]))
        equal("the server runs", server.process.poll(), None)
        equal("problems", load.problems[:5], [])
        equal("accepted = completed + cancelled", load.accepted, load.completed + load.cancelled)
        equal("completed, as the server counts (and some that left before the answer)",
              load.completed <= ended["stop"] + ended["length"] <= load.completed + counted("request_success_total"), True)
        equal("refused more than none", load.refused > 0, True)
        bound("429, p99", quantile(load.refusal_times, 0.99) * 1000, 50, "ms")
        bound("/health, p99", p99 * 1000, 100, "ms")
        # The first part warms up caches of all kinds: what the allocator holds grows ever more slowly for some three minutes.
        late = samples[len(samples) // 2:]
        bound("RSS slope", slope(late) * 600 / 1e6 if len(late) > 2 else 0, 1, "MB per 10 minutes")
        print(f"      RSS {samples[0][1] / 1e6:.1f} MB at first, {late[0][1] / 1e6:.1f} MB after half of the time, {samples[-1][1] / 1e6:.1f} MB at the end")
        deadline = time.monotonic() + 20
        while server.open_files > files and time.monotonic() < deadline:
            time.sleep(0.2)
        # One of the first connections may have been open still when they were counted before.
        equal("open files at the end are no more than before", server.open_files <= files, True)
        print(f"      open files {min(s[2] for s in samples)} to {max(s[2] for s in samples)} under load")
        equal("exit", server.stop(), 0)
    print("load: " + ("missed " + ", ".join(misses) if misses else "all bounds held"))
    sys.exit(1 if misses else 0)


if __name__ == "__main__":
    main()
