"""Writes dequantize.bin: random blocks of every tensor type and the floats that PyPI's `gguf` makes of them.

    pip install gguf==0.19.0 numpy && python make_dequantize.py

A record: ggml type, number of elements, number of source bytes (three little-endian u32); the source; the floats.
"""

import pathlib
import struct

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Zeros, the subnormals' ends, the normals' ends, infinities, NaNs (quiet and signalling), 1 and -2.
SPECIAL = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x8400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0x7C01,
           0xFE01, 0x3C00, 0xC000]
# Byte offsets of the half-precision factors in a block.
FACTORS = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2],
           T.Q6_K: [208]}

random = np.random.default_rng(20250917)
out = bytearray()


def record(kind, source):
    with np.errstate(all="ignore"):
        values = dequantize(source, kind).astype(np.float32).ravel()
    out.extend(struct.pack("<III", int(kind), values.size, source.size))
    out.extend(source.tobytes())
    out.extend(values.view(np.uint32).astype("<u4").tobytes())


for kind, offsets in FACTORS.items():
    size, width = GGML_QUANT_SIZES[kind]
    blocks = 64 if size == 32 else 24
    data = random.integers(0, 256, (blocks, width), dtype=np.uint8)
    for index in range(blocks):
        for number, offset in enumerate(offsets):
            if index < 16:
                # Every special value as each factor, against an ordinary other one, then pairs of special ones.
                half = SPECIAL[index] if number == 0 or index % 2 else 0x3555
            else:
                half = int(np.float16(random.normal() * 10.0 ** random.integers(-6, 3)).view(np.uint16))
            data[index, offset:offset + 2] = list(struct.pack("<H", half))
    record(kind, data.ravel())

halves = np.concatenate([np.array(SPECIAL, np.uint16), random.integers(0, 65536, 2032, dtype=np.uint16)])
record(T.F16, halves.view(np.uint8))
record(T.BF16, halves.view(np.uint8))
singles = np.concatenate([np.array([0, 1 << 31, 1, 0x7F800000, 0x7F7FFFFF], np.uint32),
                          random.integers(0, 1 << 32, 123, dtype=np.uint32)])
record(T.F32, singles.view(np.uint8))

path = pathlib.Path(__file__).with_name("dequantize.bin")
path.write_bytes(out)
print(path.name, len(out), "bytes")
