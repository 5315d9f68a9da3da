/// A named graph rewrite. Each is a few lines, states what it saves, and can be left out to measure that.
///
/// No rewrite changes the arithmetic: a fused kernel performs the operations of its parts in the same order, so results
/// are equal bit for bit with any subset of fusions.
package struct Fusion: Sendable {
    package let name: String
    package let reason: String
    /// True for rewrites of the conversions that legalization inserts.
    let followsLegalization: Bool
    let apply: @Sendable (inout Rewriter) -> Void

    package static let all: [Fusion] = [
        .rowsEarly, .linearBias, .swiGLU, .linearSwiGLU, .sharedInput, .linearAdd, .reorderInNorm,
        .skipRMSNorm, .ropeStoreKV, .convertInProducer,
    ]
}

extension Graph {
    /// The graph as a backend runs it: rewritten by `fusions`, with every kernel's input in the format that it reads.
    package func lowered(
        fusions: [Fusion], activationFormat: @escaping (LinearWeight) -> ActivationFormat
    ) -> Graph {
        var graph = self
        func run(_ fusions: [Fusion]) {
            for fusion in fusions {
                var rewriter = Rewriter(graph, activationFormat: activationFormat)
                fusion.apply(&rewriter)
                graph = rewriter.finish()
            }
        }
        run(fusions.filter { !$0.followsLegalization })
        graph.insertConversions(activationFormat)
        run(fusions.filter(\.followsLegalization))
        return graph
    }

    /// Legalization: a linear layer whose kernel reads q8 or bf16 gets a conversion before it; readers of the same value
    /// share it. Experts convert what they gather, and get their workspace.
    private mutating func insertConversions(_ activationFormat: (LinearWeight) -> ActivationFormat) {
        struct Key: Hashable {
            let value: ValueID
            let format: ActivationFormat
        }
        var converted: [Key: ValueID] = [:]
        var result: [Node] = []
        for var node in nodes {
            if case .experts(let experts) = node.op {
                let rows = self[node.outputs[0]].shape.rows
                for part in ExpertsWorkspace.allCases where part != .result {
                    let value = part.value(of: experts, rows: rows, activationFormat)
                    node.outputs.append(makeValue(value.shape, format: value.format))
                }
            }
            if let weight = node.op.linearWeight {
                let key = Key(value: node.inputs[0], format: activationFormat(weight))
                if key.format != .f32 {
                    if converted[key] == nil {
                        let output = makeValue(self[key.value].shape, format: key.format)
                        result.append(
                            Node(op: .convert(key.format), inputs: [key.value], outputs: [output], label: node.label))
                        converted[key] = output
                    }
                    node.inputs[0] = converted[key] ?? key.value
                }
            }
            result.append(node)
        }
        nodes = result
    }
}

/// One pass over a graph: finds patterns in the graph as it was, collects what replaces them, and rebuilds the list.
struct Rewriter {
    private(set) var graph: Graph
    private let uses: [[Int]]
    private let producers: [Int?]
    private var replacements: [Int: [Graph.Node]] = [:]
    let activationFormat: (LinearWeight) -> ActivationFormat

    init(_ graph: Graph, activationFormat: @escaping (LinearWeight) -> ActivationFormat) {
        self.graph = graph
        self.uses = graph.uses()
        self.producers = graph.producers()
        self.activationFormat = activationFormat
    }

    /// The nodes as they were, with their indices.
    var nodes: EnumeratedSequence<[Graph.Node]> { graph.nodes.enumerated() }

    /// The node that makes a value, unless another rewrite of this pass has taken it.
    func producer(of value: Graph.ValueID) -> (index: Int, node: Graph.Node)? {
        guard let index = producers[value.index], replacements[index] == nil else { return nil }
        return (index, graph.nodes[index])
    }

    /// The same, if nothing but one node reads the value.
    func soleProducer(of value: Graph.ValueID) -> (index: Int, node: Graph.Node)? {
        uses[value.index].count == 1 && graph.output != value ? producer(of: value) : nil
    }

    func readers(of value: Graph.ValueID) -> [Int] { uses[value.index] }

    mutating func makeValue(_ shape: Shape) -> Graph.ValueID { graph.makeValue(shape) }

    /// A value of the same width with a row for each sampled token.
    mutating func makeSampledValue(like value: Graph.ValueID) -> Graph.ValueID {
        graph.makeValue(Shape(.sampled, graph[value].shape.width))
    }

    mutating func setFormat(_ format: ActivationFormat, of value: Graph.ValueID) { graph[value].format = format }

    /// Puts `nodes` in the place of the node at `index`; none removes it.
    mutating func replace(_ index: Int, with nodes: Graph.Node...) { replacements[index] = nodes }

    mutating func replace(_ index: Int, with nodes: [Graph.Node]) { replacements[index] = nodes }

    consuming func finish() -> Graph {
        graph.nodes = graph.nodes.enumerated().flatMap { replacements[$0.offset] ?? [$0.element] }
        return graph
    }
}
