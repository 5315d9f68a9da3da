import MartletCheckpoints
import MartletGraph

/// Attention in which every patch sees all others (of the image, or of its window).
struct VisionAttention {
    let heads: Int
    let headDim: Int
    var scope = AttentionScope.all
    /// Rotation by the patch's row and column, where the tower has it.
    var rotary: RotaryEmbedding?

    /// softmax(q kᵀ / √headDim) v. All layers take turns with one place for K and V.
    func callAsFunction(q: Tensor, k: Tensor, v: Tensor) -> Tensor {
        func rotated(_ x: Tensor) -> Tensor { rotary.map { x.rope($0, headDim: headDim) } ?? x }
        return .attention(
            q: rotated(q), k: rotated(k), v: v,
            AttentionParameters(
                kv: KVLayer(layer: 0, kvHeads: heads, headDim: headDim), heads: heads,
                scale: 1 / Float(headDim).squareRoot(), scope: scope))
    }
}

extension VisionAttention {
    /// The same, of a layer that makes q, k and v side by side.
    func callAsFunction(queryKeyValue x: Tensor) -> Tensor {
        let width = heads * headDim
        return self(
            q: x.slice(offset: 0, width: width), k: x.slice(offset: width, width: width),
            v: x.slice(offset: 2 * width, width: width))
    }
}

/// Two linear layers with GELU between them.
struct GELUFeedForward {
    let up: Linear
    let down: Linear
    let activation: GELU

    init(
        _ up: String, _ down: String, inputs: Int, inner: Int, outputs: Int, _ activation: GELU, bias: Bool = true,
        _ weights: Weights
    ) throws(CheckpointError) {
        self.up = try Linear(up, inputs: inputs, outputs: inner, bias: bias, weights)
        self.down = try Linear(down, inputs: inner, outputs: outputs, bias: bias, weights)
        self.activation = activation
    }

    func callAsFunction(_ x: Tensor) -> Tensor { down(up(x).gelu(activation)) }
}

extension SettingsFile {
    /// The activation that a member names.
    func activation(_ key: String, default standard: GELU) throws(CheckpointError) -> GELU {
        guard let name = try string(key) else { return standard }
        guard let activation = GELU(rawValue: name) else {
            throw failure(
                key,
                "is '\(name)', which is not supported (known: \(GELU.allCases.map(\.rawValue).joined(separator: ", ")))"
            )
        }
        return activation
    }
}
