import MartletCPU
import MartletGraph

/// Runs one decoder layer over rows of hidden states, in float32, and shows what its linear layers are given.
///
/// The layer is cut out of the traced model: the values that come in are replaced by rows that the step brings, and what goes
/// out, with the inputs of the linear layers beside it, takes the place of the logits. So every architecture's attention,
/// rotary scaling and norms are those of the engine.
struct LayerForward {
    /// What a row of the result shows.
    enum View {
        /// The hidden states that leave the layer.
        case output
        /// These, and the inputs of all linear layers.
        case all
        /// The input of one linear layer ("mlp.down_proj"), and of those that share it. Nothing behind it is computed.
        case input(String)
    }

    /// Where something lies in a row of the result.
    struct Output {
        /// The hidden states that leave the layer; empty where they are not shown.
        let hidden: Range<Int>
        /// The input of each linear layer, by its name in the model; equal ranges for those that share one.
        let inputs: [String: Range<Int>]
    }

    let output: Output
    private let model: any CompiledModel
    private let input: StepInput
    private let table: [Int32]
    /// Width of the hidden states that enter the layer.
    private let width: Int

    /// - Parameters:
    ///   - graph: of the whole model.
    ///   - parameters: the layer's weights, in place of those in the graph.
    ///   - view: what to show.
    ///   - length: tokens of a sample.
    init(
        _ graph: Graph, layer: Int, _ parameters: LayerParameters, view: View, length: Int, backend: CPUBackend
    ) throws {
        let (graph, width, output) = try Self.cut(layer, outOf: graph, parameters, view: view)
        self.output = output
        self.width = width
        let limits = StepLimits(tokens: length, sampled: length, requests: 1)
        model = try backend.compile(
            graph, options: CompileOptions(limits: limits, kvRows: length, kvType: .f32), progress: { _ in })
        input = StepInput(limits: limits)
        table = (0..<length).map(Int32.init)
    }

    /// Width of a row of the result.
    var rowWidth: Int { model.plan.logits.shape.width }

    /// Computes one sample.
    ///
    /// - Parameter hidden: what enters the layer, `[tokens][width]`.
    /// - Returns: a row per token, laid out as `output` says; valid until the next call.
    func callAsFunction(_ hidden: UnsafeBufferPointer<Float>) -> StridedMatrix {
        let tokens = hidden.count / width
        let features = TokenFeatures(spans: [.init(first: 0, rows: FeatureRows(hidden, width: width))])
        input.removeAll()
        let rows: UnsafeBufferPointer<Float> = table.withUnsafeBufferPointer { table in
            // Token ids mean nothing here: every token brings its row.
            let ids = [Int32](repeating: 0, count: tokens)
            // Non-empty, as a sample has a token at least.
            guard let base = table.baseAddress else { return UnsafeBufferPointer(start: nil, count: 0) }
            ids.withUnsafeBufferPointer {
                input.append(query: $0, computed: 0, table: base, sampledTail: tokens, features: features)
            }
            return withExtendedLifetime(features) { model.run(input) }
        }
        precondition(rows.count == tokens * rowWidth)
        return StridedMatrix(
            UnsafeMutablePointer(mutating: rows.baseAddress.unsafelyUnwrapped), rows: tokens, columns: rowWidth,
            rowStride: rowWidth)
    }

    // MARK: Cutting

    private static func cut(
        _ layer: Int, outOf model: Graph, _ parameters: LayerParameters, view: View
    ) throws -> (graph: Graph, width: Int, output: Output) {
        let scope = "layers.\(layer)"
        let nodes = model.nodes.filter { $0.label == scope || $0.label.hasPrefix(scope + ".") }
        let made = Set(nodes.flatMap(\.outputs))
        // What enters is what the layer reads and does not make; what leaves is what it makes last.
        guard let entry = nodes.lazy.flatMap(\.inputs).first(where: { !made.contains($0) }),
            let exit = nodes.last?.outputs.first
        else { throw QuantizationError("\(parameters.name) is no part of the model's graph") }

        var graph = Graph()
        let width = model[entry].shape.width
        var ids = [
            entry: graph.record(.features(column: 0), [], shape: Shape(.tokens, width), label: scope)
        ]
        var tapped: [(linear: String, value: Graph.ValueID)] = []
        for node in nodes {
            let inputs = node.inputs.compactMap { ids[$0] }
            precondition(inputs.count == node.inputs.count, "the layer reads something from outside")
            if case .linear(let weight) = node.op {
                tapped.append((weight.name, inputs[0]))
                if case .input(let linear) = view, weight.name == "\(parameters.name).\(linear)" { break }
            }
            let outputs = node.outputs.map { id in
                let new = graph.makeValue(model[id].shape)
                ids[id] = new
                return new
            }
            graph.nodes.append(
                .init(
                    op: replaced(node.op, parameters), inputs: inputs, outputs: outputs, label: node.label))
        }
        var parts: [Graph.ValueID] = []
        var column = 0
        func show(_ value: Graph.ValueID) -> Range<Int> {
            parts.append(value)
            column += graph[value].shape.width
            return column - graph[value].shape.width..<column
        }
        var hidden = 0..<0
        switch view {
        case .output, .all:
            guard let exit = ids[exit] else { throw QuantizationError("\(parameters.name) has no output") }
            hidden = show(exit)
            if case .output = view { tapped = [] }
        case .input(let linear):
            guard let last = tapped.last, last.linear == "\(parameters.name).\(linear)" else {
                throw QuantizationError("\(parameters.name).\(linear) is no part of the model's graph")
            }
            tapped = [last]
        }
        var places: [Graph.ValueID: Range<Int>] = [:]
        var inputs: [String: Range<Int>] = [:]
        for (linear, value) in tapped {
            let place = places[value] ?? show(value)
            places[value] = place
            inputs[linear] = place
        }
        let joined =
            parts.count == 1
            ? parts[0] : graph.record(.concatenate, parts, shape: Shape(.tokens, column), label: scope)
        graph.output = graph.record(.rows, [joined], shape: Shape(.sampled, column), label: scope)
        return (graph, width, Output(hidden: hidden, inputs: inputs))
    }

    /// The op with the layer's weights as they are now.
    private static func replaced(_ op: Op, _ parameters: LayerParameters) -> Op {
        let prefix = parameters.name.count + 1
        func vector(_ old: Vector) -> Vector {
            parameters.vectors[String(old.name.dropFirst(prefix))].map { Vector(old.name, $0) } ?? old
        }
        switch op {
        case .linear(let weight):
            guard let matrix = parameters.weights[String(weight.name.dropFirst(prefix))] else { return op }
            return .linear(LinearWeight(weight.name, MatrixWeight(matrix: matrix)))
        case .rmsNorm(let norm): return .rmsNorm(.init(weight: vector(norm.weight), epsilon: norm.epsilon))
        case .addBias(let bias): return .addBias(vector(bias))
        default: return op
        }
    }
}
