#!/usr/bin/env python3
"""Tiny random models in odd shapes, with what transformers makes of them in float32.

    pip install torch transformers safetensors && python3 make_models.py models

Each folder has config.json, model.safetensors and ref.safetensors: for every case the token ids, and the logits of one
forward pass over all of them on the stored weights with eager attention.
"""
import json, pathlib, sys, torch
import transformers
from safetensors.torch import save_file

torch.manual_seed(7)
small = dict(vocab_size=97, hidden_size=24, intermediate_size=44, num_hidden_layers=2, bos_token_id=1, eos_token_id=2,
             pad_token_id=0, initializer_range=0.2, max_position_embeddings=256)

CASES = {
    # name: (model type, stored type, what differs)
    "llama-dynamic-heads-of-6": ("llama", torch.float32, dict(
        num_attention_heads=6, num_key_value_heads=3, head_dim=6, max_position_embeddings=32, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="dynamic", factor=4.0, rope_theta=10000.0))),
    "llama-yarn-heads-of-10": ("llama", torch.bfloat16, dict(
        num_attention_heads=3, num_key_value_heads=3, head_dim=10, attention_bias=True, mlp_bias=True,
        rope_parameters=dict(rope_type="yarn", factor=4.0, rope_theta=1000.0, original_max_position_embeddings=24,
                             attention_factor=1.2, beta_fast=8, beta_slow=2))),
    "llama-llama3-heads-of-80": ("llama", torch.float16, dict(
        num_attention_heads=3, num_key_value_heads=1, head_dim=80,
        rope_parameters=dict(rope_type="llama3", factor=8.0, rope_theta=10000.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=32))),
    "mistral-window-heads-of-2": ("mistral", torch.float32, dict(
        num_attention_heads=6, num_key_value_heads=3, head_dim=2, sliding_window=5)),
    "qwen2-window-yarn": ("qwen2", torch.float32, dict(
        num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4, use_sliding_window=True, sliding_window=9,
        max_window_layers=2,
        rope_parameters=dict(rope_type="yarn", factor=2.0, rope_theta=10000.0, original_max_position_embeddings=64))),
    "qwen3-window-heads-of-96": ("qwen3", torch.float32, dict(
        num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1, head_dim=96, attention_bias=True,
        use_sliding_window=True, sliding_window=17, max_window_layers=0,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "qwen3_moe-some-dense": ("qwen3_moe", torch.float32, dict(
        num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=14, num_experts=7, num_experts_per_tok=3,
        moe_intermediate_size=18, decoder_sparse_step=2, mlp_only_layers=[3], norm_topk_prob=False)),
    # Layers 1 and 3 are for images: text skips them.
    "mllama-text": ("mllama", torch.float32, dict(
        num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, cross_attention_layers=[1, 3],
        tie_word_embeddings=False,
        rope_parameters=dict(rope_type="llama3", factor=8.0, rope_theta=10000.0, low_freq_factor=1.0, high_freq_factor=4.0,
                             original_max_position_embeddings=32))),
    "qwen3_moe-bf16-window": ("qwen3_moe", torch.bfloat16, dict(
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_experts=20, num_experts_per_tok=6,
        moe_intermediate_size=70, norm_topk_prob=True, use_sliding_window=True, sliding_window=12)),
}

# What the models that see do not need for text.
TINY_VISION = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_global_layers=1, attention_heads=2, image_size=16,
                   patch_size=8, vision_output_dim=16, intermediate_layers_indices=[0], max_num_tiles=1,
                   supported_aspect_ratios=[[1, 1]])

for name, (kind, dtype, options) in CASES.items():
    folder = pathlib.Path(sys.argv[1]) / name
    sees = kind == "mllama"
    auto = transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM
    text = {**small, **options}
    parts = dict(text_config=text, vision_config=TINY_VISION) if sees else text
    config = transformers.AutoConfig.for_model(kind, **parts)
    config._attn_implementation = config._experts_implementation = "eager"
    model = auto.from_config(config).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("bias"):
                value.normal_(0, 0.2)
            if "norm" in key:
                value.copy_(1 + 0.2 * torch.randn_like(value))
    model.to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    # Read again: `to` has rounded the rotary frequencies too.
    model = auto.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()
    tensors = {}
    for case, count in enumerate([1, 13, 70]):
        ids = torch.randint(3, small["vocab_size"], (1, count))
        with torch.no_grad():
            tensors[f"case{case}.input_ids"] = ids[0].clone()
            tensors[f"case{case}.logits"] = model(input_ids=ids).logits[0].clone().float().contiguous()
    save_file(tensors, folder / "ref.safetensors")
    stated = json.loads((folder / "config.json").read_text())
    print(name, round(float(tensors["case2.logits"].std()), 3), stated.get("rope_parameters"))
