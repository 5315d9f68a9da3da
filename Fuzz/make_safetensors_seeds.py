"""Writes small safetensors files as seeds for the fuzzer: python make_safetensors_seeds.py FOLDER."""

import json
import pathlib
import struct
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def write(name, tensors, metadata=None):
    header, offset = ({"__metadata__": metadata} if metadata else {}), 0
    for tensor, kind, shape in tensors:
        size = SIZES[kind]
        for dimension in shape:
            size *= dimension
        header[tensor] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + bytes(i % 251 for i in range(offset)))


write("empty", [])
write("types", [(kind, kind, [2, 3]) for kind in SIZES], {"format": "pt"})
write("shapes", [("scalar", "F32", []), ("vector", "BF16", [7]), ("none", "F16", [0, 4]), ("cube", "I8", [2, 3, 4])])
write("model", [("model.embed_tokens.weight", "F32", [4, 8]), ("model.norm.weight", "F32", [8])])
