import MartletCheckpoints

/// What a checkpoint holds, by numbers.
struct ModelSummary: Encodable {
    struct TypeShare: Encodable {
        let type: String
        let tensors: Int
        let parameters: Int
        let bytes: Int
    }

    let architecture: String
    let name: String?
    let parameters: Int
    /// Of all tensors in the file.
    let bytes: Int
    /// Largest share first.
    let types: [TypeShare]

    init(_ checkpoint: Checkpoint) throws {
        var shares: [String: TypeShare] = [:]
        for name in checkpoint.tensorNames {
            let tensor = try checkpoint.tensor(name)
            let share = shares[tensor.type.name]
            shares[tensor.type.name] = TypeShare(
                type: tensor.type.name, tensors: (share?.tensors ?? 0) + 1,
                parameters: (share?.parameters ?? 0) + tensor.rows * tensor.columns,
                bytes: (share?.bytes ?? 0) + tensor.descriptor.byteRange.count)
        }
        architecture = checkpoint.configuration.architecture
        name = checkpoint.configuration.name
        types = shares.values.sorted { ($0.bytes, $1.type) > ($1.bytes, $0.type) }
        parameters = types.reduce(0) { $0 + $1.parameters }
        bytes = types.reduce(0) { $0 + $1.bytes }
    }

    /// As llama-bench names models: "llama 134.5 M Q4_1".
    var label: String {
        ([architecture, Quantities.count(parameters)] + types.prefix(1).map(\.type)).joined(separator: " ")
    }
}
