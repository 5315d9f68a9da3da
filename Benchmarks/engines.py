"""The engines of side_by_side.py: how each is asked for a test, and how its answer is read. Standard library only."""
import dataclasses, hashlib, json, os, pathlib, re, shlex, subprocess, tempfile, time


@dataclasses.dataclass(frozen=True)
class Test:
    """`pp512`: a prompt. `tg128@4096`: tokens generated behind a context. `tg32x8@16`: for 8 sequences at once, counted together."""
    kind: str
    tokens: int
    batch: int = 1
    depth: int = 0

    @staticmethod
    def parse(text):
        match = re.fullmatch(r"(pp|tg)([1-9]\d*)(?:x([1-9]\d*))?(?:@(\d+))?", text)
        if not match or (match[1] == "pp" and (match[3] or match[4])):
            raise ValueError(f"no test: {text} (pp512, tg128, tg128@4096, tg32x8@16)")
        return Test(match[1], int(match[2]), int(match[3] or 1), int(match[4] or 0))

    def __str__(self):
        return (f"{self.kind}{self.tokens}" + (f"x{self.batch}" if self.batch > 1 else "")
                + (f"@{self.depth}" if self.depth else ""))

    def seconds(self, shape, threads):
        """A guess, for planning: what one run of a middling engine takes, loading and context included."""
        operations_per_second, bytes_per_second = 110e9 * threads, 10e9 * (1 + threads)

        def prompt(tokens):
            return (shape.prompt_operations(tokens) + 2 * shape.attention_operations(tokens)) / operations_per_second

        def decode(tokens, depth, batch):
            reading = (shape.weight_bytes + batch * shape.kv_bytes(depth)) / bytes_per_second
            return tokens * max(reading, batch * shape.prompt_operations(1) / operations_per_second)

        loading = 0.5 + shape.file_bytes / 1e9
        if self.kind == "pp":
            return loading, prompt(self.tokens)
        return loading + self.batch * prompt(self.depth), decode(self.tokens, self.depth, self.batch)


@dataclasses.dataclass
class Sample:
    rates: list  # tokens per second of each repetition
    seconds: float
    other_share: float  # of all processors, taken by other processes meanwhile
    steal_share: float  # of all processors, taken by other virtual machines meanwhile


class EngineFailure(Exception):
    pass


class Engine:
    """`group`: what it is fair to compare with; engines of the group `avx2` only with each other."""
    is_ours = False

    def __init__(self, name, directory, flags, group="native"):
        self.name, self.directory, self.flags, self.group = name, pathlib.Path(directory).absolute(), flags, group

    def programs(self):
        return [self.directory / "llama-bench", self.directory / "llama-batched-bench"]

    def missing(self):
        return [program.name for program in self.programs() if not os.access(program, os.X_OK)]

    def fingerprint(self):
        """Changes with the programs, their libraries and the flags: samples of another build are not mixed in."""
        digest = hashlib.sha256(" ".join(self.flags).encode())
        libraries = sorted(self.directory.glob("lib*.so")) if self.directory.name == "bin" else []
        for file in self.programs() + libraries:
            digest.update(file.read_bytes())
        return digest.hexdigest()[:16]

    def environment(self):
        return dict(os.environ)

    def measure(self, model, test, threads, repetitions, warm_up, timeout):
        command = [str(word) for word in self.command(pathlib.Path(model).absolute(), test, threads, repetitions, warm_up)]
        before, began = processor_times(), time.monotonic()
        try:
            # llama-batched-bench leaves its logs where it runs.
            with tempfile.TemporaryDirectory() as scratch:
                done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout,
                                      env=self.environment(), stdin=subprocess.DEVNULL, cwd=scratch)
        except subprocess.TimeoutExpired:
            raise EngineFailure(f"took longer than {timeout:.0f} s") from None
        except OSError as error:
            raise EngineFailure(f"does not start: {error.strerror}") from None
        seconds, after = time.monotonic() - began, processor_times()
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["no message"]
            raise EngineFailure(f"ended with {done.returncode}: {without_paths(last[0])[:300]}")
        try:
            rates = self.rates(done.stdout, done.stderr, test)
        except (ValueError, KeyError, json.JSONDecodeError):
            rates = []
        if not rates or not all(rate > 0 for rate in rates):
            raise EngineFailure("printed no rate")
        steal = (after["steal"] - before["steal"]) / seconds / (os.cpu_count() or 1)
        return Sample(rates, seconds, others_share(before, after, seconds), steal)


class Martlet(Engine):
    is_ours = True

    def __init__(self, name, program, flags, group="native", instruction_set=None):
        super().__init__(name, pathlib.Path(program).parent, flags, group)
        self.program, self.instruction_set = pathlib.Path(program).absolute(), instruction_set

    def programs(self):
        return [self.program]

    def environment(self):
        return {**os.environ, "MARTLET_ISA": self.instruction_set} if self.instruction_set else dict(os.environ)

    def command(self, model, test, threads, repetitions, warm_up):
        sizes = (["-p", test.tokens, "-n", 0] if test.kind == "pp" else ["-p", 0, "-n", test.tokens])
        return [self.program, "bench", model, *sizes, "--depth", test.depth, "--batch", test.batch, "--threads", threads,
                "-r", repetitions, "--json", *self.flags, *([] if warm_up else ["--no-warmup"])]

    def rates(self, output, errors, test):
        return json.loads(output)[0]["samples"]


class LlamaBench(Engine):
    """llama.cpp's llama-bench and, for several sequences, its llama-batched-bench."""
    depth_option = ["-n", "{tokens}", "-d", "{depth}"]
    no_warm_up = ["--no-warmup"]

    def command(self, model, test, threads, repetitions, warm_up):
        if test.batch > 1:
            # Rounded up, as an engine may round each sequence's share of the context.
            context = test.batch * ((test.depth + test.tokens + 255) // 256 * 256)
            return [self.directory / "llama-batched-bench", "-m", model, "-t", threads, *self.batched_flags(),
                    "-c", context, "-npp", test.depth or 1, "-ntg", test.tokens, "-npl", test.batch]
        if test.kind == "pp":
            sizes = ["-p", test.tokens, "-n", 0]
        elif test.depth:
            sizes = ["-p", 0] + [part.format(tokens=test.tokens, depth=test.depth) for part in self.depth_option]
        else:
            sizes = ["-p", 0, "-n", test.tokens]
        return [self.directory / "llama-bench", "-m", model, "-t", threads, *sizes, "-r", repetitions, "-o", "json",
                *self.flags, *([] if warm_up else self.no_warm_up)]

    def batched_flags(self):
        return [*self.flags, "--output-format", "jsonl"]

    def rates(self, output, errors, test):
        if test.batch > 1:
            return [json.loads(line)["speed_tg"] for line in output.splitlines() if line.startswith("{")]
        return self.bench_rates(output)

    @staticmethod
    def bench_rates(output):
        # Not the mean, which one disturbed repetition spoils; some builds print a warning before the JSON.
        return json.loads(output[output.index("["):])[-1]["samples_ts"]


class IkLlamaBench(LlamaBench):
    """ik_llama.cpp: an older llama-bench, whose -gp measures the generation alone, behind a prompt."""
    depth_option = ["-n", "0", "-gp", "{depth},{tokens}"]
    no_warm_up = ["-w", "0"]
    switches = {"-rtr", "-thp", "-mqkv", "-rcache"}  # take 0 or 1 in llama-bench, stand alone elsewhere

    def batched_flags(self):
        flags, words = [], iter(self.flags)
        for word in words:
            if word in self.switches:
                flags += [word] if next(words, "1") == "1" else []
            else:
                flags.append(word)
        return flags

    def rates(self, output, errors, test):
        if test.batch > 1:  # |    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s | … as a log message
            rows = [[cell.strip() for cell in line.strip("|").split("|")]
                    for line in (output + errors).splitlines() if re.match(r"\|\s*\d", line)]
            return [float(row[7]) for row in rows]
        return self.bench_rates(output)


# What --engines may name, with the flags that served best. The variants beside them are for looking again elsewhere.
def known(martlet, peers):
    peers = pathlib.Path(peers)
    llama, avx2, ik = (peers / name / "bin" for name in ("llama.cpp", "llama.cpp-avx2", "ik_llama.cpp"))
    return {engine.name: engine for engine in [
        Martlet("martlet", martlet, []),
        Martlet("martlet-int8", martlet, ["--compute", "int8"]),
        Martlet("martlet-int16", martlet, ["--compute", "int16"]),
        Martlet("martlet-avx2", martlet, [], "avx2", "avx2"),
        Martlet("martlet-int8-avx2", martlet, ["--compute", "int8"], "avx2", "avx2"),
        LlamaBench("llama.cpp", llama, ["-fa", "1"]),
        LlamaBench("llama.cpp-nofa", llama, ["-fa", "0"]),
        LlamaBench("llama.cpp-avx2", avx2, ["-fa", "1"], "avx2"),
        IkLlamaBench("ik_llama.cpp", ik, ["-fa", "1", "-rtr", "1"]),
        IkLlamaBench("ik_llama.cpp-norepack", ik, ["-fa", "1", "-rtr", "0"]),
        IkLlamaBench("ik_llama.cpp-hugepages", ik, ["-fa", "1", "-rtr", "1", "-thp", "1"]),
        IkLlamaBench("ik_llama.cpp-mergedqkv", ik, ["-fa", "1", "-rtr", "1", "-mqkv", "1"]),
    ]}


def custom(text, engines):
    """`NAME=BASE FLAGS`: another known engine's program with other flags."""
    name, separator, rest = text.partition("=")
    base, *flags = shlex.split(rest) or [""]
    if not separator or base not in engines:
        raise ValueError(f"--engine {text}: NAME=ENGINE FLAGS, where ENGINE is one of {', '.join(engines)}")
    parent = engines[base]
    if isinstance(parent, Martlet):
        return Martlet(name, parent.program, flags, parent.group, parent.instruction_set)
    return type(parent)(name, parent.directory, flags, parent.group)


def without_paths(text):
    """Results are committed; where somebody's files lie is nobody's business."""
    return re.sub(r"(?:/[\w.@+~-]+){2,}", lambda match: match[0].rsplit("/", 1)[1], text)


def processor_times():
    """Seconds: all processors' busy and stolen time, and what finished children of this process used."""
    children = os.times()
    try:
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return {"busy": 0.0, "steal": 0.0, "children": 0.0}
    user, nice, system, _, _, interrupt, soft_interrupt, steal = fields
    tick = os.sysconf("SC_CLK_TCK")
    return {"busy": (user + nice + system + interrupt + soft_interrupt) / tick, "steal": steal / tick,
            "children": children.children_user + children.children_system}


def others_share(before, after, seconds):
    """Of all processors, taken by other processes than finished children of this one."""
    own = after["children"] - before["children"]
    return max(0.0, after["busy"] - before["busy"] - own) / seconds / (os.cpu_count() or 1)
