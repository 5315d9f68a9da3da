/// How a tensor's elements are stored. Block formats: ggml's `ggml-common.h`; the others are safetensors' too.
package enum TensorType: Sendable, Hashable, CaseIterable {
    case f32, f16, bf16
    case f64
    /// 4 bits of exponent, 3 of fraction, no infinity (arXiv:2209.05433): codes that mean little without a scale.
    case f8_e4m3
    case i8, u8, i16, i32, i64, bool
    case q4_0, q4_1, q5_0, q5_1, q8_0
    case q4_K, q5_K, q6_K

    /// The type's usual name, as in `Q4_K`.
    package var name: String {
        switch self {
        case .f32: "F32"
        case .f16: "F16"
        case .bf16: "BF16"
        case .f64: "F64"
        case .f8_e4m3: "F8_E4M3"
        case .i8: "I8"
        case .u8: "U8"
        case .i16: "I16"
        case .i32: "I32"
        case .i64: "I64"
        case .bool: "BOOL"
        case .q4_0: "Q4_0"
        case .q4_1: "Q4_1"
        case .q5_0: "Q5_0"
        case .q5_1: "Q5_1"
        case .q8_0: "Q8_0"
        case .q4_K: "Q4_K"
        case .q5_K: "Q5_K"
        case .q6_K: "Q6_K"
        }
    }

    /// Elements of one row that are stored together; 1 for plain numbers.
    package var blockSize: Int {
        switch self {
        case .f32, .f16, .bf16, .f64, .f8_e4m3, .i8, .u8, .i16, .i32, .i64, .bool: 1
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
        case .q4_K, .q5_K, .q6_K: 256
        }
    }

    package var bytesPerBlock: Int {
        switch self {
        case .f64, .i64: 8
        case .f32, .i32: 4
        case .f16, .bf16, .i16: 2
        case .f8_e4m3, .i8, .u8, .bool: 1
        case .q4_0: 2 + 16  // scale, 4-bit codes
        case .q4_1: 2 + 2 + 16  // scale, minimum, 4-bit codes
        case .q5_0: 2 + 4 + 16  // scale, fifth bits, 4-bit codes
        case .q5_1: 2 + 2 + 4 + 16  // scale, minimum, fifth bits, 4-bit codes
        case .q8_0: 2 + 32  // scale, 8-bit codes
        case .q4_K: 2 + 2 + 12 + 128  // scale, minimum, 6-bit scales and minima of 8 groups, 4-bit codes
        case .q5_K: 2 + 2 + 12 + 32 + 128  // the same, with fifth bits
        case .q6_K: 128 + 64 + 16 + 2  // low 4 bits, high 2 bits, 8-bit scales of 16 groups, scale
        }
    }

    package var isQuantized: Bool { blockSize > 1 }

    /// Whether an element is a number of its own, and means what it says.
    package var isFloatingPoint: Bool {
        switch self {
        case .f32, .f16, .bf16, .f64: true
        default: false
        }
    }

    /// Bytes of a row of `columns` elements, a multiple of the block size.
    package func rowBytes(columns: Int) -> Int { columns / blockSize * bytesPerBlock }
}

extension TensorType {
    /// The type with ggml's number `ggmlType`, or nil where we cannot read its elements.
    package init?(ggmlType: UInt32) {
        switch ggmlType {
        case 0: self = .f32
        case 1: self = .f16
        case 2: self = .q4_0
        case 3: self = .q4_1
        case 6: self = .q5_0
        case 7: self = .q5_1
        case 8: self = .q8_0
        case 12: self = .q4_K
        case 13: self = .q5_K
        case 14: self = .q6_K
        case 30: self = .bf16
        default: return nil
        }
    }

    /// The types that GGUF files hold.
    package static let ggmlTypes = (0..<64).compactMap(TensorType.init(ggmlType:))

    /// Names of ggml's other types, so that an error can say what a file holds.
    static func unsupportedName(ggmlType: UInt32) -> String? {
        let names: [UInt32: String] = [
            9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
            20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
            29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
        ]
        return names[ggmlType]
    }
}

extension TensorType {
    /// The type with that name in a safetensors file, or nil where we cannot read its elements.
    package init?(safetensors name: String) {
        let types: [TensorType] = [.f64, .f32, .f16, .bf16, .f8_e4m3, .i64, .i32, .i16, .i8, .u8, .bool]
        guard let type = types.first(where: { $0.name == name }) else { return nil }
        self = type
    }
}
