"""Sends the same requests to OpenAI-compatible servers on this machine, and prints what their clients see.

    python3 Benchmarks/serving.py --requests 64 --model SmolLM2 martlet=http://127.0.0.1:8080 llama=http://127.0.0.1:8081

Every server gets the same token ids, lengths and times of arrival, one server after the other: all requests at once, then as
a Poisson process at --load of the slowest server's throughput, then one at a time. --arrivals leaves some of them out.

    python3 Benchmarks/serving.py --arrivals beside --streams 8 --prompt 4000 martlet=http://127.0.0.1:8080

measures what others wait for their next token while a long prompt is computed: --streams answers, into which the prompt comes.
"""

import argparse
import asyncio
import json
import random
import time
from urllib.parse import urlsplit


def make_trace(count, inputs, outputs, seed):
    rng = random.Random(seed)
    return [
        {
            "prompt": [rng.randrange(1000, 40000) for _ in range(rng.randint(*inputs))],
            "max_tokens": rng.randint(*outputs),
        }
        for _ in range(count)
    ]


def poisson(count, rate, seed):
    """Arrival times whose mean gap is exactly 1/rate."""
    rng = random.Random(seed)
    gaps = [rng.expovariate(1) for _ in range(count)]
    scale = count / rate / sum(gaps)
    times, now = [], 0.0
    for gap in gaps:
        now += gap * scale
        times.append(now)
    return times


async def send(url, model, request, arrival, start):
    """One streamed completion: the times of its chunks, and its tokens as the server counts them."""
    await asyncio.sleep(max(0, start + arrival - time.perf_counter()))
    begin = start + arrival
    body = json.dumps({
        "model": model, "prompt": request["prompt"], "max_tokens": request["max_tokens"], "temperature": 0,
        "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True},
    }).encode()
    host = urlsplit(url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Type: application/json\r\n"
    writer.write((head + f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode() + body)
    times, tokens = [], 0
    status = await reader.readline()
    while line := await reader.readline():
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if b" 200 " not in status or "error" in event:
            raise RuntimeError(f"{url}: {status} {line}")
        choice = (event.get("choices") or [{}])[0]
        if choice.get("text"):
            times.append(time.perf_counter())
        if event.get("usage"):
            tokens = event["usage"]["completion_tokens"]
    writer.close()
    if not tokens or not times:
        raise RuntimeError(f"{url}: no answer: {status}")
    return {"ttft": times[0] - begin, "times": times, "gaps": [b - a for a, b in zip(times, times[1:])],
            "e2e": times[-1] - begin, "end": times[-1], "tokens": tokens}


async def run(url, model, trace, arrivals):
    start = time.perf_counter() + 0.05
    if arrivals is None:
        samples = [await send(url, model, request, 0, time.perf_counter()) for request in trace]
    else:
        samples = await asyncio.gather(
            *(send(url, model, request, at, start) for request, at in zip(trace, arrivals)))
    seconds = max(sample["end"] for sample in samples) - start
    tokens = sum(sample["tokens"] for sample in samples)
    gaps = [gap for sample in samples for gap in sample["gaps"]]
    tpot = [(s["e2e"] - s["ttft"]) / (s["tokens"] - 1) for s in samples if s["tokens"] > 1]
    return {"seconds": seconds, "tokens": tokens, "tok/s": tokens / seconds, "ttft": [s["ttft"] for s in samples],
            "tpot": tpot, "itl": gaps, "e2e": [s["e2e"] for s in samples]}


async def run_beside(url, model, streams, prompt, answer, rng):
    """The gaps between the streams' tokens before a long prompt arrives, while it is computed, and its TTFT."""
    def request(count, tokens):
        return {"prompt": [rng.randrange(1000, 40000) for _ in range(count)], "max_tokens": tokens}

    start = time.perf_counter()
    tasks = [asyncio.create_task(send(url, model, request(16, answer), 0, start)) for _ in range(streams)]
    await asyncio.sleep(1.5)
    sent = time.perf_counter()
    long = await send(url, model, request(prompt, 1), 0, sent)
    first = sent + long["ttft"]
    before, beside = [], []
    for sample in await asyncio.gather(*tasks):
        if sample["end"] < first:
            raise RuntimeError(f"{url}: a stream ended before the long prompt was computed: --answer has to be longer")
        for a, b in zip(sample["times"], sample["times"][1:]):
            if b <= sent:
                before.append(b - a)
            elif a < first:
                beside.append(b - a)
    return before, beside, long["ttft"]


def percentile(values, part):
    values = sorted(values)
    place = part * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def row(name, arrivals, result):
    cells = [name, arrivals, f"{result['seconds']:.2f}", f"{result['tok/s']:.1f}"]
    for key in ("ttft", "tpot", "itl", "e2e"):
        cells += [f"{percentile(result[key], part) * 1000:.0f}" for part in (0.5, 0.99)]
    return "| " + " | ".join(cells) + " |"


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="+", metavar="NAME=URL")
    parser.add_argument("--model", default="default")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--input", type=int, nargs=2, default=(32, 512))
    parser.add_argument("--output", type=int, nargs=2, default=(16, 256))
    parser.add_argument("--load", type=float, default=0.7)
    parser.add_argument("--arrivals", default="together,poisson,serial")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--streams", type=int, default=8, help="beside: answers under way when the prompt arrives")
    parser.add_argument("--prompt", type=int, default=4000, help="beside: tokens of the long prompt")
    parser.add_argument("--answer", type=int, default=600, help="beside: tokens of each stream")
    options = parser.parse_args()
    servers = [server.split("=", 1) for server in options.servers]
    if options.arrivals == "beside":
        print("| server | ITL before p50 | p99 | ITL beside the prompt p50 | p99 | max | its TTFT |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for repetition in range(options.repeat):
            for name, url in servers:
                rng = random.Random(f"{options.seed} {repetition}")
                before, beside, ttft = await run_beside(
                    url, options.model, options.streams, options.prompt, options.answer, rng)
                cells = [percentile(before, 0.5), percentile(before, 0.99), percentile(beside, 0.5),
                         percentile(beside, 0.99), max(beside), ttft]
                print(f"| {name} | " + " | ".join(f"{cell * 1000:.0f}" for cell in cells) + " |", flush=True)
        return
    print("| server | arrivals | s | output tok/s | TTFT p50 | p99 | TPOT p50 | p99 | ITL p50 | p99 | end to end p50 | p99 |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for repetition in range(options.repeat):
        # New tokens each time, in the same lengths: no cache may know them.
        trace = make_trace(options.requests, options.input, options.output, options.seed)
        rates = {}

        def fresh(salt):
            rng = random.Random(f"{options.seed} {repetition} {salt}")
            return [dict(r, prompt=[rng.randrange(1000, 40000) for _ in r["prompt"]]) for r in trace]

        for name, url in servers:
            result = await run(url, options.model, fresh("together"), [0.0] * len(trace))
            rates[name] = len(trace) / result["seconds"]
            print(row(name, "together", result), flush=True)
        rate = options.load * min(rates.values())
        for name, url in servers if "poisson" in options.arrivals else []:
            result = await run(url, options.model, fresh("poisson"), poisson(len(trace), rate, options.seed))
            print(row(name, f"Poisson {rate:.2f}/s", result), flush=True)
        if "serial" in options.arrivals:
            for name, url in servers:
                print(row(name, "one at a time", await run(url, options.model, fresh("serial"), None)), flush=True)


asyncio.run(main())
