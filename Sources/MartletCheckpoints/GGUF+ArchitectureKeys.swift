/// The metadata keys that start with the architecture's name, as in `llama.block_count`.
struct ArchitectureKeys {
    let metadata: GGUF.Metadata
    /// `general.architecture`.
    let architecture: String

    init(_ metadata: GGUF.Metadata) throws(CheckpointError) {
        self.metadata = metadata
        architecture = try metadata.required(metadata.string("general.architecture"), "general.architecture")
    }

    func integer(_ key: String) throws(CheckpointError) -> Int? { try metadata.integer(full(key)) }
    func number(_ key: String) throws(CheckpointError) -> Double? { try metadata.number(full(key)) }
    func boolean(_ key: String) throws(CheckpointError) -> Bool? { try metadata.boolean(full(key)) }
    func string(_ key: String) throws(CheckpointError) -> String? { try metadata.string(full(key)) }

    /// A size from 1 to `limit` that must be there.
    func size(_ key: String, limit: Int) throws(CheckpointError) -> Int {
        try required(optionalSize(key, limit: limit), key)
    }

    /// A size from 1 to `limit`. Some writers give one value per layer; they must agree.
    func optionalSize(
        _ key: String, limit: Int, zeroMeansAbsent: Bool = false
    ) throws(CheckpointError) -> Int? {
        guard let value = metadata[full(key)] else { return nil }
        let size: Int
        if case .array = value {
            let layers = try metadata.integers(full(key)) ?? []
            guard let first = layers.first, layers.allSatisfy({ $0 == first }) else {
                throw failure(key, "differs from layer to layer, which is not supported")
            }
            size = first
        } else {
            size = try required(integer(key), key)
        }
        if size == 0, zeroMeansAbsent { return nil }
        guard (1...limit).contains(size) else { throw failure(key, "is \(size), not 1 to \(limit)") }
        return size
    }

    /// A finite number above 0 and below `bound` that must be there.
    func positiveNumber(_ key: String, below bound: Double) throws(CheckpointError) -> Double {
        try required(optionalPositiveNumber(key, below: bound), key)
    }

    /// A finite number above 0 and below `bound`.
    func optionalPositiveNumber(_ key: String, below bound: Double) throws(CheckpointError) -> Double? {
        guard let value = try number(key) else { return nil }
        guard value > 0, value < bound else { throw failure(key, "is \(value), not above 0 and below \(bound)") }
        return value
    }

    /// `value`, or an error that says that the key is missing.
    func required<Value>(_ value: Value?, _ key: String) throws(CheckpointError) -> Value {
        try metadata.required(value, full(key))
    }

    func failure(_ key: String, _ reason: String) -> CheckpointError { metadata.failure(full(key), reason) }

    private func full(_ key: String) -> String { "\(architecture).\(key)" }
}
