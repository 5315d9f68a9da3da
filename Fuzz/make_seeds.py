"""Writes small GGUF files of many kinds as seeds for the fuzzer: python make_seeds.py FOLDER (pip install gguf numpy)."""

import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(1)


def raw(kind, rows, columns):
    size, width = gguf.GGML_QUANT_SIZES[kind]
    return random.integers(0, 256, (rows, columns // size * width), dtype=np.uint8)


def model(name, arch, kind, hidden=32, **extra):
    writer = gguf.GGUFWriter(str(folder / name), arch)
    writer.add_context_length(64)
    writer.add_embedding_length(hidden)
    writer.add_block_count(1)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(["a", "b", "c", "d"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages }}")
    for key, value in extra.items():
        key = f"{arch}.{key.replace('__', '.')}"
        {str: writer.add_string, float: writer.add_float32, int: writer.add_uint32}[type(value)](key, value)
    add = writer.add_tensor
    add("token_embd.weight", raw(kind, 4, hidden), raw_dtype=kind)
    add("output_norm.weight", np.ones(hidden, np.float32))
    add("blk.0.attn_q.weight", raw(kind, hidden, hidden), raw_dtype=kind)
    add("blk.0.attn_k.weight", raw(kind, hidden // 2, hidden), raw_dtype=kind)
    add("blk.0.attn_q.bias", np.ones(hidden, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


for kind in [T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0]:
    model(f"{kind.name}.gguf", "llama", kind)
for kind in [T.Q4_K, T.Q5_K, T.Q6_K]:
    # Two rows only: a whole model of 256 columns is larger than the fuzzer's inputs.
    writer = gguf.GGUFWriter(str(folder / f"{kind.name}.gguf"), "llama")
    writer.add_tensor("blk.0.ffn_up.weight", raw(kind, 2, 256), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
model("yarn.gguf", "qwen2", T.Q4_0, rope__scaling__type="yarn", rope__scaling__factor=4.0,
      rope__scaling__original_context_length=16, attention__key_length=16, attention__value_length=16)
model("moe.gguf", "qwen3moe", T.Q8_0, expert_count=4, expert_used_count=2, expert_feed_forward_length=32)

writer = gguf.GGUFWriter(str(folder / "metadata.gguf"), "llama")
writer.add_uint8("u8", 1)
writer.add_int8("i8", -1)
writer.add_uint16("u16", 1)
writer.add_int16("i16", -1)
writer.add_uint64("u64", 1 << 40)
writer.add_int64("i64", -1)
writer.add_float64("f64", 0.5)
writer.add_bool("bool", True)
writer.add_array("ints", [1, 2, 3])
writer.add_array("floats", [1.5, 2.5])
writer.add_array("bools", [True, False])
writer.add_array("strings", ["", "x", "grüße"])
writer.add_custom_alignment(64)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()
