/// A mixture of experts (Shazeer et al. 2017): each token goes through the `perToken` of many SwiGLU networks to which its
/// router gives the largest probability, and their results are added, weighted with it.
package struct Experts: Sendable {
    /// Of each expert, `[inner, hidden]`, `[inner, hidden]` and `[hidden, inner]`. An expert's gate and up take their input in
    /// the same order of columns, its down projection as it comes.
    package let gate: [LinearWeight]
    package let up: [LinearWeight]
    package let down: [LinearWeight]
    /// Experts that a token goes through.
    package let perToken: Int
    /// The chosen experts' probabilities are divided by their sum.
    package let normalizesWeights: Bool

    package init(
        gate: [LinearWeight], up: [LinearWeight], down: [LinearWeight], perToken: Int, normalizesWeights: Bool
    ) {
        precondition(gate.count == up.count && gate.count == down.count && (1...gate.count).contains(perToken))
        precondition(zip(gate, up).allSatisfy { $0.inputOrder === $1.inputOrder })
        precondition(down.allSatisfy { $0.inputOrder == nil })
        self.gate = gate
        self.up = up
        self.down = down
        self.perToken = perToken
        self.normalizesWeights = normalizesWeights
    }

    package var count: Int { gate.count }
    /// Width of the residual stream.
    package var width: Int { gate[0].columns }
    /// Width of one expert.
    package var inner: Int { gate[0].rows }
    package var weights: [LinearWeight] { gate + up + down }
}

/// What the op needs beside its result, in the places of further outputs. A *pair* is a token and one of its experts; pairs
/// lie sorted by expert, so that an expert's tokens are the rows of one matrix product.
package enum ExpertsWorkspace: Int, CaseIterable {
    case result
    /// Each pair's input, in the format that the first products read.
    case gathered
    /// Each pair's silu(gate) · up, in the format that the last product reads.
    case activated
    /// Each pair's result.
    case products

    /// The columns per token and the format of a workspace.
    func value(
        of experts: Experts, rows: RowSpace, _ activationFormat: (LinearWeight) -> ActivationFormat
    ) -> Graph.Value {
        func pairs(_ width: Int, _ format: ActivationFormat) -> Graph.Value {
            Graph.Value(shape: Shape(rows, experts.perToken * format.paddedColumns(width)), format: format)
        }
        return switch self {
        case .result: Graph.Value(shape: Shape(rows, experts.width))
        case .gathered: pairs(experts.width, activationFormat(experts.gate[0]))
        case .activated: pairs(experts.inner, activationFormat(experts.down[0]))
        case .products: pairs(experts.width, .f32)
        }
    }
}
