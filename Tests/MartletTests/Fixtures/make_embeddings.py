#!/usr/bin/env python3
"""What transformers makes of the token ids in the models' ref.safetensors: hidden states behind the final norm, pooled.

    pip install torch transformers safetensors && python3 make_embeddings.py FOLDER... > embeddings.json

For each model and case the mean over all tokens and the last token's, divided by their length, in float32 with eager attention.
"""
import json, pathlib, sys, torch, transformers
from safetensors.torch import load_file

result = {}
for folder in sorted(map(pathlib.Path, sys.argv[1:]), key=lambda path: path.name):
    model = transformers.AutoModel.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()
    tensors = load_file(folder / "ref.safetensors")
    cases = []
    while f"case{len(cases)}.input_ids" in tensors:
        ids = tensors[f"case{len(cases)}.input_ids"].reshape(1, -1)
        with torch.no_grad():
            hidden = model(input_ids=ids).last_hidden_state[0].double()
        vectors = {"mean": hidden.mean(0), "last": hidden[-1]}
        cases.append({name: [float(f"{x:.7g}") for x in (v / v.norm()).tolist()] for name, v in vectors.items()})
    result[folder.name] = cases
json.dump(result, sys.stdout, separators=(",", ":"))
