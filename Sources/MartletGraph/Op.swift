/// What a node computes. The first group is what models record; the second is what rewrites and backends put in place.
///
/// Operands are listed as inputs → outputs; every one is `[rows, width]`.
package enum Op: Sendable {
    // MARK: Recorded by models

    /// () → rows of the table, by token id.
    case embed(LinearWeight)
    /// () → columns from `column` on of the rows that the step brings (`StepInput.features`); zeros for tokens without.
    case features(column: Int)
    /// x → x with the rows of tokens that bring features replaced by the first columns of these.
    case replaceByFeatures
    /// x → (x - mean) / deviation · weight + bias.
    case layerNorm(LayerNormParameters)
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
    /// x → x · Φ(x).
    case gelu(GELU)
    /// a, b … → their columns side by side.
    case concatenate
    /// x → `count` rows side by side, a row for each sampled token: row i is made of the rows `count · i` and following.
    case groupRows(count: Int)
    /// x → its columns in another order.
    case reorder(ColumnOrder)
    /// x → x with each value rounded to the nearest of the 8-bit floats (4 bits of exponent, 3 of fraction) times
    /// largest / 448, where `largest` is the row's largest magnitude.
    case roundToFloat8
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
    /// The order in which columns are written; nil for that of the input.
    package var order: ColumnOrder?

    package init(weight: Vector, epsilon: Float) {
        self.weight = weight
        self.epsilon = epsilon
    }
}

/// Layer normalization (Ba, Kiros & Hinton 2016).
package struct LayerNormParameters: Sendable {
    package var weight: Vector
    package var bias: Vector
    package var epsilon: Float

    package init(weight: Vector, bias: Vector, epsilon: Float) {
        self.weight = weight
        self.bias = bias
        self.epsilon = epsilon
    }
}

/// x · Φ(x), with Φ the normal distribution (Hendrycks & Gimpel 2016), and what models take for it. Raw values are the names
/// that `hidden_act` has in Hugging Face's files.
package enum GELU: String, Sendable, CaseIterable {
    case exact = "gelu"
    /// With √(2/π) (x + 0.044715 x³) in a hyperbolic tangent.
    case tanh = "gelu_pytorch_tanh"
    /// x · sigmoid(1.702 x).
    case quick = "quick_gelu"
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
    package var scope: AttentionScope

    package init(kv: KVLayer, heads: Int, scale: Float, window: Int = 0, scope: AttentionScope = .past) {
        precondition(scope == .past || window == 0)
        self.kv = kv
        self.heads = heads
        self.scale = scale
        self.window = window
        self.scope = scope
    }

    /// Query heads that share a KV head.
    package var group: Int { heads / kv.kvHeads }
}

/// What a token attends to.
package enum AttentionScope: Sendable, Hashable {
    /// Its request's tokens up to itself.
    case past
    /// All of its request's tokens, as in a vision tower; all are computed in one step.
    case all
    /// All tokens of its window (`StepInput.appendWindow`).
    case window
}

extension Op {
    /// The name that plans and profiles print.
    package var name: String {
        switch self {
        case .embed: "embed"
        case .features: "features"
        case .replaceByFeatures: "replaceByFeatures"
        case .layerNorm: "layerNorm"
        case .gelu: "gelu"
        case .concatenate: "concatenate"
        case .groupRows: "groupRows"
        case .rmsNorm: "rmsNorm"
        case .linear: "linear"
        case .addBias: "addBias"
        case .add: "add"
        case .multiply: "multiply"
        case .silu: "silu"
        case .reorder: "reorder"
        case .roundToFloat8: "roundToFloat8"
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
        case .add, .multiply, .silu, .gelu, .addBias, .rope, .ropeStoreKV, .swiGLU, .skipRMSNorm, .replaceByFeatures: 0
        case .linearAdd: 1
        default: nil
        }
    }
}
