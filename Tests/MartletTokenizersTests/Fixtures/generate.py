"""Writes the reference data of this folder besides published/: python generate.py TEXT, where TEXT is any long English text.

Needs `tokenizers` (0.23.3 made the committed files). Strings only hold characters of Unicode 3.2, whose properties every
library agrees on.
"""
import json, random, sys, unicodedata
from pathlib import Path
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

random.seed(20)
here = Path(__file__).parent
text = Path(sys.argv[1]).read_text(encoding="utf8")[:150_000]
lines = text.split("\n") + ["日本語 テキスト 世界 世界 世界", "привет мир привет мир", "héllo wörld café café"] * 5
known = [c for c in range(0x20, 0x30000) if unicodedata.ucd_3_2_0.category(chr(c)) not in ("Cn", "Cs", "Co")]
known_set = set(known) | set(range(0x20))
pools = [
    range(0x20, 0x7F), range(0xA0, 0x250), range(0x300, 0x350), range(0x370, 0x530), range(0x5D0, 0x660),
    range(0x900, 0xE80), range(0x1100, 0x1200), range(0x1E00, 0x2000), range(0x2000, 0x2070), range(0x2100, 0x2700),
    range(0x3000, 0x3100), range(0x4E00, 0x9FA5), range(0xAC00, 0xD7A3), range(0xFE00, 0xFFF0), range(0x20),
    range(0x10300, 0x10400), known, [0x20, 0x0A, 0x0D, 0x09, 0xA0, 0x3000, 0x85, 0x2028, 0x200B, 0x0B, 0x0C], [0x20], [0x20, 0x0A],
    [ord(c) for c in "'stmdrevlSTMDREVL \u017f\u212a"], [ord(c) for c in "0123456789 ,.\u0661\u0967\u00b2\u2167\u00bd"],
    range(0x41, 0x7B), [0x200D, 0xFE0F, 0x2764, 0x263A],
]
words = text.split()
tricky = ["don't", "I'LL", "we'Ve", "'tis", "__init__", "HTTPServer", "3.14159", "1,234,567", '{"a": [1,2]}', "// c\n", "\t\tif",
          "<s>", "</s>", "<unk>", "▁", "▁▁", "<0x0A>", "Ġ", "\ufeff", "\x7f", "\x85"]
special = ["Anne", "Anne's", "XAnne", "Café", "CAFÉ", "cafe\u0301", " <mask> ", " [R]   x", "<|im_start|>", "<t>", "<t>x", "<t>y",
           "  ", " ab c ", "AB C", "<|end|>", "<t"]


def scalar(pool):
    while True:
        if (c := random.choice(pool)) in known_set:
            return chr(c)


def string():
    out = ""
    for _ in range(random.randint(1, 7)):
        k = random.random()
        if k < 0.25:
            out += random.choice(words) + random.choice(["", " ", "  ", "\n", "\r\n", " \n"])
        elif k < 0.33:
            out += random.choice(tricky)
        elif k < 0.40:
            out += random.choice(special)
        else:
            pool = random.choice(pools)
            out += "".join(scalar(pool) for _ in range(random.randint(1, 10)))
    return out


strings = ["", " ", "\n", "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", " " * 90]
strings += [string() for _ in range(114)]


def write(name, value):
    (here / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf8")


# Tokenizers

def unigram(name, uses_bytes, pre, norm, decoder):
    t = Tokenizer(models.Unigram())
    t.normalizer, t.pre_tokenizer, t.decoder = norm, pre, decoder
    tokens = ["<unk>", "<s>", "</s>"] + ([f"<0x{i:02X}>" for i in range(256)] if uses_bytes else [])
    t.train_from_iterator(lines, trainers.UnigramTrainer(
        vocab_size=1400 if uses_bytes else 1200, special_tokens=tokens, unk_token="<unk>", show_progress=False))
    d = json.loads(t.to_str())
    if uses_bytes:
        d["model"]["byte_fallback"] = True
        d["added_tokens"] = [a for a in d["added_tokens"] if not a["content"].startswith("<0x")]
    write(f"synthetic/{name}.json", d)


def metaspace(scheme, split=True):
    return pre_tokenizers.Metaspace("▁", scheme, split)


unigram("unigram", False, metaspace("always"), normalizers.NFKC(), decoders.Metaspace("▁", "always", True))
unigram("unigram-bytes", True, metaspace("first", False), None, decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))

for fuses in (True, False):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuses))
    t.normalizer, t.pre_tokenizer = normalizers.Lowercase(), metaspace("always")
    t.decoder = decoders.Metaspace("▁", "always", True)
    t.train_from_iterator([text], trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<s>"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="<s> $A <unk>", special_tokens=[("<s>", 1), ("<unk>", 0)])
    t.save(str(here / f"synthetic/bpe-{'fused' if fuses else 'single'}-unknown.json"), pretty=False)

t = Tokenizer(models.BPE())
t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True), decoders.ByteLevel()
t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase()])
t.train_from_iterator(lines, trainers.BpeTrainer(
    vocab_size=900, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
t.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True), AddedToken("[R]", rstrip=True, special=True),
                      AddedToken("<|im_start|>", special=True)])
t.add_tokens([AddedToken("Anne", single_word=True, normalized=False), AddedToken("Café", normalized=True),
              AddedToken("  ", normalized=False), AddedToken("<t>", normalized=False), AddedToken("<t>x", normalized=False),
              AddedToken("ab c", lstrip=True, rstrip=True, normalized=True)])
t.save(str(here / "synthetic/byte-level-added.json"), pretty=False)

cases = {}
for path in sorted((here / "synthetic").glob("*.json")):
    t = Tokenizer.from_file(str(path))
    plain = [t.encode(s, add_special_tokens=False).ids for s in strings]
    cases[path.stem] = {
        "ids": plain,
        "ids_with_special": [t.encode(s).ids for s in strings],
        "decoded": [t.decode(ids, skip_special_tokens=False) for ids in plain],
    }
write("synthetic-cases.json", {"strings": strings, "tokenizers": cases})

# Stages

gpt2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
contraction = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
patterns = [
    gpt2,
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{contraction}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{contraction}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
    r"\d{1,3}(?=(?:\d{3})*\b)", r"(?=(\d{3})+(?!\d))", r"\s{4}(?!\S)|\s{2}(?!\S)|\s{1}|\S+?(?=a)|[^a]+?$|^.",
    r"\w+|[^\w\s]+", r"\b", r"(?<=e)\s|(?<!\p{L})\p{Lu}", r"\p{Han}+|[\p{L}&&[^\p{Han}]]+|(a|ab)(c|bcd)*", r"\s+$",
    r"(?:[a-z]{2,3}){2,}|x*y|\p{N}{1,3}+|.",
]


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def sequence(*stages):
    return {"type": "Sequence", "pretokenizers": list(stages)}


def byte_level(uses_regex, adds_space):
    return {"type": "ByteLevel", "add_prefix_space": adds_space, "trim_offsets": True, "use_regex": uses_regex}


def digits(individual):
    return {"type": "Digits", "individual_digits": individual}


stages = [split(p) for p in patterns]
stages += [
    sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-\ud7ff]+"), digits(True)),
    sequence(split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"), split(
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")),
    sequence(digits(True), split(gpt2)), {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
    {"type": "Punctuation", "behavior": "Isolated"}, {"type": "CharDelimiterSplit", "delimiter": " "},
]
stages += [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": p, "split": s}
           for p, s in (("always", True), ("first", True), ("never", False))]
for behavior in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous", "Isolated"):
    for invert in (False, True):
        stages += [split(r"\s|[a-e]", behavior, invert), split(" ", behavior, invert, "String")]
byte_stages = [byte_level(True, False), byte_level(True, True), sequence(
    {"type": "Punctuation", "behavior": "Contiguous"}, byte_level(True, False), digits(False), split("[0-9][0-9][0-9]"))]
sample = strings[1:60]
shell = json.loads(Tokenizer(models.BPE()).to_str())
entries = []
for stage in stages + byte_stages:
    shell["pre_tokenizer"] = stage
    t = Tokenizer.from_str(json.dumps(shell))
    entries.append({"stage": stage, "spells_bytes": stage in byte_stages,
                    "words": [[w for w, _ in t.pre_tokenizer.pre_tokenize_str(s)] for s in sample]})
write("pre-tokenizers.json", {"strings": sample, "cases": entries})

shell["pre_tokenizer"] = None
entries = []
for stage in [
    {"type": "NFC"}, {"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "Nmt"},
    {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "StripAccents"},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "Replace", "pattern": {"String": "a"}, "content": "▁"},
    {"type": "Prepend", "prepend": "▁"},
    {"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]},
]:
    shell["normalizer"] = stage
    t = Tokenizer.from_str(json.dumps(shell))
    entries.append({"stage": stage, "texts": [t.normalizer.normalize_str(s) for s in strings]})
write("normalizers.json", {"strings": strings, "cases": entries})
