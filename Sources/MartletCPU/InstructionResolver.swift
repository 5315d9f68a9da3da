import CKernels
import MartletGraph

/// What attention needs beyond its operands.
struct AttentionCall {
    var layer: KVPool.Layer
    var heads: Int
    var group: Int
    var scale: Float
    var window: Int
    var scope: AttentionScope
    var query: Rows
    var out: Rows
}

/// Where a program keeps K and V.
enum KVMemory {
    case pool(KVPool)
    case rows(RowAttention)
}

/// Turns a plan's calls into instructions: operands become addresses, weights become panels.
struct InstructionResolver {
    let plan: Plan
    let weights: PackedWeights
    let kv: KVMemory
    let arena: AlignedMemory
    let parameters: ParameterMemory

    func rows(_ operand: Plan.Operand) -> Rows {
        Rows(
            base: arena.base + operand.offset, stride: operand.stride, width: operand.shape.width,
            format: operand.format, isSampled: operand.shape.rows == .sampled)
    }

    /// The program: rotary angles first, then one instruction per call.
    func instructions() -> [Instruction] {
        var rotaries: [RotaryEmbedding: RotaryTable] = [:]
        for call in plan.calls {
            switch call.op {
            case .rope(let rotary, _), .ropeStoreKV(let rotary, _):
                if rotaries[rotary] == nil { rotaries[rotary] = table(rotary) }
            default: break
            }
        }
        var layers: [Int: KVPool.Layer] = [:]
        if case .pool(let pool) = kv {
            layers = Dictionary(uniqueKeysWithValues: zip(plan.kvLayers.map(\.layer), pool.layers))
        }
        func layer(_ shape: KVLayer) -> KVPool.Layer {
            guard let layer = layers[shape.layer] else { preconditionFailure("no KV pool for layer \(shape.layer)") }
            return layer
        }
        func rotary(_ embedding: RotaryEmbedding) -> RotaryTable { rotaries[embedding] ?? table(embedding) }
        func instruction(_ call: Plan.Call) -> Instruction {
            let inputs = call.inputs.map(rows)
            if call.op.linearWeight != nil {
                precondition(inputs[0].format != .f32 || inputs[0].stride == inputs[0].width, "dense float rows")
            }
            let outputs = call.outputs.map(rows)
            switch call.op {
            case .embed(let weight):
                return .embed(.passUnretained(weights[weight]), out: outputs[0])
            case .features(let column):
                return .features(column: column, out: outputs[0])
            case .replaceByFeatures: return .replaceByFeatures(x: inputs[0], out: outputs[0])
            case .layerNorm(let norm):
                return .layerNorm(
                    weight: parameters.store(norm.weight.values), bias: parameters.store(norm.bias.values),
                    epsilon: norm.epsilon, x: inputs[0], out: outputs[0])
            case .rmsNorm(let norm):
                return .rmsNorm(
                    weight: parameters.store(norm.weight.values), group: norm.weight.values.count,
                    epsilon: norm.epsilon, order: norm.order.map { parameters.store($0.indices) }, x: inputs[0],
                    out: outputs[0])
            case .skipRMSNorm(let norm):
                return .skipRMSNorm(
                    weight: parameters.store(norm.weight.values), epsilon: norm.epsilon,
                    order: norm.order.map { parameters.store($0.indices) }, residual: inputs[0], x: inputs[1],
                    sum: outputs[0], out: outputs[1])
            case .linear(let weight):
                return .linear(view(weight), x: inputs[0], residual: nil, out: outputs[0])
            case .linearAdd(let weight):
                return .linear(view(weight), x: inputs[0], residual: inputs[1], out: outputs[0])
            case .linearSwiGLU(let weight):
                return .linearSwiGLU(view(weight), x: inputs[0], out: outputs[0])
            case .addBias(let bias):
                return .addBias(parameters.store(bias.values), x: inputs[0], out: outputs[0])
            case .add: return .add(inputs[0], inputs[1], out: outputs[0])
            case .multiply: return .multiply(inputs[0], inputs[1], out: outputs[0])
            case .silu: return .silu(inputs[0], out: outputs[0])
            case .gelu(let kind): return .gelu(kind.kernel, x: inputs[0], out: outputs[0])
            case .reorder(let order): return .reorder(parameters.store(order.indices), x: inputs[0], out: outputs[0])
            case .roundToFloat8: return .roundToFloat8(x: inputs[0], out: outputs[0])
            case .groupRows(let count): return .groupRows(count: count, x: inputs[0], out: outputs[0])
            case .swiGLU: return .swiGLU(gate: inputs[0], up: inputs[1], out: outputs[0])
            case .rope(let embedding, let headDim):
                return .rope(rotary(embedding), headDim: headDim, x: inputs[0], out: outputs[0])
            case .storeKV(let shape):
                return .storeKV(layer(shape), k: inputs[0], v: inputs[1])
            case .ropeStoreKV(let embedding, let shape):
                return .ropeStoreKV(
                    rotary(embedding), layer(shape), q: inputs[0], k: inputs[1], v: inputs[2], out: outputs[0])
            case .attention(let attention):
                return .attention(
                    AttentionCall(
                        layer: layer(attention.kv), heads: attention.heads, group: attention.group,
                        scale: attention.scale, window: attention.window, scope: attention.scope, query: inputs[0],
                        out: outputs[0]))
            case .experts(let experts):
                return .experts(expertsCall(experts, inputs: inputs, outputs: outputs))
            case .rows: return .rows(x: inputs[0], out: outputs[0])
            case .convert: return .convert(x: inputs[0], out: outputs[0])
            case .slice, .concatenate: preconditionFailure("\(call.op.name) is no instruction")
            }
        }
        return rotaries.values.map(Instruction.angles)
            + plan.calls.flatMap { call -> [Instruction] in
                if case .concatenate = call.op { return concatenate(call) }
                guard case .rows(let attention) = kv else { return [instruction(call)] }
                return rowInstructions(call, attention, rotary) ?? [instruction(call)]
            }
    }

    /// Every part is copied to its columns.
    private func concatenate(_ call: Plan.Call) -> [Instruction] {
        var column = 0
        return call.inputs.map { part in
            defer { column += part.shape.width }
            return .copyColumns(x: rows(part), column: column, out: rows(call.outputs[0]))
        }
    }

    /// What a call becomes where K and V are plain rows; nil if they are no concern of the call's.
    private func rowInstructions(
        _ call: Plan.Call, _ attention: RowAttention, _ rotary: (RotaryEmbedding) -> RotaryTable
    ) -> [Instruction]? {
        let inputs = call.inputs.map(rows)
        switch call.op {
        case .storeKV(let layer): return [attention.store(layer, k: inputs[0], v: inputs[1])]
        case .ropeStoreKV(let embedding, let layer):
            let (table, headDim) = (rotary(embedding), layer.headDim)
            return [
                .rope(table, headDim: headDim, x: inputs[0], out: rows(call.outputs[0])),
                .rope(table, headDim: headDim, x: inputs[1], out: inputs[1]),
                attention.store(layer, k: inputs[1], v: inputs[2]),
            ]
        case .attention(let parameters):
            return [attention.attention(parameters, query: inputs[0], out: rows(call.outputs[0]))]
        default: return nil
        }
    }

    private func expertsCall(_ experts: Experts, inputs: [Rows], outputs: [Rows]) -> ExpertsCall {
        func views(_ weights: [LinearWeight]) -> UnsafeMutablePointer<MatrixView> {
            let views = weights.map(view)
            let block = parameters.allocate(views.count, of: views[0])
            block.update(from: views, count: views.count)
            return block
        }
        let orders = parameters.allocate(experts.count, of: nil as UnsafeMutablePointer<Int32>?)
        for (expert, weight) in experts.gate.enumerated() {
            orders[expert] = weight.inputOrder.map { parameters.store($0.indices) }
        }
        func workspace(_ part: ExpertsWorkspace) -> Rows { outputs[part.rawValue] }
        let rows = outputs[0].isSampled ? plan.limits.sampled : plan.limits.tokens
        let pairs = rows * experts.perToken
        return ExpertsCall(
            gate: views(experts.gate), up: views(experts.up), down: views(experts.down), count: experts.count,
            orders: orders, perToken: experts.perToken, normalizesWeights: experts.normalizesWeights,
            width: experts.width,
            inner: experts.inner, x: inputs[0], logits: inputs[1], out: outputs[0], gathered: workspace(.gathered),
            activated: workspace(.activated), products: workspace(.products).floats,
            chosen: parameters.allocate(pairs, of: 0), weights: parameters.allocate(pairs),
            pairs: parameters.allocate(pairs, of: 0), places: parameters.allocate(pairs, of: 0),
            starts: parameters.allocate(experts.count + 1, of: 0), active: parameters.allocate(experts.count, of: 0),
            activeCount: parameters.allocate(1, of: 0))
    }

    private func view(_ weight: LinearWeight) -> MatrixView {
        let matrix = weights[weight]
        // Reading in runs of 256 KB is as fast as reading on (measured: 64 KB reach 0.9, 16 KB 0.6 of that).
        let panelBytes = Int(ck_panel_bytes(matrix.segments[0].layout, Int64(matrix.columns)))
        return MatrixView(
            segments: matrix.segments, bias: matrix.bias, panelCount: matrix.panelCount,
            runPanels: max(1, (256 << 10) / max(panelBytes, 1)))
    }

    private func table(_ rotary: RotaryEmbedding) -> RotaryTable {
        RotaryTable(
            inverseFrequencies: parameters.store(rotary.inverseFrequencies), attentionFactor: rotary.attentionFactor,
            pairs: rotary.inverseFrequencies.count, axes: rotary.axes.isEmpty ? nil : parameters.store(rotary.axes),
            angles: parameters.allocate(plan.limits.tokens * rotary.dimensions))
    }
}

extension GELU {
    fileprivate var kernel: ck_gelu {
        switch self {
        case .exact: CK_GELU_ERF
        case .tanh: CK_GELU_TANH
        case .quick: CK_GELU_QUICK
        }
    }
}
