package import MartletGraph

/// The optimization ladder (docs/LADDER.md): each step keeps what the ones before it brought, and the last is how
/// Martlet runs.
package enum LadderStep: Int, CaseIterable, Sendable {
    /// Scores in memory, softmax, a second pass; contiguous K and V repeated for every query head; every op a call of its
    /// own, planned anew in each step.
    case plainAttention = 1
    /// FlashAttention (Dao et al. 2022): no score is stored.
    case tiledAttention
    /// Flash-Decoding (Dao et al. 2023): workers share a long context.
    case splitDecoding
    /// Rows of one pool (TokenAttention) in kernel-ready pages, and GQA by index (Ainslie et al. 2023): nothing repeated.
    case tokenLevelKV
    /// All graph rewrites (`Fusion.all`).
    case fusion
    /// Traced and planned once, at load; a step replays it.
    case capturedPlan

    package var title: String {
        switch self {
        case .plainAttention: "plain attention"
        case .tiledAttention: "+ tiled attention"
        case .splitDecoding: "+ split-KV decoding"
        case .tokenLevelKV: "+ token-level KV, GQA by index"
        case .fusion: "+ fusion"
        case .capturedPlan: "+ captured plan"
        }
    }

    package var attention: AttentionMethod {
        switch self {
        case .plainAttention: .plain
        case .tiledAttention: .tiled
        case .splitDecoding: .splitTiled
        case .tokenLevelKV, .fusion, .capturedPlan: .paged
        }
    }

    package var isFused: Bool { self == .fusion || self == .capturedPlan }
    package var isCaptured: Bool { self == .capturedPlan }
    /// Whether its logits equal the last step's bit for bit: fusion and planning change no arithmetic, another order of
    /// additions in attention does.
    package var isBitExact: Bool { attention == .paged }
}
