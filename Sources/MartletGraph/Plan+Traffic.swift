/// Bytes that a kernel call must move and the operations that it performs in a given step.
package struct Traffic: Sendable {
    /// Weights and embedding rows.
    package var weightBytes = 0
    /// Rows of the KV pool, read or written.
    package var kvBytes = 0
    /// Intermediates read and written.
    package var activationBytes = 0
    /// Multiplications and additions of matrix products and attention.
    package var operations = 0

    package var bytes: Int { weightBytes + kvBytes + activationBytes }

    package static func + (a: Traffic, b: Traffic) -> Traffic {
        Traffic(
            weightBytes: a.weightBytes + b.weightBytes, kvBytes: a.kvBytes + b.kvBytes,
            activationBytes: a.activationBytes + b.activationBytes, operations: a.operations + b.operations)
    }
}

extension Plan {
    /// The step that traffic is counted for.
    package struct StepShape: Sendable {
        package var tokens: Int
        package var sampled: Int
        /// Positions that each token sees, on average.
        package var context: Int

        package init(tokens: Int, sampled: Int, context: Int) {
            self.tokens = tokens
            self.sampled = sampled
            self.context = context
        }

        /// One decoded token after `context` positions.
        package static func decode(context: Int) -> StepShape { .init(tokens: 1, sampled: 1, context: context) }
    }

    /// What one call moves, each operand counted once: what the memory system sees when caches hold nothing between calls.
    package func traffic(of call: Call, in step: StepShape) -> Traffic {
        var traffic = Traffic()
        for operand in call.inputs + call.outputs {
            traffic.activationBytes += step.rows(operand.shape.rows) * operand.format.rowBytes(operand.shape.width)
        }
        let rows = call.outputs.first.map { step.rows($0.shape.rows) } ?? 0
        switch call.op {
        case .embed(let table):
            traffic.weightBytes = rows * (table.byteCount / max(table.rows, 1))
        case .linear(let weight), .linearAdd(let weight), .linearSwiGLU(let weight):
            traffic.weightBytes = weight.byteCount
            traffic.operations = 2 * rows * weight.rows * weight.columns
        case .experts(let experts):
            // An expert's weights are read if any token is sent to it; tokens rarely agree.
            let active = min(experts.count, rows * experts.perToken)
            traffic.weightBytes = experts.weights.reduce(0) { $0 + $1.byteCount } / experts.count * active
            traffic.operations = 6 * rows * experts.perToken * experts.width * experts.inner
        case .storeKV(let layer), .ropeStoreKV(_, let layer):
            traffic.kvBytes = step.tokens * layer.rowBytes(kvType)
        case .attention(let attention):
            let context = attention.window > 0 ? min(attention.window, step.context) : step.context
            traffic.kvBytes = context * attention.kv.rowBytes(kvType)
            traffic.operations = 4 * step.tokens * context * attention.heads * attention.kv.headDim
        default: break
        }
        return traffic
    }

    /// What the whole step moves.
    package func traffic(in step: StepShape) -> Traffic {
        calls.reduce(Traffic()) { $0 + traffic(of: $1, in: step) }
    }

    /// Bytes of K and V that one token takes in all layers.
    package var kvBytesPerToken: Int { kvLayers.reduce(0) { $0 + $1.rowBytes(kvType) } }
}

extension Plan.StepShape {
    func rows(_ space: RowSpace) -> Int { space == .tokens ? tokens : sampled }
}

extension KVLayer {
    /// Bytes of one token's K and V.
    package func rowBytes(_ type: KVType) -> Int { kvHeads * type.rowBytes(headDim: headDim) }
}
