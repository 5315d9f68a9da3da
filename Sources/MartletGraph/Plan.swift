/// What a step replays: kernel calls in order, with fixed addresses for everything that flows between them.
package struct Plan: Sendable {
    /// Where an operand of a kernel call lies in the arena.
    package struct Operand: Sendable {
        /// Bytes from the arena's start to row 0.
        package var offset: Int
        package var shape: Shape
        package var format: ActivationFormat
        /// Floats from a row to the next (`f32` only: views of wider rows skip columns).
        package var stride: Int
    }

    package struct Call: Sendable {
        package var op: Op
        package var inputs: [Operand]
        package var outputs: [Operand]
        package var label: String
    }

    package let calls: [Call]
    package let logits: Operand
    package let arenaBytes: Int
    package let limits: StepLimits
    package let kvLayers: [KVLayer]
    package let kvType: KVType

    /// Lowers a graph and plans its memory.
    package init(
        _ graph: Graph, options: CompileOptions, activationFormat: @escaping (LinearWeight) -> ActivationFormat
    ) {
        let graph = options.output == .hiddenStates ? graph.withoutHead() : graph
        let lowered = graph.lowered(fusions: options.fusions, activationFormat: activationFormat)
        let memory = MemoryPlanner(lowered, limits: options.limits)
        func operand(_ id: Graph.ValueID) -> Operand {
            let value = lowered[id]
            guard let placement = memory.placements[id.index] else { preconditionFailure("a value without a maker") }
            let storage = memory.storages[placement.storage]
            return Operand(
                offset: storage.offset + placement.column * 4, shape: value.shape, format: value.format,
                stride: storage.width)
        }
        calls = lowered.nodes.compactMap { node in
            if case .slice = node.op { return nil }  // a view: its readers know where it lies
            return Call(
                op: node.op, inputs: node.inputs.map(operand), outputs: node.outputs.map(operand), label: node.label)
        }
        guard let output = lowered.output else { preconditionFailure("the trace was not finished") }
        logits = operand(output)
        arenaBytes = memory.arenaBytes
        limits = options.limits
        kvLayers = graph.kvLayers
        kvType = options.kvType
    }
}
