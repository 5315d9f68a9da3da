/// Gives every intermediate a fixed place in one arena, by liveness.
///
/// Views share the storage of what they view, and an op that may work in place takes over its input's storage when
/// nothing reads that input afterwards. Storages that are alive together never overlap; addresses never move, so that a
/// plan can be replayed, and captured, without looking anything up.
struct MemoryPlanner {
    /// Where a value lies.
    struct Placement {
        var storage: Int
        /// Columns between the storage's row start and the value's.
        var column: Int
    }

    /// A piece of the arena, in use from the node `first` to the node `last`.
    struct Storage {
        var bytes: Int
        /// Columns of a row.
        var width: Int
        var first: Int
        var last: Int
        var offset = 0
    }

    private(set) var placements: [Placement?]
    private(set) var storages: [Storage] = []
    private(set) var arenaBytes = 0

    /// Every storage starts on a boundary of this many bytes: two cache lines, which adjacent-line prefetch pairs.
    static let alignment = 128

    init(_ graph: Graph, limits: StepLimits) {
        placements = Array(repeating: nil, count: graph.values.count)
        let uses = graph.uses()
        for (index, node) in graph.nodes.enumerated() {
            for (position, output) in node.outputs.enumerated() {
                if let shared = sharedPlacement(of: node, at: index, output: position, graph, uses) {
                    placements[output.index] = shared
                } else {
                    let value = graph[output]
                    let rows = value.shape.rows == .tokens ? limits.tokens : limits.sampled
                    placements[output.index] = Placement(storage: storages.count, column: 0)
                    storages.append(
                        Storage(
                            bytes: rows * value.format.rowBytes(value.shape.width), width: value.shape.width,
                            first: index,
                            last: index))
                }
                let lastUse = output == graph.output ? graph.nodes.count : uses[output.index].last ?? index
                if let storage = placements[output.index]?.storage {
                    storages[storage].last = max(storages[storage].last, lastUse)
                }
            }
        }
        assignOffsets()
    }

    /// The placement of an output that needs no storage of its own.
    private func sharedPlacement(
        of node: Graph.Node, at index: Int, output position: Int, _ graph: Graph, _ uses: [[Int]]
    ) -> Placement? {
        if case .slice(let offset) = node.op {
            return placements[node.inputs[0].index].map { Placement(storage: $0.storage, column: $0.column + offset) }
        }
        guard position == 0, let input = node.op.inPlaceInput.map({ node.inputs[$0] }),
            uses[input.index].last == index, graph.output != input,
            graph[input].format == graph[node.outputs[0]].format, graph[input].shape == graph[node.outputs[0]].shape,
            let placement = placements[input.index]
        else { return nil }
        // A view's rows lie apart. Attention reads such rows; the float kernels of a linear layer want dense ones.
        let isDense = storages[placement.storage].width == graph[input].shape.width
        return isDense || node.op.feedsAttention ? placement : nil
    }

    /// First fit, largest first: the classic greedy for offline interval allocation.
    private mutating func assignOffsets() {
        let order = storages.indices.sorted {
            (storages[$0].bytes, storages[$1].first) > (storages[$1].bytes, storages[$0].first)
        }
        var placed: [Int] = []
        for index in order {
            let storage = storages[index]
            let neighbours =
                placed
                .filter { storages[$0].first <= storage.last && storage.first <= storages[$0].last }
                .sorted { storages[$0].offset < storages[$1].offset }
            var offset = 0
            for neighbour in neighbours {
                if offset + storage.bytes <= storages[neighbour].offset { break }
                offset = max(offset, Self.aligned(storages[neighbour].offset + storages[neighbour].bytes))
            }
            storages[index].offset = offset
            placed.append(index)
            arenaBytes = max(arenaBytes, Self.aligned(offset + storage.bytes))
        }
    }

    private static func aligned(_ bytes: Int) -> Int { (bytes + alignment - 1) / alignment * alignment }
}
