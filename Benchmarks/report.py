"""The tables and plots of side_by_side.py's samples. Standard library only."""
import html, statistics
from engines import Test

OUR_COLORS = ["#0b6e4f", "#3aa17e", "#8fcfb5"]
PEER_COLORS = ["#c8553d", "#e0a458", "#457b9d", "#6d6875", "#a8a8b3"]


def files(data, name):
    """File name → text."""
    threads = sorted({sample["threads"] for sample in data["samples"]}, reverse=True)
    cells = {count: [Cell(data, key) for key in keys(data, count)] for count in threads}
    out = {f"{name}.md": markdown(data, name, cells)}
    for count, those in cells.items():
        out[f"{name}-t{count}.svg"] = plot(data, those, count)
    return out


def keys(data, threads):
    """(model, test, threads) in the order of models as asked for, then pp before tg, small before large."""
    found = {(s["model"], s["test"]) for s in data["samples"] if s["threads"] == threads}
    order = {model: position for position, model in enumerate(data["models"])}

    def rank(key):
        test = Test.parse(key[1])
        return order[key[0]], test.kind, test.batch, test.depth, test.tokens

    return [(model, test, threads) for model, test in sorted(found, key=rank)]


class Cell:
    """One model and test with one number of threads: medians over the rounds, by engine. Disturbed samples count only where an
    engine has no others."""

    def __init__(self, data, key):
        self.model, self.test, self.threads = key[0], Test.parse(key[1]), key[2]
        self.shape, self.engines = data["models"][self.model], data["engines"]
        mine = [s for s in data["samples"] if (s["model"], s["test"], s["threads"]) == key]
        self.rates = {}  # engine → round → tokens per second
        self.errors = {s["engine"]: s["error"] for s in mine if "error" in s}
        mine = [s for s in mine if "error" not in s]
        self.disturbed = {s["engine"] for s in mine} - {s["engine"] for s in mine if not s["disturbed"]}
        for s in mine:
            if not s["disturbed"] or s["engine"] in self.disturbed:
                self.rates.setdefault(s["engine"], {})[s["round"]] = s["rate"]
        self.median = {engine: statistics.median(rates.values()) for engine, rates in self.rates.items()}
        limits = [e for e in data["limits"] if (e["model"], e["test"], e["threads"]) == key]
        limits = [e for e in limits if not e.get("disturbed")] or limits
        around = {e["engine"]: [] for e in mine}
        for e in mine:
            if e["round"] in self.rates[e["engine"]]:
                around[e["engine"]] += e.get("read_gb_per_second", [])
        between = [e["bandwidth"]["median"] for e in limits if "bandwidth" in e]
        self.bandwidth = middle(sum(around.values(), []) or between)
        self.bandwidths = {engine: middle(reads or between) for engine, reads in around.items()}
        kind = "int8" if self.shape["is_integer"] else "bf16"
        found = [e["operations"].get(kind) or e["operations"].get("f32") for e in limits if "operations" in e]
        self.operations = middle([rate["median"] for rate in found if rate])

    def peers(self, engine):
        """Of the same group, that have a median."""
        group = self.engines[engine]["group"]
        return [name for name in self.median if not self.engines[name]["ours"] and self.engines[name]["group"] == group]

    def better_peer(self, engine):
        peers = self.peers(engine)
        return max(peers, key=self.median.get) if peers else None

    def ratio(self, engine):
        """The median of the rounds', and all of them. Samples of a round were taken one after the other."""
        peer = self.better_peer(engine)
        if peer is None or engine not in self.median:
            return None
        common = self.rates[engine].keys() & self.rates[peer].keys()
        each = [self.rates[engine][number] / self.rates[peer][number] for number in common]
        return statistics.median(each) if each else self.median[engine] / self.median[peer], each

    def bytes_per_step(self):
        kv_bytes = self.shape["layers"] * self.shape["kv_heads"] * self.shape["head_dim"] * 2 * 2
        return self.shape["weight_bytes"] + self.test.batch * kv_bytes * (self.test.depth + self.test.tokens / 2)

    def operations_per_token(self):
        if self.test.kind == "tg":
            return 2 * (self.shape["layer_parameters"] + self.shape["output_parameters"])
        return 2 * (self.shape["layer_parameters"] + self.shape["output_parameters"] / self.test.tokens)

    def attention_operations_per_token(self):
        context = self.test.depth + (self.test.tokens + 1) / 2
        return 4 * context * self.shape["layers"] * self.shape["heads"] * self.shape["head_dim"]

    def limits(self, engine=None):
        """Name → tokens per second that the limit would allow, where `engine` was measured."""
        found = {}
        bandwidth = self.bandwidths.get(engine, self.bandwidth)
        if self.test.kind == "tg" and bandwidth:
            found["read"] = bandwidth * 1e9 / self.bytes_per_step() * self.test.batch
        if (self.test.kind == "pp" or self.test.batch > 1) and self.operations:
            found["int8" if self.shape["is_integer"] else "bf16"] = self.operations * 1e9 / self.operations_per_token()
        return found

    def shares(self, engine):
        return ", ".join(f"{100 * self.median[engine] / limit:.0f} % {name}" for name, limit in self.limits(engine).items())


def middle(values):
    return statistics.median(values) if values else None


def markdown(data, name, cells):
    machine = data["machine"]
    lines = [f"# {name}", "",
             f"{machine['processors']} processors of {machine['processor']}, {machine['memory_gib']} GiB, {machine['system']}, "
             f"{machine['date']}. tok/s, medians of the undisturbed rounds, engines in turn; ~: none was undisturbed.", "",
             "| engine | flags | built from |", "|---|---|---|"]
    for engine, about in data["engines"].items():
        lines.append(f"| {engine} | {' '.join(about['flags'])} | {about['built'].split(', ')[0]} |")
    for threads, those in cells.items():
        present = [name for name in data["engines"] if any(name in c.median or name in c.errors for c in those)]
        ours = [name for name in present if data["engines"][name]["ours"]]
        lines += ["", f"## {threads} thread{'s' if threads > 1 else ''}", "", f"![plot]({name}-t{threads}.svg)", ""]
        header = ["model", "test", *present]
        header += [f"{engine} / better peer (rounds)" for engine in ours] + [f"{engine}, of the limit" for engine in ours]
        lines += ["| " + " | ".join(header + ["better peer, of the limit", "rounds"]) + " |",
                  "|---|---|" + "---:|" * (len(header))]
        for c in those:
            row = [c.model, str(c.test)]
            for engine in present:
                if engine in c.median:
                    row.append(f"{c.median[engine]:.{1 if c.median[engine] < 100 else 0}f}"
                               + (" ~" if engine in c.disturbed else ""))
                else:
                    row.append("failed" if engine in c.errors else "")
            for engine in ours:
                ratio = c.ratio(engine)
                spread = f" ({min(ratio[1]):.2f}–{max(ratio[1]):.2f})" if ratio and len(ratio[1]) > 1 else ""
                row.append(f"**{ratio[0]:.2f}**{spread}" if ratio else "")
            for engine in ours:
                row.append(c.shares(engine) if engine in c.median else "")
            peer = max((c.better_peer(engine) for engine in ours if c.better_peer(engine)), key=c.median.get, default=None)
            row.append(c.shares(peer) if peer else "")
            # Of those that are compared: another engine may have been left out of some.
            compared = [c.rates[engine] for engine in {*ours, peer} & c.rates.keys()]
            row.append(str(min((len(rates) for rates in compared), default=0)))
            lines.append("| " + " | ".join(row) + " |")
        lines += ["", "| model | test | read GB/s | int8 or bf16 G op/s | bytes per step, MB | M op per token | attention adds |",
                  "|---|---|---:|---:|---:|---:|---:|"]
        for c in those:
            added = c.attention_operations_per_token() / c.operations_per_token()
            lines.append(f"| {c.model} | {c.test} | {number(c.bandwidth, 1)} | {number(c.operations)} "
                         f"| {number(c.bytes_per_step() / 1e6) if c.test.kind == 'tg' else ''} "
                         f"| {c.operations_per_token() / 1e6:.0f} | {100 * added:.0f} % |")
    failed = [(c, engine, error) for those in cells.values() for c in those for engine, error in c.errors.items()]
    if failed:
        lines += ["", "## Failed", ""]
        lines += [f"- {c.model}, {c.test}, {c.threads} threads, {engine}: {error}" for c, engine, error in failed]
    lines += ["", "tg128@4096: 128 tokens behind 4,096; tg32x8@16: 8 sequences at once, counted together. *of the limit*: bytes of "
              "weights and 16-bit KV per step against the read bandwidth, operations of the matrices (attention apart) against the "
              "int8 or bf16 peak, both measured in the same rounds. Ratios are medians of the rounds' own.", ""]
    return "\n".join(lines)


def number(value, digits=0):
    return "" if value is None else f"{value:.{digits}f}"


def plot(data, cells, threads):
    """Bars of speed over the better peer's (the vertical line at 1), with a tick where the limit lies."""
    present = [name for name in data["engines"] if any(name in c.median for c in cells)]
    color = {}
    for ours, colors in ((True, OUR_COLORS), (False, PEER_COLORS)):
        for position, name in enumerate(name for name in present if data["engines"][name]["ours"] == ours):
            color[name] = colors[position % len(colors)]
    bar, gap, left, width = 11, 9, 250, 620
    rows = []
    for c in cells:
        ours = [name for name in present if data["engines"][name]["ours"] and c.better_peer(name)]
        peers = [name for name in c.median if not data["engines"][name]["ours"]]
        base = c.median[c.better_peer(ours[0])] if ours else max((c.median[p] for p in peers), default=None)
        if base:
            limits = c.limits()
            rows.append((c, [(name, c.median[name] / base) for name in present if name in c.median],
                         min(limits.values()) / base if limits else None))
    largest = max([1.5] + [ratio for _, bars, limit in rows for ratio in [r for _, r in bars] + ([min(limit, 6)] if limit else [])])
    scale = width / (largest * 1.08)
    height = 78 + sum(len(bars) * bar + gap for _, bars, _ in rows)
    text = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{height}" '
            'font-family="sans-serif" font-size="11">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="12" y="20" font-size="14">Speed over the better peer, {threads} thread{"s" if threads > 1 else ""}; '
            'the tick is what the machine allows</text>']
    x = 12
    for name in present:
        text.append(f'<rect x="{x}" y="32" width="11" height="11" fill="{color[name]}"/>'
                    f'<text x="{x + 15}" y="42">{html.escape(name)}</text>')
        x += 32 + 7 * len(name)
    top = y = 58
    for c, bars, limit in rows:
        middle_y = y + len(bars) * bar / 2 + 4
        text.append(f'<text x="{left - 8}" y="{middle_y:.1f}" text-anchor="end">{html.escape(c.model)} {c.test}</text>')
        for name, ratio in bars:
            text.append(f'<rect x="{left}" y="{y}" width="{ratio * scale:.1f}" height="{bar - 1}" fill="{color[name]}"/>'
                        f'<text x="{left + ratio * scale + 4:.1f}" y="{y + 9}" font-size="9">{number(c.median[name])}</text>')
            y += bar
        if limit and limit * scale <= width:
            at = left + limit * scale
            text.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y - len(bars) * bar - 2}" y2="{y + 1}" stroke="#000" '
                        'stroke-width="1.5"/>')
        y += gap
    one = left + scale
    text.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{top - 4}" y2="{y}" stroke="#888" stroke-dasharray="3 3"/>')
    text.append(f'<text x="{one:.1f}" y="{y + 12}" text-anchor="middle" font-size="10">1.0</text></svg>')
    return "\n".join(text) + "\n"
