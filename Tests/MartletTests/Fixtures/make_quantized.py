#!/usr/bin/env python3
"""Tiny random models quantized in many ways, with what transformers makes of the dequantized weights in float32.

    pip install torch transformers safetensors && python3 make_quantized.py quantized [--all]

Packing and unpacking are written here from the formats' descriptions, with NumPy, integer by integer. Each folder has
config.json, model.safetensors and ref.safetensors: token ids, logits of one forward pass (`logits_a8` with inputs
rounded to 8 bits, for the formats that ask for it), and (`weights.NAME`) the first
rows of some layers' dequantized weights. Without --all, only the folders that are committed.
"""
import json, pathlib, sys
import numpy as np, torch, transformers
from safetensors.torch import save_file

rng = None  # made anew for each model
LLAMA = dict(model_type="llama", vocab_size=96, hidden_size=96, intermediate_size=160, num_hidden_layers=1,
             num_attention_heads=6, num_key_value_heads=3, head_dim=16, max_position_embeddings=128, rms_norm_eps=1e-5,
             rope_theta=10000.0, bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False)
EVEN = {**LLAMA, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128}
QWEN2 = {**LLAMA, "model_type": "qwen2"}
MOE = {**LLAMA, "model_type": "qwen3_moe", "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
       "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": []}
f16, bf16, f32 = torch.float16, torch.bfloat16, torch.float32


# ---- Integers in words

def pack_bits(values, bits):
    """[n, m] integers to [ceil(n * bits / 32), m] words: one stream of bits down each column."""
    n, m = values.shape
    words = np.zeros(((n * bits + 31) // 32, m), np.uint64)
    for i in range(n):
        word, shift = divmod(i * bits, 32)
        words[word] |= (values[i].astype(np.uint64) << np.uint64(shift)) & np.uint64(0xFFFFFFFF)
        if shift + bits > 32:
            words[word + 1] |= values[i].astype(np.uint64) >> np.uint64(32 - shift)
    return words.astype(np.uint32).view(np.int32)


def unpack_bits(words, bits, n):
    words = words.view(np.uint32).astype(np.uint64)
    out = np.zeros((n, words.shape[1]), np.int64)
    for i in range(n):
        for b in range(bits):
            word, shift = divmod(i * bits + b, 32)
            out[i] |= ((words[word] >> np.uint64(shift)) & np.uint64(1)).astype(np.int64) << b
    return out


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def pack_awq(values):
    """[k, n] to [k, n / 8]: nibble i of a word holds column AWQ_ORDER[i]."""
    blocks = values.reshape(values.shape[0], -1, 8)
    words = np.zeros(blocks.shape[:2], np.uint32)
    for i, column in enumerate(AWQ_ORDER):
        words |= blocks[:, :, column].astype(np.uint32) << np.uint32(4 * i)
    return words.view(np.int32)


def unpack_awq(words):
    words = words.view(np.uint32)
    out = np.zeros((*words.shape, 8), np.int64)
    for i, column in enumerate(AWQ_ORDER):
        out[:, :, column] = (words >> np.uint32(4 * i)) & 15
    return out.reshape(words.shape[0], -1)


# ---- Rounding to the nearest, so that the models are sane

def quantize(weight, bits, groups, symmetric, scale_type):
    """weight [n, k], groups [k]: codes [n, k], zero points and scales [n, g]."""
    count, limit = groups.max() + 1, 2 ** bits - 1
    scales, zeros = np.zeros((len(weight), count), np.float32), np.zeros((len(weight), count), np.int64)
    codes = np.zeros(weight.shape, np.int64)
    for g in range(count):
        part = weight[:, groups == g]
        low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
        if symmetric:
            scale = np.abs(part).max(1) / (limit // 2)
        else:
            scale = (high - low) / limit
        scale = torch.tensor(scale).to(scale_type).float().numpy()
        zero = np.full(len(weight), 2 ** (bits - 1)) if symmetric else np.clip(np.round(-low / scale), 1, limit)
        codes[:, groups == g] = np.clip(np.round(part / scale[:, None]) + zero[:, None], 0, limit)
        scales[:, g], zeros[:, g] = scale, zero
    return codes, zeros.astype(np.int64), scales


def dequantize(codes, zeros, scales, groups):
    return ((codes - zeros[:, groups]).astype(np.float32) * scales[:, groups]).astype(np.float32)


def sequential(k, size):
    return np.arange(k) // (k if size == -1 else size)


def shuffled(k, size):
    groups = sequential(k, size)
    return groups[np.argsort(rng.permutation(k))]


# ---- Formats: (weight [n, k], options) -> tensors of the file, and the weights unpacked from them

def gptq(weight, name, bits=4, size=32, sym=True, v2=False, scale_type=f16, order=None, g_idx=True, **_):
    n, k = weight.shape
    groups = sequential(k, size) if order is None else order
    codes, zeros, scales = quantize(weight, bits, groups, sym, scale_type)
    file = {"qweight": pack_bits(codes.T, bits), "scales": torch.tensor(scales.T.copy()).to(scale_type),
            "qzeros": pack_bits((zeros - (0 if v2 else 1)), bits).T.copy()}
    if g_idx:
        file["g_idx"] = torch.tensor(groups.astype(np.int32))
    stored = unpack_bits(file["qzeros"].T.copy(), bits, n) + (0 if v2 else 1)
    return file, dequantize(unpack_bits(file["qweight"], bits, k).T, stored, file["scales"].float().numpy().T, groups)


def awq(weight, name, size=32, scale_type=f16, **_):
    n, k = weight.shape
    groups = sequential(k, size)
    codes, zeros, scales = quantize(weight, 4, groups, False, scale_type)
    file = {"qweight": pack_awq(codes.T), "qzeros": pack_awq(zeros.T), "scales": torch.tensor(scales.T.copy()).to(scale_type)}
    return file, dequantize(unpack_awq(file["qweight"]).T, unpack_awq(file["qzeros"]).T,
                            file["scales"].float().numpy().T, groups)


def packed(weight, name, bits=4, size=32, sym=True, scale_type=f32, order=None, **_):
    n, k = weight.shape
    groups = sequential(k, size) if order is None else shuffled(k, size)
    codes, zeros, scales = quantize(weight, bits, groups, sym, scale_type)
    file = {"weight_packed": pack_bits(codes.T, bits).T.copy(), "weight_scale": torch.tensor(scales).to(scale_type),
            "weight_shape": torch.tensor([n, k])}
    if not sym:
        file["weight_zero_point"] = pack_bits(zeros, bits)
    if order is not None:
        file["weight_g_idx"] = torch.tensor(groups.astype(np.int32))
    zeros = zeros if sym else unpack_bits(file["weight_zero_point"], bits, n)
    return file, dequantize(unpack_bits(file["weight_packed"].T.copy(), bits, k).T, zeros,
                            file["weight_scale"].float().numpy(), groups)


def int8(weight, name, size=-1, sym=True, scale_type=f32, **_):
    groups = sequential(weight.shape[1], size)
    codes, zeros, scales = quantize(weight, 8, groups, sym, scale_type)
    file = {"weight": torch.tensor((codes - 128).astype(np.int8)), "weight_scale": torch.tensor(scales).to(scale_type)}
    if not sym:
        file["weight_zero_point"] = torch.tensor((zeros - 128).astype(np.int8))
    return file, dequantize(codes, zeros, file["weight_scale"].float().numpy(), groups)


def float8(weight, name, blocks=None, rows=True, scale_type=f32, suffix="weight_scale", static=False, **_):
    n, k = weight.shape
    height, width = blocks or ((1 if rows else n), k)
    scales = np.zeros((-(-n // height), -(-k // width)), np.float32)
    codes, values = np.zeros((n, k), np.uint8), np.zeros((n, k), np.float32)
    for i in range(scales.shape[0]):
        for j in range(scales.shape[1]):
            at = np.s_[i * height:(i + 1) * height, j * width:(j + 1) * width]
            scales[i, j] = torch.tensor(np.abs(weight[at]).max() / 448).to(scale_type).float()
            code = torch.tensor(weight[at] / scales[i, j]).clamp(-448, 448).to(torch.float8_e4m3fn)
            codes[at] = code.view(torch.uint8).numpy()
            # Decoded by hand: a sign, 4 bits of exponent, 3 of fraction.
            c = codes[at].astype(np.int64)
            e, m = c >> 3 & 15, c & 7
            value = np.where(e == 0, m * 2.0 ** -9, (1 + m / 8) * 2.0 ** (e - 7)) * np.where(c > 127, -1, 1)
            values[at] = value.astype(np.float32) * scales[i, j]
    table = torch.tensor(scales).to(scale_type)
    file = {"weight": torch.tensor(codes).view(torch.float8_e4m3fn),
            suffix: table.reshape(()) if blocks is None and not rows else table}
    if static:
        file["input_scale"] = torch.tensor(0.01)
    return file, values


NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
                -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
                0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0],
               np.float32)  # QLoRA's table


def nf4(weight, name, nested=False, scale_type=bf16, **_):
    flat = weight.reshape(-1, 64)
    scales = np.abs(flat).max(1)
    state = dict(quant_type="nf4", blocksize=64, dtype=str(scale_type).removeprefix("torch."), shape=list(weight.shape))
    file = {"weight.quant_map": torch.tensor(NF4)}
    if nested:
        offset = float(scales.mean())
        table = np.linspace(-1, 1, 256).astype(np.float32)
        blocks = np.pad(scales - np.float32(offset), (0, -len(scales) % 256)).reshape(-1, 256)
        outer = np.abs(blocks).max(1).astype(np.float32)
        index = np.abs((blocks / outer[:, None])[:, :, None] - table).argmin(2).astype(np.uint8)
        scales = (table[index] * outer[:, None] + np.float32(offset)).astype(np.float32).reshape(-1)[:len(scales)]
        file |= {"weight.absmax": torch.tensor(index.reshape(-1)[:len(scales)]), "weight.nested_absmax": torch.tensor(outer),
                 "weight.nested_quant_map": torch.tensor(table)}
        state |= dict(nested_blocksize=256, nested_dtype="float32", nested_offset=offset)
    else:
        file["weight.absmax"] = torch.tensor(scales)
    codes = np.abs((flat / scales[:, None])[:, :, None] - NF4).argmin(2).reshape(-1)
    file["weight"] = torch.tensor((codes[0::2] << 4 | codes[1::2]).astype(np.uint8)).reshape(-1, 1)
    file["weight.quant_state.bitsandbytes__nf4"] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    values = torch.tensor((NF4[codes].reshape(-1, 64) * scales[:, None]).astype(np.float32).reshape(weight.shape))
    return file, values.to(scale_type).float().numpy()


# ---- Configurations

def gptq_config(bits=4, group_size=32, sym=True, **others):
    return dict(quant_method="gptq", bits=bits, group_size=group_size, sym=sym, desc_act=False, **others)


def awq_config(group_size=32, **others):
    return dict(quant_method="awq", bits=4, group_size=group_size, zero_point=True, version="gemm", **others)


def ct_config(*groups, format="pack-quantized", ignore=("lm_head",)):
    return dict(quant_method="compressed-tensors", format=format, quantization_status="compressed", ignore=list(ignore),
                config_groups={f"group_{i}": group for i, group in enumerate(groups)})


def ct_group(bits=4, strategy="group", size=None, sym=True, type="int", activations=None, targets=("Linear",), **others):
    inputs = activations and dict(num_bits=activations, type=type, strategy="token", dynamic=True, symmetric=True)
    return dict(targets=list(targets), input_activations=inputs, output_activations=None,
                weights=dict(num_bits=bits, type=type, symmetric=sym, strategy=strategy, group_size=size, dynamic=False,
                             **others))


def shared_order(size):
    """The same order for the layers of a block that share an input, as their calibration does."""
    orders = {}

    def make(name, k):
        part = name.rsplit(".", 1)
        key = (part[0], "in") if part[1] in ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj") else name
        return orders.setdefault(key, shuffled(k, size))
    return make


CASES = {
    # name: (committed, model, stored type, format, options, quantization_config, other changes)
    "gptq-sym": (0, LLAMA, f16, gptq, dict(), gptq_config(checkpoint_format="gptq"), {}),
    "gptq-asym-tail": (1, LLAMA, bf16, gptq, dict(size=64, sym=False), gptq_config(group_size=64, sym=False), {}),
    "gptq-columns": (0, LLAMA, f16, gptq, dict(size=-1, sym=False), gptq_config(group_size=-1, sym=False), {}),
    "gptq-v2-8bit-asym": (1, LLAMA, f16, gptq, dict(bits=8, size=128, sym=False, v2=True),
                          gptq_config(8, 128, False, checkpoint_format="gptq_v2"), {}),
    "gptq-8bit-sym": (0, LLAMA, f16, gptq, dict(bits=8), gptq_config(8), {}),
    "gptq-3bit": (1, EVEN, f16, gptq, dict(bits=3, sym=False), gptq_config(3, sym=False), {}),
    "gptq-2bit": (0, EVEN, f16, gptq, dict(bits=2), gptq_config(2), {}),
    "gptq-groups-of-16": (0, LLAMA, f16, gptq, dict(size=16), gptq_config(group_size=16), {}),
    "gptq-act-order": (1, LLAMA, f16, gptq, dict(sym=False, order=shared_order(32)),
                       {**gptq_config(sym=False), "desc_act": True}, {}),
    "gptq-act-order-qwen2": (1, QWEN2, f16, gptq, dict(size=64, order=lambda name, k: shuffled(k, 64)),
                             {**gptq_config(group_size=64), "desc_act": True}, {}),
    "gptq-act-order-16": (0, LLAMA, f16, gptq, dict(size=16, order=shared_order(16)),
                          {**gptq_config(group_size=16), "desc_act": True}, {}),
    "gptq-act-order-8bit": (0, LLAMA, f16, gptq, dict(bits=8, sym=False, order=shared_order(32)),
                            {**gptq_config(8, sym=False), "desc_act": True}, {}),
    "gptq-moe-act-order": (1, MOE, f16, gptq, dict(order=shared_order(32)),
                           {**gptq_config(), "desc_act": True}, dict(plain=["mlp.gate"])),
    "gptq-moe-any-order": (0, MOE, f16, gptq, dict(order=lambda name, k: shuffled(k, 32)),
                           {**gptq_config(), "desc_act": True}, dict(plain=["mlp.gate"])),
    "gptq-old": (0, LLAMA, f16, gptq, dict(g_idx=False), None,
                 dict(plain=["down_proj"], zero_biases=True,
                      file=("quantize_config.json", dict(bits=4, group_size=32, desc_act=False)))),
    "gptq-mixed-sharded": (1, LLAMA, bf16, gptq, dict(sym=False, overrides={"down_proj": dict(bits=8, size=80)}),
                           gptq_config(sym=False, lm_head=True, dynamic={"-:.*o_proj": {}, ".*down": {"bits": 8, "group_size": 80}}),
                           dict(plain=["o_proj"], quantize_head=True, shards=3)),
    "awq-tail": (1, LLAMA, f16, awq, dict(size=64), awq_config(64), {}),
    "awq-qwen2-tied": (1, {**QWEN2, "tie_word_embeddings": True}, bf16, awq, dict(scale_type=bf16),
                       awq_config(modules_to_not_convert=["up_proj"]), dict(plain=["up_proj"])),
    "awq-old": (0, LLAMA, f16, awq, dict(size=96), None,
                dict(file=("quant_config.json", dict(zero_point=True, q_group_size=96, w_bit=4, version="GEMM")))),
    "awq-columns": (0, LLAMA, f16, awq, dict(size=-1), awq_config(-1), {}),
    "awq-moe": (0, MOE, f16, awq, dict(), awq_config(), dict(plain=["mlp.gate"])),
    "ct-w4a16": (0, LLAMA, f32, packed, dict(), ct_config(ct_group(size=32)), {}),
    "ct-w4a16-asym": (1, LLAMA, bf16, packed, dict(size=64, sym=False, scale_type=bf16), ct_config(ct_group(size=64, sym=False)), {}),
    "ct-w4a16-asym-f32": (0, LLAMA, f32, packed, dict(size=64, sym=False), ct_config(ct_group(size=64, sym=False)), {}),
    "ct-w4a16-channel": (0, LLAMA, bf16, packed, dict(size=-1, scale_type=bf16), ct_config(ct_group(strategy="channel")), {}),
    "ct-w4a16-actorder": (1, QWEN2, f32, packed, dict(order=True), ct_config(ct_group(size=32, actorder="group")), {}),
    "ct-w8a16": (0, LLAMA, f32, packed, dict(bits=8, size=32), ct_config(ct_group(8, size=32)), {}),
    "ct-w8a16-channel": (0, LLAMA, bf16, packed, dict(bits=8, size=-1, scale_type=bf16), ct_config(ct_group(8, "channel")), {}),
    "ct-w8a8": (0, LLAMA, f32, int8, dict(), ct_config(ct_group(8, "channel", activations=8), format="int-quantized"), {}),
    "ct-w8a8-asym": (1, LLAMA, bf16, int8, dict(sym=False, scale_type=bf16),
                     ct_config(ct_group(8, "channel", sym=False, activations=8), format="int-quantized"), {}),
    "ct-mixed": (1, {**LLAMA, "num_hidden_layers": 2}, bf16, packed, dict(overrides={"down_proj": dict(bits=8, size=-1)}),
                 ct_config(ct_group(size=32, targets=["re:.*(q|k|v|o|gate|up)_proj$"]), ct_group(8, "channel", targets=["re:.*down_proj$"]),
                           ignore=["re:.*layers\\.1\\..*", "lm_head"]), dict(plain=["layers.1."])),
    "ct-fp8": (0, LLAMA, bf16, float8, dict(scale_type=bf16),
               ct_config(ct_group(8, "channel", type="float", activations=8), format="float-quantized"), {}),
    "ct-fp8-tensor-static": (0, LLAMA, f16, float8, dict(rows=False, static=True, scale_type=f16),
                             ct_config(ct_group(8, "tensor", type="float", activations=8), format="float-quantized"), {}),
    "ct-fp8-block": (0, LLAMA, f32, float8, dict(blocks=(64, 128)),
                     ct_config(ct_group(8, "block", type="float", activations=8, block_structure=[64, 128]), format="float-quantized"), {}),
    "fp8-block": (1, {**LLAMA, "intermediate_size": 160}, bf16, float8, dict(blocks=(128, 128), suffix="weight_scale_inv"),
                  dict(quant_method="fp8", fmt="e4m3", activation_scheme="dynamic", weight_block_size=[128, 128]), {}),
    "fp8-block-32": (0, LLAMA, bf16, float8, dict(blocks=(32, 32), suffix="weight_scale_inv"),
                     dict(quant_method="fp8", activation_scheme="dynamic", weight_block_size=[32, 32]), {}),
    "nf4-nested": (1, LLAMA, bf16, nf4, dict(nested=True),
                   dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4"), {}),
    "nf4": (0, LLAMA, f16, nf4, dict(scale_type=f16),
            dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4"), {}),
    "fp8-tensor": (0, LLAMA, bf16, float8, dict(rows=False, static=True),
                   dict(quant_method="fp8", activation_scheme="static"), {}),
}


def make(folder, config, dtype, pack, options, quantization, plain=(), quantize_head=False, zero_biases=False, shards=1, file=None):
    torch.manual_seed(5)
    kind = config["model_type"]
    made = transformers.AutoConfig.for_model(kind, **{k: v for k, v in config.items() if k != "model_type"},
                                             initializer_range=0.2)
    made._attn_implementation = made._experts_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(made).float().eval()
    state = {}
    for name, value in model.state_dict().items():
        if name.endswith("bias"):
            value = 0.2 * torch.randn_like(value)
        if "norm" in name:
            value = 1 + 0.2 * torch.randn_like(value)
        # transformers stacks experts; files have them one by one.
        if name.endswith("experts.gate_up_proj"):
            for e, both in enumerate(value):
                gate, up = both.chunk(2)
                state[name.replace("gate_up_proj", f"{e}.gate_proj.weight")], state[name.replace("gate_up_proj", f"{e}.up_proj.weight")] = gate, up
        elif name.endswith("experts.down_proj"):
            for e, down in enumerate(value):
                state[name.replace("down_proj", f"{e}.down_proj.weight")] = down
        elif not (name == "lm_head.weight" and config["tie_word_embeddings"]):
            state[name] = value
    tensors, weights, reference = {}, {}, {}
    for name, value in state.items():
        module = name.removesuffix(".weight")
        linear = value.ndim == 2 and "embed" not in name and (quantize_head or "lm_head" not in name)
        if not linear or any(part in name for part in plain):
            tensors[name] = value.to(dtype).contiguous()
            weights[name] = tensors[name].float()
            continue
        own = dict(options)
        for part, changes in own.pop("overrides", {}).items():
            own.update(changes if part in name else {})
        if callable(own.get("order")):
            own["order"] = own["order"](module, value.shape[1])
        packed_tensors, dequantized = pack(value.numpy().astype(np.float32), module, **own)
        for suffix, tensor in packed_tensors.items():
            tensors[f"{module}.{suffix}"] = tensor if torch.is_tensor(tensor) else torch.tensor(tensor)
        if zero_biases:
            tensors[f"{module}.bias"] = torch.zeros(value.shape[0], dtype=dtype)
        weights[name] = torch.tensor(dequantized).contiguous()
        if module.endswith(("layers.0.mlp.down_proj", "layers.0.self_attn.q_proj", "layers.0.mlp.experts.1.up_proj")):
            reference["weights." + module] = weights[name][:16]
    loaded = dict(model.state_dict())
    for name in loaded:
        if name.endswith("experts.gate_up_proj"):
            path = name.removesuffix("gate_up_proj")
            loaded[name] = torch.stack([torch.cat([weights[f"{path}{e}.{p}.weight"] for p in ("gate_proj", "up_proj")])
                                        for e in range(config["num_experts"])])
        elif name.endswith("experts.down_proj"):
            path = name.removesuffix("down_proj")
            loaded[name] = torch.stack([weights[f"{path}{e}.down_proj.weight"] for e in range(config["num_experts"])])
        else:
            loaded[name] = weights.get(name, weights["model.embed_tokens.weight"])
    model.load_state_dict(loaded)
    quantized = {name.removesuffix(".weight") for name in weights if name not in tensors or tensors[name].element_size() == 1}
    ids = torch.tensor(rng.integers(3, config["vocab_size"], 40))
    with torch.no_grad():
        reference["case0.input_ids"] = ids
        reference["case0.logits"] = model(input_ids=ids[None]).logits[0].clone().contiguous()
        if pack in (int8, float8):
            # Inputs rounded to 8 bits token by token.
            def rounded(module, inputs):
                largest = inputs[0].abs().amax(-1, keepdim=True)
                if pack is float8:
                    scale = largest / 448
                    return (inputs[0] / scale).to(torch.float8_e4m3fn).float() * scale
                scale = largest / 127.5
                return (inputs[0] / scale).round().clamp(-128, 127) * scale
            for name, module in model.named_modules():
                if name in quantized:
                    module.register_forward_pre_hook(rounded)
            reference["case0.logits_a8"] = model(input_ids=ids[None]).logits[0].clone().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    stated = dict(config)
    if quantization is not None:
        stated["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(stated, indent=1) + "\n")
    if file is not None:
        (folder / file[0]).write_text(json.dumps(file[1]) + "\n")
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
    else:
        places = {name: f"model-{i % shards + 1:05d}-of-{shards:05d}.safetensors" for i, name in enumerate(sorted(tensors))}
        for place in sorted(set(places.values())):
            save_file({name: tensors[name] for name in places if places[name] == place}, folder / place)
        (folder / "model.safetensors.index.json").write_text(json.dumps(dict(metadata={}, weight_map=places)) + "\n")
    reference = {name: tensor.contiguous().clone() for name, tensor in reference.items()}
    save_file(reference, folder / "ref.safetensors")
    print(folder.name, "deviation", round(float(reference["case0.logits"].std()), 3))


for name, (committed, config, dtype, pack, options, quantization, others) in CASES.items():
    if committed or "--all" in sys.argv:
        rng = np.random.default_rng(11)
        make(pathlib.Path(sys.argv[1]) / name, config, dtype, pack, options, quantization, **others)
