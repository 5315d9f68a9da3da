/// How floats are written to a file: the 16-bit type of the model.
package enum FloatStorage: String, Sendable {
    case f16 = "F16"
    case bf16 = "BF16"

    /// PyTorch's name, as `config.json` has it.
    var torchName: String { self == .f16 ? "float16" : "bfloat16" }

    /// The bits of the nearest number, ties to even.
    func bits(_ value: Float) -> UInt16 { self == .f16 ? Self.half(value) : Self.bfloat(value) }

    /// The value that a reader of the file will see.
    func rounded(_ value: Float) -> Float {
        switch self {
        case .bf16: Float(bitPattern: UInt32(Self.bfloat(value)) << 16)
        case .f16: Self.value(ofHalf: Self.half(value))
        }
    }

    private static func bfloat(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
        return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
    }

    private static func half(_ value: Float) -> UInt16 {
        let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
        if value.isNaN { return sign | 0x7E00 }
        let magnitude = value.magnitude
        // Half way between the largest half and the next, which would be infinite.
        if magnitude >= 65520 { return sign | 0x7C00 }
        if magnitude < 0x1p-14 {
            // Subnormal: multiples of 2⁻²⁴. A carry into the exponent is the smallest normal number, as it should be.
            return sign | UInt16((magnitude * 0x1p24).rounded(.toNearestOrEven))
        }
        let bits = magnitude.bitPattern
        let rounded = bits &+ 0xFFF &+ (bits >> 13 & 1)
        return sign | UInt16(truncatingIfNeeded: (rounded &- (112 << 23)) >> 13)
    }

    private static func value(ofHalf bits: UInt16) -> Float {
        let magnitude = UInt32(bits & 0x7FFF)
        let value: Float
        if magnitude >= 0x7C00 {
            value = magnitude == 0x7C00 ? .infinity : .nan
        } else if magnitude < 0x400 {
            value = Float(magnitude) * 0x1p-24
        } else {
            value = Float(bitPattern: magnitude << 13 &+ 112 << 23)
        }
        return bits & 0x8000 == 0 ? value : -value
    }
}
