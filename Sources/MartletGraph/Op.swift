/// What a node computes. The first group is what models record; the second is what rewrites and backends put in place.
///
/// Operands are listed as inputs → outputs; every one is `[rows, width]`.
package enum Op: Sendable {
    // MARK: Recorded by models

    /// () → rows of the table, by token id.
    case embed(LinearWeight)
    /// x → x / rms(x) · weight, over each run of `weight.count` columns (a whole row, or each head).
    case rmsNorm(RMSNormParameters)
    /// x → x Wᵀ.
    case linear(LinearWeight)
    /// x → x + bias.
    case addBias(Vector)
    /// a, b → a + b.
    case add
    /// a, b → a · b.
    case multiply
    /// x → x · sigmoid(x).
    case silu
    /// x → its columns from `offset` on: a view, no work.
    case slice(offset: Int)
    /// x → heads rotated by position.
    case rope(RotaryEmbedding, headDim: Int)
    /// k, v → a zero-width value that stands for "written": each token's row goes to its place in the KV pool.
    case storeKV(KVLayer)
    /// q, written → softmax(q Kᵀ · scale) V over each token's context.
    case attention(AttentionParameters)
    /// x, the router's logits → the weighted sum of what each token's experts make of it. Legalization adds the outputs of
    /// `ExpertsWorkspace`.
    case experts(Experts)
    /// tokens → the sampled ones.
    case rows

    // MARK: Put in place by legalization and fusion

    /// x → the same row in the format that an integer or bf16 kernel reads.
    case convert(ActivationFormat)
    /// gate, up → silu(gate) · up.
    case swiGLU
    /// x, residual → residual + x Wᵀ: the product is added where the residual stream lies.
    case linearAdd(LinearWeight)
    /// x → silu(x Wgᵀ) · x Wuᵀ, gate and up interleaved in one weight: neither is ever stored.
    case linearSwiGLU(LinearWeight)
    /// h, x → h + x, and its norm.
    case skipRMSNorm(RMSNormParameters)
    /// q, k, v → q rotated in place, "written": k is rotated on its way into the KV pool.
    case ropeStoreKV(RotaryEmbedding, KVLayer)
}

package struct RMSNormParameters: Sendable {
    package var weight: Vector
    package var epsilon: Float

    package init(weight: Vector, epsilon: Float) {
        self.weight = weight
        self.epsilon = epsilon
    }
}

/// One layer's share of the KV pool.
package struct KVLayer: Sendable, Hashable {
    package var layer: Int
    package var kvHeads: Int
    package var headDim: Int

    package init(layer: Int, kvHeads: Int, headDim: Int) {
        self.layer = layer
        self.kvHeads = kvHeads
        self.headDim = headDim
    }
}

/// Grouped-query attention (Ainslie et al. 2023) over the KV pool: query head h reads KV head h / (heads / kvHeads).
package struct AttentionParameters: Sendable, Hashable {
    package var kv: KVLayer
    package var heads: Int
    /// Of the scores; 1/√headDim as a rule.
    package var scale: Float
    /// Positions that a token sees, itself included; 0: all of them.
    package var window: Int

    package init(kv: KVLayer, heads: Int, scale: Float, window: Int = 0) {
        self.kv = kv
        self.heads = heads
        self.scale = scale
        self.window = window
    }

    /// Query heads that share a KV head.
    package var group: Int { heads / kv.kvHeads }
}

extension Op {
    /// The name that plans and profiles print.
    package var name: String {
        switch self {
        case .embed: "embed"
        case .rmsNorm: "rmsNorm"
        case .linear: "linear"
        case .addBias: "addBias"
        case .add: "add"
        case .multiply: "multiply"
        case .silu: "silu"
        case .slice: "slice"
        case .rope: "rope"
        case .storeKV: "storeKV"
        case .attention: "attention"
        case .experts: "experts"
        case .rows: "rows"
        case .convert(let format): "convert(\(format.rawValue))"
        case .swiGLU: "swiGLU"
        case .linearAdd: "linear+add"
        case .linearSwiGLU: "linear+swiGLU"
        case .skipRMSNorm: "skipRMSNorm"
        case .ropeStoreKV: "rope+storeKV"
        }
    }

    /// The weight matrix that the op multiplies with, if any.
    package var linearWeight: LinearWeight? {
        switch self {
        case .linear(let weight), .linearAdd(let weight), .linearSwiGLU(let weight): weight
        default: nil
        }
    }

    /// All weight matrices that the op reads, an embedding's table included.
    package var weights: [LinearWeight] {
        switch self {
        case .embed(let table): [table]
        case .experts(let experts): experts.weights
        default: linearWeight.map { [$0] } ?? []
        }
    }

    /// Whether only attention reads the result.
    var feedsAttention: Bool {
        switch self {
        case .rope, .ropeStoreKV: true
        default: false
        }
    }

    /// Which input's storage the first output may take over if nothing reads that input afterwards.
    var inPlaceInput: Int? {
        switch self {
        case .add, .multiply, .silu, .addBias, .rope, .ropeStoreKV, .swiGLU, .skipRMSNorm: 0
        case .linearAdd: 1
        default: nil
        }
    }
}
