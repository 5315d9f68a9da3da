"""Writes variants.json and variants/: small tokenizers in the shapes of published ones (Llama 2 and 3, Mistral, Gemma, Qwen,
DeepSeek, GLM, T5, RoBERTa, BERT), and what the `tokenizers` library (PyPI, 0.23.3) makes of tricky strings with them.

    python generate_variants.py TEXT        TEXT: any English text, 150 kB or more
"""
import json
import random
import sys
from pathlib import Path
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

random.seed(31)
here = Path(__file__).parent
(here / "variants").mkdir(exist_ok=True)
lines = Path(sys.argv[1]).read_text(encoding="utf8")[:60_000].split("\n")
lines += ["日本語 テキスト 世界 世界 世界", "привет мир привет мир", "héllo wörld café café", "12 123 1234", "x  y   z"] * 5

SPACE = "▁"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
             r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_LETTERS = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+"

words = ["sea", "Anne", "don't", "I'LL", "we'Ve", "café", "cafe\u0301", "CAFÉ", "日本語", "世界", "привет", "１２３", "1234567", "3.14",
         "½", "٣", "HTTPServer", "__init__", "{\"a\": [1]}", "// c", "é", "ﬁ", "Å", "İ", "ß", "ǆ", "🙂", "👩‍👩‍👧", "\u200d", "\ufeff",
         "\u3000", "\xa0", "\x85", "\x0b", "<s>", "</s>", "<unk>", "<mask>", "[INST]", "<|end|>", "<|user|>", "<｜end▁of▁sentence｜>",
         "<extra>", "<Extra>", "tag", "<0x0A>", "▁", "▁▁", "Ġ", "<think>", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "!", "?!", "...", "—", "$", "€"]
strings = ["", " ", "  ", "\n", "a", " a", "a ", " a b ", "<s>", " <s> ", "<mask>x", "x <mask>  y", "a<extra>b <extra> c", "tag tagx tag"]
while len(strings) < 70:
    strings.append("".join(random.choice(words) + random.choice(["", "", " ", "  "]) for _ in range(random.randint(2, 9))))

cases = {}


def finish(name, t, added=(), special=(), edit=None):
    """Adds tokens, writes the file, and what it gives."""
    t.add_special_tokens(list(special))
    t.add_tokens(list(added))
    d = json.loads(t.to_str())
    if edit:
        edit(d)
    text = json.dumps(d, ensure_ascii=False)
    (here / f"variants/{name}.json").write_text(text, encoding="utf8")
    t = Tokenizer.from_str(text)
    plain = [t.encode(s, add_special_tokens=False).ids for s in strings]
    cases[name] = {
        "ids": plain, "ids_with_special": [t.encode(s).ids for s in strings],
        "decoded": [t.decode(ids, skip_special_tokens=False) for ids in plain],
        "decoded_skipping": [t.decode(ids) for ids in plain],
    }


def special(content, **kwargs):
    return AddedToken(content, special=True, normalized=kwargs.pop("normalized", False), **kwargs)


def template(t, text, *tokens):
    return processors.TemplateProcessing(single=text, special_tokens=[(name, t.token_to_id(name)) for name in tokens])


# SentencePiece-style BPE

def sentencepiece(name, normalizer, pre, decoder, fuses=True, drops=(), **kwargs):
    """`drops`: byte tokens that the vocabulary lacks."""
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuses))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoder
    training = pre or pre_tokenizers.Split(SPACE, "merged_with_next")
    t.pre_tokenizer = training
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=640, limit_alphabet=70, special_tokens=["<unk>", "<s>", "</s>"] + bytes_, show_progress=False))
    t.pre_tokenizer = pre
    t.post_processor = template(t, "<s> $A", "<s>")

    def edit(d):
        d["model"]["byte_fallback"] = True
        d["added_tokens"] = [a for a in d["added_tokens"] if not a["content"].startswith("<0x")]
        for byte in drops:
            del d["model"]["vocab"][byte]
        kwargs.get("edit", lambda _: None)(d)
    finish(name, t, kwargs.get("added", ()), kwargs.get("special", ()), edit)


legacy = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
text_decoder = decoders.Sequence(
    [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
sentencepiece("llama2", legacy, None, text_decoder, special=[special("[INST]")],
              added=[AddedToken("<extra>", normalized=True), AddedToken("tag", single_word=True, normalized=False)])
sentencepiece("llama2-missing-bytes", legacy, None, text_decoder, drops=["<0xE3>", "<0xF0>"])
sentencepiece("llama2-single-unknown", legacy, None, text_decoder, fuses=False, drops=["<0xD0>"])
sentencepiece("mistral-first", None, pre_tokenizers.Metaspace(SPACE, "first", False), text_decoder,
              added=[AddedToken("<extra>", lstrip=True, rstrip=True, normalized=False)])
sentencepiece("metaspace-never", None, pre_tokenizers.Metaspace(SPACE, "never", True),
              decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(SPACE, "never", True)]))
sentencepiece("gemma", normalizers.Replace(" ", SPACE), pre_tokenizers.Split(" ", "merged_with_previous"),
              decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]),
              added=[AddedToken("\n\n", normalized=False), AddedToken(SPACE * 2, normalized=False)])


# Byte-level BPE

def byte_level(name, stages, normalizer=None, post=None, edit=None, prefix=False, added=(), specials=(), uses_regex=False):
    t = Tokenizer(models.BPE())
    t.normalizer = normalizer
    t.pre_tokenizer = pre_tokenizers.Sequence(
        stages + [pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=uses_regex)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=520, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    if post:
        t.post_processor = post(t)
    finish(name, t, added, specials, edit)


def isolated(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def whole_words(d):
    """Words that no merge leads to, as in tiktoken's vocabularies."""
    d["model"]["ignore_merges"] = True
    for word in ("Ġzq", "xyzzy", "123"):
        d["model"]["vocab"].setdefault(word, max(d["model"]["vocab"].values()) + 1 + len(d["added_tokens"]))


byte_level("llama3", [isolated(LLAMA3)], edit=whole_words, post=lambda t: processors.Sequence(
    [processors.ByteLevel(trim_offsets=False), template(t, "<s> $A", "<s>")]))
byte_level("qwen2", [isolated(QWEN2)], normalizers.NFC(), specials=[special("<|end|>")],
           added=[AddedToken("<think>", normalized=False), AddedToken("<extra>", normalized=True)],
           post=lambda t: processors.ByteLevel(trim_offsets=False))
byte_level("deepseek3", [isolated(r"\p{N}{1,3}"), isolated(r"[一-龥぀-ゟ゠-ヿ]+"), isolated(DEEPSEEK3)],
           specials=[special("<｜end▁of▁sentence｜>")], post=lambda t: template(t, "<s> $A </s>", "<s>", "</s>"))
byte_level("deepseek2", [isolated("[\r\n]"), isolated(DEEPSEEK_LETTERS), isolated(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), isolated(r"\s+$"),
                         isolated("[一-龥ࠀ-一가-퟿]+"), pre_tokenizers.Digits(individual_digits=True)],
           specials=[special("<|end|>")])
byte_level("glm4", [isolated(LLAMA3)], specials=[special("<|user|>"), special("[gMASK]"), special("<sop>")],
           post=lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                               processors.TemplateProcessing(single="[gMASK]:0 <sop>:0 $A:0", special_tokens=[("[gMASK]", 521), ("<sop>", 522)])]))
byte_level("roberta", [], prefix=True, uses_regex=True, specials=[special("<mask>", lstrip=True)],
           post=lambda t: processors.RobertaProcessing(("</s>", 1), ("<s>", 0)))
byte_level("starcoder", [pre_tokenizers.Digits(individual_digits=True)], uses_regex=True, added=[AddedToken("tag", single_word=True, normalized=True)])


# Other pre-tokenizers and normalizers over characters

def characters(name, normalizer, pre, decoder, post=None, **kwargs):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=kwargs.pop("fuses", False)))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoder
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=300, limit_alphabet=80, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    if post:
        t.post_processor = post
    finish(name, t, **kwargs)


characters("bert", normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]),
           pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]), None,
           processors.BertProcessing(("</s>", 2), ("<s>", 1)))
characters("whitespace", normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s{2,}"), " "), normalizers.Strip(False, True)]),
           pre_tokenizers.Whitespace(), decoders.Fuse(), fuses=True)
characters("prepend", normalizers.Sequence([normalizers.Strip(True, False), normalizers.Prepend("-"), normalizers.Replace("a", "AA")]),
           pre_tokenizers.CharDelimiterSplit("e"), decoders.Sequence([decoders.Strip("-", 1, 0), decoders.Replace("AA", "a"), decoders.Fuse()]))


# Unigram

def unigram(name, normalizer, pre, decoder, post=None, uses_bytes=False):
    t = Tokenizer(models.Unigram())
    t.normalizer, t.pre_tokenizer, t.decoder = normalizer, pre, decoder
    tokens = ["<pad>", "</s>", "<unk>"] + ([f"<0x{i:02X}>" for i in range(256)] if uses_bytes else [])
    t.train_from_iterator(lines, trainers.UnigramTrainer(
        vocab_size=900 if uses_bytes else 700, special_tokens=tokens, unk_token="<unk>", show_progress=False))
    if post:
        t.post_processor = template(t, post, "</s>")

    def edit(d):
        if uses_bytes:
            d["model"]["byte_fallback"] = True
            d["added_tokens"] = [a for a in d["added_tokens"] if not a["content"].startswith("<0x")]
    finish(name, t, edit=edit)


unigram("t5", normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(SPACE, "always", True)]),
        decoders.Metaspace(SPACE, "always", True), "$A </s>")
unigram("unigram-llama", legacy, None, text_decoder, uses_bytes=True)

(here / "variants.json").write_text(json.dumps({"strings": strings, "tokenizers": cases}, ensure_ascii=False), encoding="utf8")
