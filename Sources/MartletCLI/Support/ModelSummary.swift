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
    /// How the linear layers are quantized, in words; nil for plain numbers and for GGUF files, whose types say it.
    let quantization: String?
    let parameters: Int
    /// Of all tensors in the file.
    let bytes: Int
    /// Largest share first.
    let types: [TypeShare]

    init(_ checkpoint: Checkpoint) throws {
        let configuration = checkpoint.configuration
        var shares: [String: TypeShare] = [:]
        for name in checkpoint.tensorNames {
            let tensor = try checkpoint.tensor(name)
            let share = shares[tensor.type.name]
            let parameters = configuration.quantization?.parameterCount(tensor) ?? tensor.rows * tensor.columns
            shares[tensor.type.name] = TypeShare(
                type: tensor.type.name, tensors: (share?.tensors ?? 0) + 1,
                parameters: (share?.parameters ?? 0) + parameters,
                bytes: (share?.bytes ?? 0) + tensor.descriptor.byteRange.count)
        }
        architecture = configuration.architecture
        name = configuration.name
        quantization = configuration.quantization?.description
        kind = configuration.quantization?.kind
        types = shares.values.sorted { ($0.bytes, $1.type) > ($1.bytes, $0.type) }
        parameters = types.reduce(0) { $0 + $1.parameters }
        bytes = types.reduce(0) { $0 + $1.bytes }
    }

    private let kind: String?

    private enum CodingKeys: CodingKey {
        case architecture, name, quantization, parameters, bytes, types
    }

    /// As llama-bench names models: "llama 134.5 M Q4_1".
    var label: String {
        let kind = kind ?? types.first?.type
        return ([architecture, Quantities.count(parameters)] + (kind.map { [$0] } ?? [])).joined(separator: " ")
    }
}
