"""What a GGUF model must read and multiply per token, from its header (the format: ggml/docs/gguf.md). Standard library only."""
import dataclasses, pathlib, struct

# Values per block and bytes per block of ggml's tensor types.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
    12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 20: (32, 18), 23: (256, 136), 30: (1, 2),
}
TYPE_NAMES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K",
              13: "Q5_K", 14: "Q6_K", 20: "IQ4_NL", 23: "IQ4_XS", 30: "BF16"}
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclasses.dataclass
class Shape:
    name: str
    file_bytes: int
    weight_bytes: int  # that a decoded token reads: all tensors, but one row of an embedding that is no output layer
    layer_parameters: int  # of the matrices that every token of a prompt is multiplied by; the output layer is not among them
    output_parameters: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    widest_type: str  # the type that most bytes have

    def kv_bytes(self, positions):
        """Keys and values in 16 bits."""
        return positions * self.layers * self.kv_heads * self.head_dim * 2 * 2

    def prompt_operations(self, tokens):
        """Of the layers' matrices and, once, the output layer."""
        return 2 * (self.layer_parameters * tokens + self.output_parameters)

    def attention_operations(self, tokens, depth=0):
        """Scores and weighted values of a causal prompt behind `depth` tokens; what a mask hides is not counted."""
        positions = tokens * depth + tokens * (tokens + 1) // 2
        return 4 * positions * self.layers * self.heads * self.head_dim

    @property
    def is_integer(self):
        return self.widest_type not in ("F32", "F16", "BF16")


def read(path):
    path = pathlib.Path(path)
    with open(path, "rb") as file:
        def scalar(code):
            return struct.unpack("<" + code, file.read(struct.calcsize(code)))[0]

        def string():
            return file.read(scalar("Q")).decode("utf-8", "replace")

        def value(kind):
            if kind == 8:
                return string()
            if kind == 9:
                element, count = scalar("I"), scalar("Q")
                if element in SCALARS:  # no model states a shape in a long list: skip it unread
                    return file.seek(count * struct.calcsize(SCALARS[element]), 1) and None
                return [value(element) for _ in range(count)] and None
            return scalar(SCALARS[kind])

        if file.read(4) != b"GGUF" or scalar("I") < 2:
            raise ValueError(f"{path.name} is no GGUF file of version 2 or later")
        tensor_count, entry_count = scalar("Q"), scalar("Q")
        metadata = {}
        for _ in range(entry_count):
            key = string()
            metadata[key] = value(scalar("I"))
        tensors = {}
        for _ in range(tensor_count):
            name = string()
            sizes = [scalar("Q") for _ in range(scalar("I"))]
            kind = scalar("I")
            scalar("Q")
            count = 1
            for size in sizes:
                count *= size
            per_block, block_bytes = BLOCKS[kind]
            tensors[name] = (count, count // per_block * block_bytes, TYPE_NAMES[kind], len(sizes))

    def hyperparameter(name, default=None):
        return metadata.get(f"{metadata['general.architecture']}.{name}", default)

    heads = hyperparameter("attention.head_count")
    embedding = tensors["token_embd.weight"]
    output = tensors.get("output.weight", embedding)
    weight_bytes = sum(size for _, size, _, _ in tensors.values())
    if "output.weight" in tensors:
        weight_bytes -= embedding[1]
    by_type = {}
    for name, (_, size, kind, _) in tensors.items():
        if name.startswith("blk."):
            by_type[kind] = by_type.get(kind, 0) + size
    return Shape(
        name=path.stem, file_bytes=path.stat().st_size, weight_bytes=weight_bytes,
        layer_parameters=sum(n for name, (n, _, _, dims) in tensors.items() if name.startswith("blk.") and dims > 1),
        output_parameters=output[0], layers=hyperparameter("block_count"), heads=heads,
        kv_heads=hyperparameter("attention.head_count_kv", heads),
        head_dim=hyperparameter("attention.key_length", hyperparameter("embedding_length") // heads),
        widest_type=max(by_type, key=by_type.get))
