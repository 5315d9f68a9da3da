#!/usr/bin/env python3
"""A Hugging Face folder in the shape of Llama-3.2-1B with random BF16 weights, to measure loading.

    pip install numpy && python3 Benchmarks/synthetic_folder.py DIRECTORY
    /usr/bin/time -v martlet logits DIRECTORY --token-ids 1,2,3 -o /tmp/logits.safetensors
"""
import json, pathlib, struct, sys
import numpy as np

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
layers, hidden, inner, heads, kv_heads, head_dim, vocabulary = 16, 2048, 8192, 32, 8, 64, 128256
(folder / "config.json").write_text(json.dumps(dict(
    model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=hidden, intermediate_size=inner,
    num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=head_dim,
    vocab_size=vocabulary, max_position_embeddings=131072, rms_norm_eps=1e-5, rope_theta=500000.0, rope_scaling=None,
    hidden_act="silu", tie_word_embeddings=True, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2)))

shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden]}
for layer in range(layers):
    name = f"model.layers.{layer}."
    shapes |= {
        name + "input_layernorm.weight": [hidden], name + "post_attention_layernorm.weight": [hidden],
        name + "self_attn.q_proj.weight": [heads * head_dim, hidden],
        name + "self_attn.k_proj.weight": [kv_heads * head_dim, hidden],
        name + "self_attn.v_proj.weight": [kv_heads * head_dim, hidden],
        name + "self_attn.o_proj.weight": [hidden, heads * head_dim],
        name + "mlp.gate_proj.weight": [inner, hidden], name + "mlp.up_proj.weight": [inner, hidden],
        name + "mlp.down_proj.weight": [hidden, inner],
    }
header, offset = {}, 0
for name, shape in shapes.items():
    size = 2 * int(np.prod(shape))
    header[name] = dict(dtype="BF16", shape=shape, data_offsets=[offset, offset + size])
    offset += size
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
random = np.random.default_rng(42)
with open(folder / "model.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for shape in shapes.values():
        values = (
            np.ones(shape, np.float32) if len(shape) == 1
            else random.standard_normal(shape, dtype=np.float32) * np.float32(shape[1] ** -0.5))
        file.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())
print(f"{offset / 1e9:.2f} GB of weights in {folder}")
