#!/usr/bin/env python3
"""Models of real shapes with random weights: what a model weighs decides its speed, what it knows does not.

    pip install gguf numpy
    python3 Benchmarks/synthetic_models.py --tokenizer models/SmolLM2-135M-Instruct.Q4_1.gguf \
        --quantize PATH/llama-quantize --out DIRECTORY [--shape llama-1b] [--types Q4_0,Q4_K_M,Q8_0,BF16]

Writes SHAPE-BF16.gguf with the tokenizer of another GGUF file (padded to the shape's vocabulary) and quantizes it with
llama.cpp's own tool. What exists already is left alone.
"""
import argparse, pathlib, subprocess
import gguf, numpy as np

SHAPES = {
    "llama-1b": dict(  # Llama-3.2-1B
        architecture="llama", layers=16, hidden=2048, intermediate=8192, heads=32, kv_heads=8, head_dim=64,
        vocabulary=128256, context=131072, theta=500000.0, bias=False),
    "qwen2.5-0.5b": dict(
        architecture="qwen2", layers=24, hidden=896, intermediate=4864, heads=14, kv_heads=2, head_dim=64,
        vocabulary=151936, context=32768, theta=1000000.0, bias=True),
}


def copied_tokenizer(writer, path, vocabulary):
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    extra = vocabulary - len(tokens)
    writer.add_tokenizer_model(fields["tokenizer.ggml.model"].contents())
    writer.add_tokenizer_pre(fields["tokenizer.ggml.pre"].contents())
    writer.add_token_list(tokens + [f"<|unused_{i}|>" for i in range(extra)])
    writer.add_token_types(types + [int(gguf.TokenType.UNUSED)] * extra)
    writer.add_token_merges(fields["tokenizer.ggml.merges"].contents())
    writer.add_bos_token_id(fields["tokenizer.ggml.bos_token_id"].contents())
    writer.add_eos_token_id(fields["tokenizer.ggml.eos_token_id"].contents())
    writer.add_add_bos_token(False)


def write(path, shape, tokenizer):
    writer = gguf.GGUFWriter(path, shape["architecture"])
    hidden, heads = shape["hidden"], shape["heads"] * shape["head_dim"]
    kv_heads = shape["kv_heads"] * shape["head_dim"]
    writer.add_name(path.stem)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(hidden)
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["intermediate"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_rope_dimension_count(shape["head_dim"])
    writer.add_rope_freq_base(shape["theta"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape["vocabulary"])
    copied_tokenizer(writer, tokenizer, shape["vocabulary"])

    random = np.random.default_rng(42)

    def matrix(name, rows, columns):
        values = random.standard_normal((rows, columns), dtype=np.float32) * np.float32(columns**-0.5)
        data = gguf.quants.quantize(values, gguf.GGMLQuantizationType.BF16)
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.BF16)

    def vector(name, values):
        writer.add_tensor(name, values.astype(np.float32))

    matrix("token_embd.weight", shape["vocabulary"], hidden)
    for layer in range(shape["layers"]):
        block = f"blk.{layer}."
        vector(block + "attn_norm.weight", np.ones(hidden))
        for name, rows in [("q", heads), ("k", kv_heads), ("v", kv_heads)]:
            matrix(f"{block}attn_{name}.weight", rows, hidden)
            if shape["bias"]:
                vector(f"{block}attn_{name}.bias", random.standard_normal(rows) * 0.1)
        matrix(block + "attn_output.weight", hidden, heads)
        vector(block + "ffn_norm.weight", np.ones(hidden))
        matrix(block + "ffn_gate.weight", shape["intermediate"], hidden)
        matrix(block + "ffn_up.weight", shape["intermediate"], hidden)
        matrix(block + "ffn_down.weight", hidden, shape["intermediate"])
    vector("output_norm.weight", np.ones(hidden))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


parser = argparse.ArgumentParser()
parser.add_argument("--tokenizer", required=True, help="a GGUF file whose tokenizer is copied")
parser.add_argument("--quantize", required=True, help="llama.cpp's llama-quantize")
parser.add_argument("--out", required=True, type=pathlib.Path)
parser.add_argument("--shape", choices=SHAPES, action="append", help="default: all")
parser.add_argument("--types", default="Q4_0,Q4_K_M,Q8_0,BF16")
args = parser.parse_args()

args.out.mkdir(parents=True, exist_ok=True)
for name in args.shape or SHAPES:
    source = args.out / f"{name}-BF16.gguf"
    if not source.exists():
        unfinished = source.with_suffix(".part")
        write(unfinished, SHAPES[name], args.tokenizer)
        unfinished.rename(source)
    for kind in args.types.split(","):
        target = args.out / f"{name}-{kind}.gguf"
        if not target.exists():
            subprocess.run([args.quantize, source, target, kind], check=True)
        print(target)
