/// How codes lie in a file. Each format is one that vLLM, transformers and Martlet read.
package enum QuantizedFormat: String, Sendable, CaseIterable, Codable {
    /// AutoAWQ's GEMM version: 4 bits, eight output columns in a word.
    case awq
    /// GPTQModel's: codes of consecutive inputs in a word. Symmetric codes are written in version 1, which stores zero points less
    /// one and which every reader knows; others in version 2, as GPTQModel refuses zero points of version 1 that it hasn't made.
    case gptq
    /// compressed-tensors `pack-quantized`: weights only.
    case packQuantized = "pack-quantized"
    /// compressed-tensors `int-quantized`: 8-bit weights and activations.
    case intQuantized = "int-quantized"

    /// What a method's own tool writes.
    init(_ method: QuantizationSettings.Method) {
        switch method {
        case .awq: self = .awq
        case .gptq: self = .gptq
        case .rtn: self = .packQuantized
        case .smoothquant: self = .intQuantized
        }
    }

    /// Whether the last group of a row may have fewer columns than the others.
    var allowsTails: Bool { self == .gptq }

    /// Scales have the model's type in compressed-tensors, and are halves in the older formats.
    func scaleStorage(model: FloatStorage) -> FloatStorage {
        switch self {
        case .awq, .gptq: .f16
        case .packQuantized, .intQuantized: model
        }
    }

    /// What the outputs and inputs of a layer must be multiples of, so that words are full.
    func alignment(bits: Int, isSymmetric: Bool) -> (rows: Int, columns: Int) {
        switch self {
        case .awq: (32 / bits, 1)
        case .gptq: (32 / bits, 32 / bits)
        case .packQuantized: (isSymmetric ? 1 : 32 / bits, 32 / bits)
        case .intQuantized: (1, 1)
        }
    }

    /// The tensors of the layer `name`.
    func tensors(_ name: String, _ matrix: QuantizedMatrix, scales: FloatStorage) -> [OutputTensor] {
        switch self {
        case .awq: Self.awq(name, matrix)
        case .gptq: Self.gptq(name, matrix)
        case .packQuantized: Self.packQuantized(name, matrix, scales)
        case .intQuantized: Self.intQuantized(name, matrix, scales)
        }
    }
}

extension QuantizedFormat {
    /// The output column, among the eight of a word, that lies in each nibble.
    private static let awqOrder = [0, 2, 4, 6, 1, 3, 5, 7]

    private static func awq(_ name: String, _ matrix: QuantizedMatrix) -> [OutputTensor] {
        let (rows, columns, groups) = (matrix.rows, matrix.columns, matrix.groups)
        /// Values of `count` rows, transposed, eight rows in a word.
        func pack(_ values: UnsafePointer<UInt8>, count: Int) -> [UInt32] {
            var words = [UInt32](repeating: 0, count: count * rows / 8)
            for block in 0..<rows / 8 {
                for (nibble, lane) in awqOrder.enumerated() {
                    let source = values + (8 * block + lane) * count
                    for index in 0..<count {
                        words[index * (rows / 8) + block] |= UInt32(source[index]) << UInt32(4 * nibble)
                    }
                }
            }
            return words
        }
        return [
            OutputTensor(name + ".qweight", shape: [columns, rows / 8], pack(matrix.codes, count: columns)),
            OutputTensor(name + ".qzeros", shape: [groups, rows / 8], pack(matrix.zeros, count: groups)),
            OutputTensor(name + ".scales", shape: [groups, rows], transposedScales(matrix), as: .f16),
        ]
    }

    private static func gptq(_ name: String, _ matrix: QuantizedMatrix) -> [OutputTensor] {
        let (rows, columns, groups, bits) = (matrix.rows, matrix.columns, matrix.groups, matrix.bits)
        let perWord = 32 / bits
        var codes = [UInt32](repeating: 0, count: columns / perWord * rows)
        for row in 0..<rows {
            for column in 0..<columns {
                codes[column / perWord * rows + row] |=
                    UInt32(matrix.codes[row * columns + column]) << UInt32(column % perWord * bits)
            }
        }
        var zeros = [UInt32](repeating: 0, count: groups * (rows / perWord))
        for row in 0..<rows {
            for group in 0..<groups {
                // The grid's zero points are 1 at least.
                let stored = UInt32(matrix.zeros[row * groups + group]) - (matrix.isSymmetric ? 1 : 0)
                zeros[group * (rows / perWord) + row / perWord] |= stored << UInt32(row % perWord * bits)
            }
        }
        let index = matrix.groupIndex ?? (0..<columns).map { Int32($0 / matrix.groupSize) }
        return [
            OutputTensor(name + ".qweight", shape: [columns / perWord, rows], codes),
            OutputTensor(name + ".qzeros", shape: [groups, rows / perWord], zeros),
            OutputTensor(name + ".scales", shape: [groups, rows], transposedScales(matrix), as: .f16),
            OutputTensor(name + ".g_idx", shape: [columns], index.map(UInt32.init(bitPattern:))),
        ]
    }

    private static func packQuantized(
        _ name: String, _ matrix: QuantizedMatrix, _ scales: FloatStorage
    ) -> [OutputTensor] {
        let (rows, columns, groups, bits) = (matrix.rows, matrix.columns, matrix.groups, matrix.bits)
        let perWord = 32 / bits
        var codes = [UInt32](repeating: 0, count: rows * columns / perWord)
        for index in 0..<rows * columns {
            codes[index / perWord] |= UInt32(matrix.codes[index]) << UInt32(index % perWord * bits)
        }
        var tensors = [
            OutputTensor(name + ".weight_packed", shape: [rows, columns / perWord], codes),
            scaleTensor(name, matrix, scales),
            OutputTensor(
                name + ".weight_shape", type: "I64", shape: [2],
                bytes: [rows, columns].flatMap { size in (0..<8).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) } }),
        ]
        if !matrix.isSymmetric {
            // Packed along the outputs.
            var zeros = [UInt32](repeating: 0, count: rows / perWord * groups)
            for row in 0..<rows {
                for group in 0..<groups {
                    zeros[row / perWord * groups + group] |=
                        UInt32(matrix.zeros[row * groups + group]) << UInt32(row % perWord * bits)
                }
            }
            tensors.append(OutputTensor(name + ".weight_zero_point", shape: [rows / perWord, groups], zeros))
        }
        return tensors
    }

    private static func intQuantized(
        _ name: String, _ matrix: QuantizedMatrix, _ scales: FloatStorage
    ) -> [OutputTensor] {
        let count = matrix.rows * matrix.columns
        // Signed: the middle code means 0.
        let codes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            for index in 0..<count { buffer[index] = matrix.codes[index] ^ 0x80 }
            initialized = count
        }
        return [
            OutputTensor(name + ".weight", type: "I8", shape: [matrix.rows, matrix.columns], bytes: codes),
            scaleTensor(name, matrix, scales),
        ]
    }

    private static func scaleTensor(
        _ name: String, _ matrix: QuantizedMatrix, _ storage: FloatStorage
    ) -> OutputTensor {
        let count = matrix.rows * matrix.groups
        return OutputTensor(
            name + ".weight_scale", shape: [matrix.rows, matrix.groups],
            UnsafeBufferPointer(start: matrix.scales, count: count), as: storage)
    }

    /// `[groups][rows]`.
    private static func transposedScales(_ matrix: QuantizedMatrix) -> [Float] {
        (0..<matrix.groups).flatMap { group in
            (0..<matrix.rows).map { matrix.scales[$0 * matrix.groups + group] }
        }
    }
}
