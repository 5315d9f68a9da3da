/// A tensor as it will be written.
struct OutputTensor: Sendable {
    let name: String
    /// safetensors' name of the element type.
    let type: String
    let shape: [Int]
    /// Little endian, row-major.
    let bytes: [UInt8]

    init(_ name: String, type: String, shape: [Int], bytes: [UInt8]) {
        self.name = name
        self.type = type
        self.shape = shape
        self.bytes = bytes
    }

    /// Floats in the model's 16-bit type.
    init(_ name: String, shape: [Int], _ values: some Sequence<Float>, as storage: FloatStorage) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(2 * shape.reduce(1, *))
        for value in values {
            let bits = storage.bits(value)
            bytes.append(UInt8(truncatingIfNeeded: bits))
            bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
        }
        self.init(name, type: storage.rawValue, shape: shape, bytes: bytes)
    }

    init(_ name: String, shape: [Int], _ words: [UInt32]) {
        self.init(name, type: "I32", shape: shape, bytes: words.flatMap(Self.littleEndian))
    }

    private static func littleEndian(_ word: UInt32) -> [UInt8] {
        [
            UInt8(truncatingIfNeeded: word), UInt8(truncatingIfNeeded: word >> 8),
            UInt8(truncatingIfNeeded: word >> 16), UInt8(truncatingIfNeeded: word >> 24),
        ]
    }
}
