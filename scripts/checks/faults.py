"""What goes wrong on a network, done to `martlet serve` on purpose: killed clients, signals, slow ones, malformed requests.

    scripts/checks/setup.sh && .build/checks/bin/python scripts/checks/faults.py

Needs Python's standard library only. Prints a line for each check and `N cases, N ok`; $ONLY runs those whose name contains it.
"""

import contextlib
import hashlib
import http.server
import json
import os
import random
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from server import BINARY, MODEL, ROOT, Cases, Server

ENDLESS = {"prompt": "Once upon a time", "ignore_eos": True, "temperature": 0, "max_tokens": 1900}


def head(method, path, headers):
    lines = [f"{method} {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path, body, *more):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [("Host", "localhost"), ("Content-Type", "application/json"), ("Content-Length", str(len(body))), *more]
    return head("POST", path, headers) + body


def connect(server, receive_buffer=None, timeout=60):
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(timeout)
    client.connect(("127.0.0.1", server.port))
    return client


def read_all(client):
    """Until the server closes. A reset counts as closed, as long as something came before."""
    data = b""
    try:
        while part := client.recv(1 << 16):
            data += part
    except ConnectionResetError:
        pass
    return data


def exchange(server, request, timeout=60):
    """What comes back on a connection of its own: the status (0 for none), and all bytes."""
    with connect(server, timeout=timeout) as client:
        try:
            client.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before everything was sent: the answer is there already.
        data = b""
        try:
            while b"\r\n\r\n" not in data and (part := client.recv(1 << 16)):
                data += part
            length = [int(l.split(b":")[1]) for l in data.split(b"\r\n") if l.lower().startswith(b"content-length:")]
            if length:
                end = data.index(b"\r\n\r\n") + 4 + length[0]
                while len(data) < end and (part := client.recv(1 << 16)):
                    data += part
            else:
                data += read_all(client)
        except ConnectionResetError:
            pass
    return int(data.split(b" ")[1]) if data.startswith(b"HTTP/1.") else 0, data


def message_of(payload):
    """What an error says, in any of the three APIs' shapes."""
    error = json.loads(payload)["error"]
    return error if isinstance(error, str) else error["message"]


def quantile(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


class Stream(threading.Thread):
    """Reads a streamed completion, and notes when each event came."""

    def __init__(self, server, **more):
        super().__init__()
        self.server, self.more = server, more
        self.times, self.text, self.error = [], "", None
        self.begun = threading.Event()
        self.start()

    def run(self):
        try:
            with connect(self.server) as client:
                client.sendall(post("/v1/completions", ENDLESS | {"stream": True} | self.more, ("Connection", "close")))
                while part := client.recv(1 << 16):
                    self.times += [time.perf_counter()] * part.count(b"data: ")
                    self.text += part.decode(errors="replace")
                    if b"data: " in part:
                        self.begun.set()
        except Exception as error:
            self.error = error
        self.begun.set()

    @property
    def gaps(self):
        return [b - a for a, b in zip(self.times, self.times[1:])]


def neighbours(server, count=2, tokens=150):
    """Gaps between the tokens of some streams, in seconds."""
    streams = [Stream(server, max_tokens=tokens, prompt=f"Story number {i}:") for i in range(count)]
    for stream in streams:
        stream.join()
        assert "[DONE]" in stream.text, stream.text[-200:]
    return [gap for stream in streams for gap in stream.gaps]


# Clients that go


def killed_clients(cases):
    rng = random.Random(1)

    def kill(server, streams, prefill):
        body = ENDLESS | {"stream": streams}
        if prefill:
            body["prompt"] = [rng.randrange(1000, 40000) for _ in range(1900)]
            body["max_tokens"] = 100
        client = connect(server)
        client.sendall(post("/v1/completions", body))
        if prefill or not streams:
            deadline = time.monotonic() + 5
            while (m := server.metrics()).is_idle or (not prefill and m.value("generation_tokens_total") <= kill.tokens):
                assert time.monotonic() < deadline, "the request never ran"
            kill.tokens = m.value("generation_tokens_total")
        else:
            while client.recv(1 << 16).count(b"data: ") < 1:
                pass
        if rng.random() < 0.5:  # A reset instead of an orderly end.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        return server.wait_idle(kill.within)

    kill.tokens = 0
    with Server("--max-requests", "4") as server:
        # A step that is under way is finished: one with the last whole chunk of such a prompt may take longer than 500 ms.
        def seconds(tokens):
            begin = time.monotonic()
            server.post("/v1/completions", {"prompt": [rng.randrange(1000, 40000) for _ in range(tokens)], "max_tokens": 1})
            return time.monotonic() - begin

        seconds(1)
        step = seconds(1900) - seconds(1900 - 512)
        kill.within = max(0.5, 1.25 * step)
        print(f"      the last 512 tokens of a prompt of 1,900 take {step * 1000:.0f} ms here; rows have to be free after {kill.within * 1000:.0f} ms")
        for name, streams, prefill in [
            ("mid-decode, streamed", True, False), ("mid-decode, whole", False, False),
            ("mid-prefill, streamed", True, True), ("mid-prefill, whole", False, True),
        ]:
            def body():
                kill.tokens = server.metrics().value("generation_tokens_total")
                took = [kill(server, streams, prefill) for _ in range(50)]
                return (f"50 clients, rows free after {statistics.median(took) * 1000:.0f} ms in the median, "
                        f"{max(took) * 1000:.0f} ms at most")

            cases.run(f"killed {name}", body)

        def together():
            clients = []
            for i in range(64):
                client = connect(server)
                client.sendall(post("/v1/completions", ENDLESS | {"stream": i % 2 == 0, "prompt": f"Story {i}"}))
                clients.append(client)
            while server.metrics().value("num_requests_waiting") < 50:
                time.sleep(0.01)
            for client in clients:
                client.close()
            took = server.wait_idle()
            assert server.metrics().value("request_success_total", finished_reason="stop") == 0
            return f"64 at once (4 running, 60 waiting): rows free after {took * 1000:.0f} ms"

        cases.run("killed together", together)

        def still_right():
            answer = server.post("/v1/completions", ENDLESS | {"max_tokens": 8}).json
            assert answer["usage"]["completion_tokens"] == 8
            return f"{server.metrics().value('request_success_total', finished_reason='abort'):.0f} counted as abort"

        cases.run("killed: others are served", still_right)


# Signals


def signals(cases):
    def terminate():
        with Server("--max-requests", "4", "--context", "2048") as server:
            streams = [Stream(server, max_tokens=400, prompt=f"Tale {i}:") for i in range(4)]
            for stream in streams:
                assert stream.begun.wait(20)
            server.process.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            while server.get("/ready").status != 503:
                assert time.monotonic() - begin < 0.1, "/ready is 200 still"
            ready = time.monotonic() - begin
            assert server.get("/health").status == 200
            refused = server.post("/v1/completions", ENDLESS)
            assert refused.status == 503 and refused.error["code"] == "service_unavailable", refused.body
            messages = {"max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
            assert server.post("/v1/messages", messages).status == 529
            assert server.post("/api/chat", messages | {"max_tokens": None}).status == 503
            for stream in streams:
                stream.join()
                assert stream.error is None and stream.text.rstrip("\r\n0").endswith("data: [DONE]"), stream.text[-300:]
                assert '"finish_reason":"length"' in stream.text.replace(" ", "")
            code = server.process.wait(10)
            assert code == 0, f"exit {code}: {server.output()[-500:]}"
            return f"/ready 503 after {ready * 1000:.0f} ms, 4 streams ended with [DONE], exit 0"

    def loading():
        """From the first moment there is an answer, and SIGTERM ends a server that loads."""
        seen, refused, ends = set(), 0, []
        for attempt in range(10):
            server = Server().launch()
            try:
                while True:
                    assert server.process.poll() is None, server.output()
                    try:
                        health = server.get("/health")
                        break
                    except OSError:
                        time.sleep(0.001)
                listens = time.monotonic() - server.begin
                assert health.status == 200, health.body
                seen.add(health.json["status"])
                answer = server.post("/v1/completions", {"prompt": "x", "max_tokens": 1})
                if answer.status == 503:
                    refused += 1
                    assert answer.error["code"] == "service_unavailable" and 1 <= int(answer.headers["Retry-After"]) <= 60, answer.body
                    if attempt % 2:
                        begin = time.monotonic()
                        code = server.stop()
                        ends.append(time.monotonic() - begin)
                        assert code == 0 and ends[-1] < 1, (code, ends[-1], server.output())
                        continue
                while server.get("/ready").status != 200:
                    time.sleep(0.01)
                assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 1}).status == 200
                assert f"{server.port}/v1" in server.output(), server.output()
            finally:
                assert server.stop() == 0, server.output()
        assert "loading" in seen and refused and ends, (seen, refused, ends)
        return (f"listens {listens * 1000:.0f} ms after its start, {refused} of 10 requests came while it loaded: 503; "
                f"SIGTERM meanwhile: exit 0 after {max(ends) * 1000:.0f} ms at most")

    def twice():
        with Server() as server:
            stream = Stream(server)
            assert stream.begun.wait(20)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert server.process.poll() is None
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(5)
            took = time.monotonic() - begin
            stream.join()
            assert code != 0 and took < 1, (code, took)
            return f"exit {code} after {took * 1000:.0f} ms"

    def timeout():
        with Server("--drain-timeout", "1") as server:
            stream = Stream(server, max_tokens=1900, logprobs=10)
            assert stream.begun.wait(20)
            begin = time.monotonic()
            code = server.stop()
            took = time.monotonic() - begin
            stream.join()
            ended = "[DONE]" in stream.text or '"error"' in stream.text
            assert code == 0 and took < 4 and ended, (code, took, stream.text[-200:])
            return f"exit 0 after {took:.1f} s"

    def idle_keepalive():
        with Server() as server:
            client = connect(server)
            client.sendall(head("GET", "/health", [("Host", "localhost")]))
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200")
            begin = time.monotonic()
            code = server.stop()
            took = time.monotonic() - begin
            client.close()
            assert code == 0 and took < 2, (code, took)
            return f"exit 0 after {took * 1000:.0f} ms with an idle connection open"

    def killed():
        ask = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
        with Server() as server:
            before = server.post("/v1/chat/completions", ask).json["choices"]
            stream = Stream(server)
            assert stream.begun.wait(20)
            server.process.kill()
            server.process.wait()
            stream.join()
            again = Server(port=server.port)
            with again:
                assert again.post("/v1/chat/completions", ask).json["choices"] == before
                assert again.time_to_ready < 5
                return f"ready {again.time_to_ready:.2f} s after the restart on the same port, same answer"

    for name, body in [("loading", loading), ("SIGTERM with 4 streams", terminate), ("SIGTERM twice", twice), ("SIGTERM and the drain's end", timeout),
                       ("SIGTERM with an idle connection", idle_keepalive), ("SIGKILL and restart", killed)]:
        cases.run(name, body)


# Slow clients


def slow_clients(cases):
    # A small pool of rows, all of which are in memory before anything is measured.
    with Server("--max-requests", "8", "--context", "2048", "--max-tokens-in-cache", "8192") as server:
        rng = random.Random(2)
        for _ in range(5):
            server.post("/v1/completions", {"prompt": [rng.randrange(1000, 40000) for _ in range(1900)], "max_tokens": 2})

        def slow_reader():
            """Reads nothing of an answer of several megabytes."""
            alone = neighbours(server)
            before = server.resident_bytes
            slow = []
            for i in range(4):
                client = connect(server, receive_buffer=4096)
                client.sendall(post("/v1/completions", ENDLESS | {
                    "stream": True, "logprobs": 20, "prompt": f"Slow {i}", "n": 1, "max_tokens": 600}))
                slow.append(client)
            while server.metrics().value("num_requests_running") < 4:
                time.sleep(0.01)
            with_company = neighbours(server)
            # The same company, but of clients that read.
            deadline = time.monotonic() + 120
            while not server.metrics().is_idle:
                assert time.monotonic() < deadline, f"the slow ones run still: {server.metrics().busy}"
                time.sleep(0.1)
            grown = server.resident_bytes - before
            for client in slow:
                client.close()
            readers = [Stream(server, logprobs=20, prompt=f"Slow {i}", max_tokens=600) for i in range(4)]
            for reader in readers:
                assert reader.begun.wait(20)
            fair = neighbours(server)
            for reader in readers:
                reader.join()
            p99 = quantile(with_company, 0.99), quantile(fair, 0.99)
            assert grown < 64 << 20, f"{grown >> 20} MiB more"
            assert p99[0] < 1.1 * p99[1] + 0.005, p99
            return (f"neighbours' ITL p99 {p99[0] * 1000:.1f} ms beside 4 slow readers, {p99[1] * 1000:.1f} ms beside 4 that read, "
                    f"{quantile(alone, 0.99) * 1000:.1f} ms alone; {grown / 2**20:.1f} MiB more in memory")

        cases.run("slow readers", slow_reader)

        def slow_reader_is_ended():
            """What a client does not read is not computed and kept for ever: it is cut off."""
            client = connect(server, receive_buffer=4096)
            client.sendall(post("/v1/completions", ENDLESS | {
                "stream": True, "logprobs": 20, "n": 8, "temperature": 1, "seed": 1, "max_tokens": 1900}))
            while server.metrics().is_idle:
                time.sleep(0.01)
            before = server.resident_bytes
            aborted = server.metrics().value("request_success_total", finished_reason="abort")
            begin = time.monotonic()
            while not server.metrics().is_idle:
                assert time.monotonic() - begin < 180
                time.sleep(0.05)
            took, grown = time.monotonic() - begin, server.resident_bytes - before
            client.settimeout(5)
            data = read_all(client)
            client.close()
            ended = server.metrics().value("request_success_total", finished_reason="abort") - aborted
            assert ended == 8, f"{ended:.0f} of 8 choices were ended"
            assert grown < 32 << 20, f"{grown >> 20} MiB more"
            return f"ended after {took:.1f} s, {len(data) >> 10} KiB were under way, {grown / 2**20:.1f} MiB more in memory"

        cases.run("slow readers are cut off", slow_reader_is_ended)

        def slowloris():
            alone = neighbours(server)
            clients = [connect(server) for _ in range(200)]
            text = head("POST", "/v1/completions", [("Host", "localhost"), ("X-Slow", "a" * 60)])
            closed = {}
            begin = time.monotonic()
            gaps = []
            beside = threading.Thread(target=lambda: gaps.extend(neighbours(server)))
            beside.start()
            position = 0
            while len(closed) < len(clients) and time.monotonic() - begin < 20:
                for index, client in enumerate(clients):
                    if index in closed:
                        continue
                    client.setblocking(False)
                    try:
                        client.send(text[position:position + 1])
                        if client.recv(1 << 12) == b"":
                            closed[index] = time.monotonic() - begin
                    except BlockingIOError:
                        pass
                    except OSError:
                        closed[index] = time.monotonic() - begin
                position += 1
                time.sleep(max(0, begin + position - time.monotonic()))
            beside.join()
            for client in clients:
                client.close()
            assert len(closed) == 200, f"{200 - len(closed)} of 200 are open after 20 s"
            assert max(closed.values()) <= 16.5, max(closed.values())
            return (f"200 headers at 1 byte/s: closed after {max(closed.values()):.1f} s; ITL p99 {quantile(gaps, 0.99) * 1000:.1f} ms, "
                    f"alone {quantile(alone, 0.99) * 1000:.1f} ms")

        cases.run("slowloris, headers", slowloris)

        def slow_body():
            clients = [connect(server) for _ in range(50)]
            for client in clients:
                client.sendall(head("POST", "/v1/completions", [("Host", "localhost"), ("Content-Type", "application/json"),
                                                               ("Content-Length", "1000")]))
            begin = time.monotonic()
            answers = {}
            while len(answers) < len(clients) and time.monotonic() - begin < 45:
                for index, client in enumerate(clients):
                    if index in answers:
                        continue
                    client.setblocking(False)
                    try:
                        client.send(b" ")
                        answers[index] = client.recv(1 << 12)
                    except BlockingIOError:
                        pass
                    except OSError:
                        answers[index] = b""
                time.sleep(1)
            took = time.monotonic() - begin
            for client in clients:
                client.close()
            assert len(answers) == 50, f"{50 - len(answers)} are open after {took:.0f} s"
            statuses = {a[:12] for a in answers.values()}
            assert statuses == {b"HTTP/1.1 408"}, statuses
            return f"50 bodies at 1 byte/s: 408 after {took:.0f} s"

        cases.run("slowloris, bodies", slow_body)

        def idle():
            clients = [connect(server) for _ in range(50)]
            begin = time.monotonic()
            for client in clients:
                client.settimeout(20)
                assert read_all(client) == b""
                client.close()
            took = time.monotonic() - begin
            assert took < 17
            return f"50 connections that say nothing: closed after {took:.1f} s"

        cases.run("silent connections", idle)


# Malformed and oversized


def malformed(cases):
    with Server("--max-body", "64") as server:
        def refused(expected, *requests):
            def body():
                before = server.resident_bytes
                got = []
                for request in requests:
                    status, data = exchange(server, request)
                    got.append(status)
                    if status != 431 and b"\r\n\r\n" in data and status >= 400:
                        payload = data.split(b"\r\n\r\n", 1)[1]
                        if payload:
                            assert message_of(payload), payload
                assert set(got) <= set(expected), got
                assert server.get("/health").status == 200
                grown = server.resident_bytes - before
                assert grown < 64 << 20, f"{grown >> 20} MiB more in memory"
                return f"{sorted(set(got))}, {grown / 2**20:.1f} MiB more in memory"

            return body

        long = [("Host", "localhost"), ("X-Long", "a" * (32 << 10))]
        many = [("Host", "localhost")] + [(f"X-{i}", "a") for i in range(200)]
        cases.run("a header of 32 KiB", refused([431], head("GET", "/health", long), head("POST", "/v1/completions", long)))
        cases.run("200 headers", refused([431], head("GET", "/health", many)))
        cases.run("a path of 64 KiB", refused([414, 431, 400], head("GET", "/" + "a" * (64 << 10), [("Host", "localhost")])))

        limit = 64 << 20
        declared = head("POST", "/v1/completions", [
            ("Host", "localhost"), ("Content-Type", "application/json"), ("Content-Length", str(limit + 1))])
        cases.run("a body of 64 MiB + 1, declared", refused([413], declared, declared + b" " * (limit + 1)))

        def chunked():
            before = server.resident_bytes
            with connect(server) as client:
                client.sendall(head("POST", "/v1/completions", [
                    ("Host", "localhost"), ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]))
                peak, sent = before, 0
                piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
                try:
                    while sent <= limit + (8 << 20):
                        client.sendall(piece)
                        sent += 1 << 20
                        peak = max(peak, server.resident_bytes)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                data = read_all(client)
            assert data.startswith(b"HTTP/1.1 413"), data[:100]
            time.sleep(1.5)
            after = server.resident_bytes
            assert after - before < 64 << 20, f"{(after - before) >> 20} MiB more"
            return f"413 after {sent >> 20} MiB; {(peak - before) / 2**20:.0f} MiB more while it came, {(after - before) / 2**20:.1f} MiB after"

        cases.run("a body of 64 MiB + 1, in chunks", chunked)

        def full_size():
            body = b'{"prompt": "x", "max_tokens": 1, "user": "' + b"a" * (limit - 100) + b'"}'
            status, _ = exchange(server, post("/v1/completions", body))
            assert status == 200, status
            time.sleep(0.5)

        cases.run("a body just below the limit", full_size)

        def large_texts():
            text = "".join(f"{n} words and {n * n}, " for n in range(600_000))[:12_000_000]
            body = post("/tokenize", json.dumps({"prompt": text}).encode())
            statuses, waits = [], []
            readers = [threading.Thread(target=lambda: statuses.append(exchange(server, body)[0])) for _ in range(3)]
            begin = time.monotonic()
            for reader in readers:
                reader.start()
            while any(reader.is_alive() for reader in readers):
                asked = time.monotonic()
                assert server.get("/health").status == 200
                waits.append(time.monotonic() - asked)
                time.sleep(0.005)
            took = time.monotonic() - begin
            assert statuses == [200] * 3, statuses
            assert quantile(waits, 0.99) < 0.1, f"/health took {max(waits) * 1000:.0f} ms"
            return f"3 of 12 MB in {took:.1f} s; /health p99 {quantile(waits, 0.99) * 1000:.0f} ms, {max(waits) * 1000:.0f} at most"

        cases.run("large texts hold up nobody", large_texts)
        deep = [b"[" * 100_000, b'{"a":' * 100_000, b'{"prompt": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
                b'{"messages": [{"role": "user", "content": ' + b'[' * 100_000 + b"]" * 100_000 + b"}]}"]
        cases.run("JSON 100,000 deep", refused([400], *(post(p, b) for b in deep for p in (
            "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses", "/api/chat", "/tokenize"))))
        nested = json.dumps({"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, "chat_template_kwargs": {"x": 0}})
        cases.run("JSON as deep as may be", refused([200, 400], *(
            post("/v1/chat/completions", nested.replace("0}", "[" * n + "]" * n + "}").encode()) for n in (10, 50, 95, 99, 100, 120, 126, 127, 128, 200))))

        bodies = [
            b"", b" ", b"{", b'{"prompt": "x"', b'{"prompt": "\xff"}', b'{"prompt": "\xc0\x80"}', b'{"prompt": "\xed\xa0\x80"}',
            b'{"prompt": "\\ud800"}', b'{"prompt": "\\udc00\\ud800"}', b'{"prompt": "\\ud83d x"}', b'{"prompt": "x", "prompt": "y"}',
            b'\xef\xbb\xbf{"prompt": "x"}', b'{"prompt": "a\x00b"}', b'{"prompt": "\n"}', b'{"prompt": "x"} {}', b"{'prompt': 'x'}",
            b'{"prompt": "x",}', b'[]', b'"x"', b"null", b"7", b'{"prompt": "x", "max_tokens": 01}', b'{"prompt": "x", "max_tokens": +1}',
            b'{"prompt": "x", "max_tokens": 1.}', b'{"prompt": "x", "max_tokens": .5}', b'{"prompt": "x", "max_tokens": 0x10}',
            b'{"prompt": "x", "max_tokens": ' + b"9" * 5000 + b"}", b"\x00" * 100, b'{"prompt": "x"}\x00',
        ]
        cases.run(f"{len(bodies)} bodies that are no JSON", refused([400], *(post("/v1/completions", b) for b in bodies)))

        def short():
            """A body that ends early: the client is gone, nobody waits for the rest."""
            with connect(server) as client:
                client.sendall(head("POST", "/v1/completions", [
                    ("Host", "localhost"), ("Content-Type", "application/json"), ("Content-Length", "100")]) + b'{"prompt"')
                client.shutdown(socket.SHUT_WR)
                client.settimeout(5)
                begin = time.monotonic()
                data = read_all(client)
                took = time.monotonic() - begin
            assert took < 2, took
            assert data == b"" or data.startswith(b"HTTP/1.1 400"), data[:100]
            server.wait_idle()

        cases.run("a body that ends early", short)

        smuggled = [
            head("POST", "/v1/completions", [("Host", "localhost"), ("Content-Length", "5"), ("Transfer-Encoding", "chunked")]) + b"0\r\n\r\nGET /x",
            head("POST", "/v1/completions", [("Host", "localhost"), ("Content-Length", "5"), ("Content-Length", "6")]) + b"hello!",
            head("POST", "/v1/completions", [("Host", "localhost"), ("Content-Length", "-1")]),
            head("POST", "/v1/completions", [("Host", "localhost"), ("Content-Length", "abc")]),
            head("POST", "/v1/completions", [("Host", "localhost"), ("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]) + b"zz\r\n{}\r\n0\r\n\r\n",
            b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        ]

        def smuggling():
            got = []
            for request in smuggled:
                status, data = exchange(server, request, timeout=20)
                assert status in (0, 400, 505), (request[:60], data[:200])
                assert data.count(b"HTTP/1.1 ") <= 1, f"two answers: {data[:400]}"
                got.append(status)
            assert server.get("/health").status == 200
            return str(got)

        cases.run("lengths and framing that contradict", smuggling)

        def methods():
            got = {}
            for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"):
                status, data = exchange(server, head(method, "/v1/completions", [("Host", "localhost"), ("Connection", "close")]))
                got[method] = status
                assert status in (405, 400, 501), (method, data[:100])
            return str(got)

        cases.run("wrong methods", methods)

        def hosts():
            for value in ("localhost.evil.com", "evil.com", "127.0.0.1.evil.com", "169.254.169.254", "localhost@evil.com"):
                assert exchange(server, head("GET", "/v1/models", [("Host", value), ("Connection", "close")]))[0] in (403, 400), value
                origin = [("Host", "localhost"), ("Origin", f"http://{value}"), ("Connection", "close")]
                assert exchange(server, head("GET", "/v1/models", origin))[0] == 403, value
            assert exchange(server, head("GET", "/v1/models", [("Host", "localhost"), ("Connection", "close")]))[0] == 200

        cases.run("Host and Origin of others", hosts)
        cases.run("nothing is left running", lambda: f"{server.wait_idle() * 1000:.0f} ms")


# Numbers

# Each numeric field: what it takes. "i" is an integer; the ends belong to it, or not where there is a strict one.
I63, F32 = 2**63 - 1, 3.4028234e38
SAMPLING = {
    "temperature": ("n", 0, F32), "top_p": ("n>", 0, 1), "top_k": ("i", -1, I63), "min_p": ("n", 0, 1), "typical_p": ("n>", 0, 1),
    "xtc_probability": ("n", 0, 1), "xtc_threshold": ("n", 0, 1), "repetition_penalty": ("n", 0.01, 100),
    "presence_penalty": ("n", -2, 2), "frequency_penalty": ("n", -2, 2), "seed": ("i", -I63 - 1, I63), "n": ("i", 1, 128),
    "min_tokens": ("i", 0, 2), "priority": ("i", -10**6, 10**6), "max_tokens": ("i", 1, 10**7),
}
CHAT = SAMPLING | {"max_completion_tokens": ("i", 1, 10**7), "top_logprobs": ("i", 0, 20)}
TEXT = SAMPLING | {"logprobs": ("i", 0, 20), "prompt_logprobs": ("i", 0, 20), "best_of": ("i", 1, 128)}
MESSAGES = [{"role": "user", "content": "x"}]
ROUTES = [
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 2, "logprobs": True}, CHAT, ""),
    ("/v1/completions", {"prompt": "x", "max_tokens": 2}, TEXT, ""),
    ("/v1/responses", {"input": "x", "max_output_tokens": 2}, {
        "temperature": ("n", 0, F32), "top_p": ("n>", 0, 1), "max_output_tokens": ("i", 1, 10**7)}, ""),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 2}, {
        "temperature": ("n", 0, F32), "top_p": ("n>", 0, 1), "top_k": ("i", -1, I63), "max_tokens": ("i", 1, 10**7)}, ""),
    ("/api/chat", {"messages": MESSAGES, "stream": False, "options": {"num_predict": 2}}, {
        "temperature": ("n", 0, F32), "top_p": ("n>", 0, 1), "top_k": ("i", -1, I63), "min_p": ("n", 0, 1), "seed": ("i", -I63 - 1, I63),
        "repeat_penalty": ("n", 0.01, 100), "num_predict": ("i", -I63 - 1, 10**7)}, "options"),
    ("/api/generate", {"prompt": "x", "stream": False, "options": {"num_predict": 2}}, {
        "temperature": ("n", 0, F32), "top_p": ("n>", 0, 1), "presence_penalty": ("n", -2, 2)}, "options"),
]
NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "1e39", "-1", "0", "1", "0.5", "1.5", "-0.0", "2", "2.0", "128", "129",
           "1000000", "2147483647", "2147483648", "4294967296", "-2147483649", "9007199254740993", "9223372036854775807", "9223372036854775808",
           "-9223372036854775808", "-9223372036854775809", "18446744073709551616", "1" + "0" * 400, "-1" + "0" * 400, "1e308", "5e-324"]
NO_NUMBERS = ['"1"', '""', "[]", "[1]", "{}", "true", "false"]


TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")


def admits(spec, text):
    """Whether the field takes the number; None where either answer is fine."""
    kind, low, high = spec
    if text in NO_NUMBERS:
        return False
    if kind in ("n", "n>") and "." not in text and "e" not in text and len(text) > 18 and not text.endswith("0" * 300):
        return None  # Integers of more than 64 bits are no numbers for all readers.
    value = float(text) if any(c in text for c in ".eNIn") else int(text)
    if value != value or value in (float("inf"), float("-inf")):
        return False
    if kind == "i":
        if value != int(value):
            return False
    elif kind == "n>" and 0 < value < 1e-37 or isinstance(value, float) and 0 < abs(value) < 1e-40:
        return None  # Zero in the precision that the sampler has.
    return low <= value <= high and not (kind == "n>" and value == low)


def numbers(cases):
    with Server("--context", "2048") as server:
        for route, base, fields, inside in ROUTES:
            def body():
                count = 0
                wrong = []
                for field, spec in fields.items():
                    for text in NUMBERS + NO_NUMBERS:
                        if field in ("n", "best_of", "max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict") \
                                and text in ("128", "1000000") and admits(spec, text):
                            continue  # Fine, but slow.
                        document = json.loads(json.dumps(base))
                        target = document[inside] if inside else document
                        target[field] = "@"
                        if field == "num_predict" and admits(("i", 0, 0), text):
                            continue  # Nothing to predict: refused.
                        if field == "max_completion_tokens":
                            del document["max_tokens"]
                        data = json.dumps(document).replace('"@"', text).encode()
                        status, answer = exchange(server, post(route, data, ("Connection", "close")))
                        payload = answer.split(b"\r\n\r\n", 1)[-1]
                        count += 1
                        expected = admits(spec, text)
                        if status == 400 and b"maximum context length" in payload and field in TOKENS:
                            continue  # Too much for the context, which only counting shows.
                        if expected is None and status in (200, 400) or expected and status == 200:
                            continue
                        problem = None
                        if status != (200 if expected else 400):
                            problem = f"{status}"
                        else:
                            error, message = json.loads(payload)["error"], message_of(payload)
                            named = error.get("param") if isinstance(error, dict) and "param" in error else None
                            if not (named == field or named is None and f"'{field}'" in message or named is None and f"options.{field}'" in message):
                                problem = f"names {named!r}: {message}"
                        if problem:
                            wrong.append(f"{field}={text[:24]}: {problem} {payload[:120] if status != 400 else ''}")
                assert not wrong, f"{len(wrong)} of {count}:\n      " + "\n      ".join(wrong[:40])
                return f"{count} values of {len(fields)} fields: 200, or 400 that names the field"

            cases.run(f"numbers of {route}", body)

        def lists():
            wrong = []
            for route, data, field in [
                ("/v1/completions", '{"prompt": [1, 2, 99999999], "max_tokens": 1}', "prompt"),
                ("/v1/completions", '{"prompt": [-1], "max_tokens": 1}', "prompt"),
                ("/v1/completions", '{"prompt": [1e400], "max_tokens": 1}', "prompt"),
                ("/v1/completions", '{"prompt": [[1], [9223372036854775808]], "max_tokens": 1}', "prompt"),
                ("/v1/completions", '{"prompt": "x", "logit_bias": {"1": 1e400}}', "logit_bias"),
                ("/v1/completions", '{"prompt": "x", "logit_bias": {"1": 101}}', "logit_bias"),
                ("/v1/completions", '{"prompt": "x", "logit_bias": {"9223372036854775808": 1}}', "logit_bias"),
                ("/v1/completions", '{"prompt": "x", "logit_bias": {"-1": 1}}', "logit_bias"),
                ("/v1/completions", '{"prompt": "x", "stop_token_ids": [-1]}', "stop_token_ids"),
                ("/v1/completions", '{"prompt": "x", "stop_token_ids": [9223372036854775808]}', "stop_token_ids"),
                ("/v1/completions", '{"prompt": "x", "allowed_token_ids": []}', "allowed_token_ids"),
                ("/v1/completions", '{"prompt": "x", "allowed_token_ids": [49152]}', "allowed_token_ids"),
                ("/detokenize", '{"tokens": [-1]}', "tokens"), ("/detokenize", '{"tokens": [1e400]}', "tokens"),
                ("/detokenize", '{"tokens": [9223372036854775807]}', "tokens"),
                ("/detokenize", '{"tokens": [0.5]}', "tokens"),
                ("/v1/completions", '{"prompt": "x", "stop": [' + ", ".join(['"a"'] * 10000) + "]}", "stop"),
                ("/v1/completions", '{"prompt": [' + ", ".join(['"a"'] * 1000) + "]}", "prompt"),
                ("/v1/completions", '{"prompt": "x", "bad_words": [' + ", ".join(['"a"'] * 100000) + "]}", "bad_words"),
            ]:
                status, answer = exchange(server, post(route, data.encode(), ("Connection", "close")))
                payload = answer.split(b"\r\n\r\n", 1)[-1]
                named = (json.loads(payload).get("error") or {}).get("param") if payload else None
                if status != 400 or (named or "").split("[")[0] != field:
                    wrong.append(f"{route} {data[:70]}: {status}, names {named}")
            assert not wrong, "\n      ".join(wrong)

        cases.run("numbers in lists and keys", lists)
        cases.run("numbers: nothing is left running", lambda: f"{server.wait_idle(5) * 1000:.0f} ms")


# Structures


def hostile_structures(cases):
    def schema_of(depth):
        schema = {"type": "integer"}
        for _ in range(depth):
            schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
        return schema

    recursive = {"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$ref": "#/$defs/a"}
    mutual = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    tree = {"$defs": {"t": {"type": "object", "properties": {"l": {"$ref": "#/$defs/t"}, "r": {"$ref": "#/$defs/t"}}}}, "$ref": "#/$defs/t"}
    structures = {
        "30 deep": {"guided_json": schema_of(30)}, "100 deep": {"guided_json": json.dumps(schema_of(100))},
        "100 deep in the body": {"guided_json": schema_of(100)},
        "200 deep, as text": {"guided_json": json.dumps(schema_of(200))},
        "$ref to itself": {"guided_json": recursive}, "$refs in a circle": {"guided_json": mutual}, "a tree": {"guided_json": tree},
        "enum of 10,000": {"guided_json": {"enum": [f"value number {i}" for i in range(10_000)]}},
        "(a+)+$": {"guided_regex": "(a+)+$"}, "(a|aa)+": {"guided_regex": "(a|aa)+b"}, "a{1000}{1000}": {"guided_regex": "(a{1000}){1000}"},
        "((a*)*)*": {"guided_regex": "((a*)*)*b"}, "[^]": {"guided_regex": "[" * 5000}, ".{0,100000}": {"guided_regex": ".{0,100000}"},
        "pattern of bombs": {"guided_json": {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}},
        "maxItems 10^9": {"guided_json": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9}},
        "maxLength 10^18": {"guided_json": {"type": "string", "maxLength": 10**18}},
        "left recursion": {"guided_grammar": 'root ::= root "a" | "a"'}, "no way out": {"guided_grammar": 'root ::= "a" root'},
        "100,000 choices": {"guided_choice": [f"c{i}" for i in range(100_000)]},
        "allOf of 200": {"guided_json": {"allOf": [{"type": "object", "properties": {f"p{i}": {"type": "string"}}} for i in range(200)]}},
        "2^40 by doubling": {"guided_grammar": "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1} r{i + 1}" for i in range(40)) + '\nr40 ::= "a"'},
    }
    # Rendered beforehand: `json.dumps` of 100,000 choices holds up the threads that note when tokens come.
    bodies = {name: json.dumps({"prompt": "x", "max_tokens": 4} | fields).encode() for name, fields in structures.items()}
    with Server("--max-requests", "8") as server:
        def compiled():
            alone = neighbours(server, tokens=600)
            gaps = []
            stop = threading.Event()

            def beside():
                while not stop.is_set():
                    gaps.extend(neighbours(server, tokens=200))

            thread = threading.Thread(target=beside)
            thread.start()
            lines, slow = [], []
            try:
                for name, body in bodies.items():
                    begin = time.monotonic()
                    answer = server.post("/v1/completions", body)
                    took = time.monotonic() - begin
                    assert answer.status in (200, 400), (name, answer.status, answer.body)
                    if answer.status == 400:
                        # The body itself is too deep in one of them.
                        known = answer.error["code"] == "invalid_json" or answer.error["param"].startswith("guided_")
                        assert known, (name, answer.body)
                    lines.append(f"{name} {answer.status} {took * 1000:.0f} ms")
                    if took > 1.0:
                        slow.append(lines[-1])
            finally:
                stop.set()
                thread.join()
            print("      " + "; ".join(lines))
            assert not slow, slow
            p99 = quantile(gaps, 0.99), quantile(alone, 0.99)
            assert p99[0] < 2 * p99[1], p99
            return f"compiled or 400 in < 1 s; neighbours' ITL p99 {p99[0] * 1000:.1f} ms, alone {p99[1] * 1000:.1f} ms"

        cases.run("hostile structures", compiled)


# A machine without


def surroundings(cases):
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as small:
        surroundings_in(cases, place, small)


def surroundings_in(cases, place, small):
    """`place` is an empty folder to mount something on, `small` one for a small model."""

    def few_files():
        # Both limits: the server may raise the soft one.
        server = Server(before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
        server.start()
        try:
            clients = []
            for _ in range(150):
                client = socket.socket()
                client.settimeout(5)
                client.connect(("127.0.0.1", server.port))
                clients.append(client)
            time.sleep(1)
            used = cpu_seconds(server)
            time.sleep(2)
            burnt = cpu_seconds(server) - used
            for client in clients:
                client.close()
            deadline = time.monotonic() + 20
            while True:
                try:
                    if server.get("/health", timeout=5).status == 200:
                        break
                except OSError:
                    pass
                assert time.monotonic() < deadline and server.process.poll() is None, server.output()[-1000:]
                time.sleep(0.2)
            assert burnt < 1.0, f"{burnt:.1f} s of processor time in 2 s: it spins"
            return f"150 connections at 64 descriptors: alive, {burnt:.2f} s of processor time in 2 s, served again after"
        finally:
            server.stop()

    def no_home():
        for home in ("/nonexistent", None):
            with Server(environment={"HOME": home}) as server:
                assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 1}).status == 200
        # Where downloads go depends on it.
        without = {"HOME": None, "XDG_CACHE_HOME": None, "MARTLET_MODELS": None}
        words = fails(martlet("pull", "org/repo", environment=without), "MARTLET_MODELS")
        listed = martlet("list", environment=without)
        assert listed.returncode == 0, listed
        return words

    def taken_port():
        with Server() as server:
            other = subprocess.run([BINARY, "serve", MODEL, "--port", str(server.port)], capture_output=True, text=True, timeout=30)
            assert other.returncode not in (0, -4, -5, -11), other
            assert f"cannot listen at 127.0.0.1:{server.port}: Address already in use" in other.stderr and "Fatal" not in other.stderr and len(other.stderr) < 600, other.stderr
            return f"exit {other.returncode}: {other.stderr.strip().splitlines()[-1][-150:]}"

    def martlet(*arguments, through=(), environment=None, directory=None):
        environment = {n: v for n, v in (os.environ | (environment or {})).items() if v is not None}
        return subprocess.run([*through, BINARY, *arguments], capture_output=True, text=True, timeout=120, env=environment,
                              cwd=directory, stdin=subprocess.DEVNULL)

    def fails(result, *words):
        """A status that says so, and one line that says why. Returns that line."""
        lines = result.stderr.strip().splitlines()
        assert result.returncode in range(1, 128), result
        assert len(lines) == 1 and lines[0].startswith("martlet: error: ") and len(lines[0]) < 400, result
        assert any(word in lines[0] for word in words), (words, result)
        return lines[0].removeprefix("martlet: error: ").replace(place, "DIR")

    def on(script):
        """Runs a command where `place` is a small file system, prepared by the script, which goes with the process."""
        return ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=1m none "$0" && {script} && exec "$@"', place]

    # 16 KiB are left.
    full = on('head -c 1032192 /dev/zero > "$0/fill"')
    read_only = on('mount -o remount,ro "$0"')

    # A model without a tokenizer, of a size that the full file system does not take.
    for name in ("config.json", "model.safetensors"):
        shutil.copy(ROOT / "Tests/MartletTests/Fixtures/models/qwen3-window-heads-of-96" / name, small)

    def no_room_for_a_log():
        log = on('{ cat /dev/zero > "$0/log" 2>/dev/null; exec 2>> "$0/log"; }')
        server = Server("--verbose", through=log)
        with server:
            for _ in range(300):
                assert server.get("/version").status == 200
            assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 1}).status == 200
            assert server.stop() == 0
        return "300 requests whose log finds no room are served, exit 0"

    def disk_full():
        lines = [fails(martlet("quantize", small, place + "/q", "--method", "rtn", "--bits", "8", through=full), "room", "space")]
        requests = Path(small) / "requests.jsonl"
        requests.write_text("".join(json.dumps({
            "custom_id": str(i), "method": "POST", "url": "/v1/completions", "body": {"prompt": "x", "max_tokens": 1}}) + "\n"
            for i in range(100)))
        lines.append(fails(martlet("batch", str(requests), "--model", MODEL, "--output", place + "/out.jsonl", through=full), "No space left"))
        lines.append(fails(martlet("logits", MODEL, "--token-ids", "1,2,3", "-o", place + "/l.safetensors", through=full), "No space left"))
        with hub() as environment:
            lines.append(fails(martlet("pull", "org/repo", through=full, environment=environment), "room", "space"))
        return "; ".join(lines)

    def read_only_cache():
        lines = [fails(martlet("quantize", small, place + "/q", "--method", "rtn", "--bits", "8", through=read_only), "read only", "Read-only file system")]
        lines.append(fails(martlet("logits", MODEL, "--token-ids", "1,2,3", "-o", place + "/l.safetensors", through=read_only), "Read-only"))
        lines.append(fails(martlet("serve", MODEL, "--unix-socket", place + "/socket", through=read_only), "Read-only file system"))
        with hub() as environment:
            lines.append(fails(martlet("pull", "org/repo", through=read_only, environment=environment), "Read-only", "cannot make"))
        # Nothing that only reads minds.
        with Server(through=read_only, environment={"MARTLET_MODELS": place, "XDG_CACHE_HOME": place, "HOME": place}) as server:
            assert server.post("/v1/completions", {"prompt": "x", "max_tokens": 1}).status == 200
        answer = martlet("run", MODEL, "Hi", "--max-tokens", "1", through=read_only, environment={"HOME": place, "XDG_STATE_HOME": place})
        assert answer.returncode == 0, answer
        return "; ".join(lines)

    @contextlib.contextmanager
    def hub():
        """A hub with one small model."""
        commit = "0123456789" * 4
        files = {"config.json": b"{}", "model.safetensors": os.urandom(200_000), "tokenizer.json": b"{}"}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if "/resolve/" in self.path:
                    body = files[self.path.rsplit("/", 1)[1]]
                elif "/tree/" in self.path:
                    body = json.dumps([{
                        "type": "file", "path": n, "size": len(d), "oid": "0" * 40,
                        "lfs": {"oid": hashlib.sha256(d).hexdigest(), "size": len(d)}} for n, d in files.items()]).encode()
                else:
                    body = json.dumps({"sha": commit}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "MARTLET_MODELS": place}
            finally:
                server.shutdown()
                thread.join()

    cases.run("ulimit -n 64", few_files)
    cases.run("no $HOME", no_home)
    cases.run("a port that is taken", taken_port)
    if subprocess.run([*on("true"), "true"], capture_output=True).returncode == 0:
        cases.run("disk full, the log", no_room_for_a_log)
        cases.run("disk full", disk_full)
        cases.run("a read-only disk", read_only_cache)
    else:
        print("skip  disk full, a read-only disk: no file system may be mounted here", flush=True)


def cpu_seconds(server):
    fields = open(f"/proc/{server.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    cases = Cases()
    only = os.environ.get("GROUP")
    for group in (killed_clients, signals, slow_clients, malformed, numbers, hostile_structures, surroundings):
        if only is None or group.__name__ in only.split(","):
            group(cases)
    cases.finish()


if __name__ == "__main__":
    main()
