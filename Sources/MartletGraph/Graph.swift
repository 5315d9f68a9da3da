/// The ops that a model's forward function recorded, in the order in which they run.
package struct Graph: Sendable {
    /// Index into `values`.
    package struct ValueID: Sendable, Hashable {
        package let index: Int
    }

    /// An intermediate result.
    package struct Value: Sendable {
        package var shape: Shape
        package var format: ActivationFormat = .f32
    }

    package struct Node: Sendable {
        package var op: Op
        package var inputs: [ValueID]
        package var outputs: [ValueID]
        /// Where in the model the op belongs ("layers.3.mlp.down_proj"), for plans and profiles.
        package var label: String

        package init(op: Op, inputs: [ValueID], outputs: [ValueID], label: String) {
            self.op = op
            self.inputs = inputs
            self.outputs = outputs
            self.label = label
        }
    }

    package var values: [Value] = []
    package var nodes: [Node] = []
    /// The logits.
    package var output: ValueID?

    package init() {}

    package subscript(id: ValueID) -> Value {
        get { values[id.index] }
        set { values[id.index] = newValue }
    }

    package mutating func makeValue(_ shape: Shape, format: ActivationFormat = .f32) -> ValueID {
        values.append(Value(shape: shape, format: format))
        return ValueID(index: values.count - 1)
    }

    /// Appends a node with one output.
    package mutating func record(_ op: Op, _ inputs: [ValueID], shape: Shape, label: String) -> ValueID {
        let output = makeValue(shape)
        nodes.append(Node(op: op, inputs: inputs, outputs: [output], label: label))
        return output
    }

    /// For each value, the nodes that read it, ascending.
    func uses() -> [[Int]] {
        var uses = [[Int]](repeating: [], count: values.count)
        for (index, node) in nodes.enumerated() {
            for input in node.inputs where uses[input.index].last != index {
                uses[input.index].append(index)
            }
        }
        return uses
    }

    /// For each value, the node that makes it, or nil.
    func producers() -> [Int?] {
        var producers = [Int?](repeating: nil, count: values.count)
        for (index, node) in nodes.enumerated() {
            for output in node.outputs { producers[output.index] = index }
        }
        return producers
    }

    /// Makes every reader of `old` read `new`.
    mutating func replaceUses(of old: ValueID, with new: ValueID) {
        for index in nodes.indices {
            nodes[index].inputs = nodes[index].inputs.map { $0 == old ? new : $0 }
        }
        if output == old { output = new }
    }

    /// The graph of a language model up to its output projection: the result is what that reads, the sampled rows behind
    /// the final norm.
    func withoutHead() -> Graph {
        let selection = nodes.lastIndex {
            if case .rows = $0.op { true } else { false }
        }
        guard let selection else { preconditionFailure("a language model selects its sampled rows") }
        var graph = self
        graph.nodes.removeSubrange((selection + 1)...)
        graph.output = nodes[selection].outputs[0]
        return graph
    }

    /// Layers that keep K and V, ascending: what the KV pool must hold. The layers of a vision tower take turns with one
    /// place, as nothing of it is read again.
    package var kvLayers: [KVLayer] {
        var seen = Set<KVLayer>()
        return nodes.compactMap {
            switch $0.op {
            case .storeKV(let layer), .ropeStoreKV(_, let layer): seen.insert(layer).inserted ? layer : nil
            default: nil
            }
        }
    }
}
