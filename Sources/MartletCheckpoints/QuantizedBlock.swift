/// The bit layout of a block format: how its bytes become codes, scales and offsets (see `AffineFormat`).
/// Layouts: ggml's `ggml-common.h`.
protocol QuantizedBlock {
    /// Weights in a block.
    static var size: Int { get }
    /// Bytes in a block.
    static var bytes: Int { get }
    static var affine: AffineFormat { get }
    /// Writes one block's codes and factors.
    static func decode(_ block: UnsafeRawPointer, _ row: AffineRowBuffers)
}

extension QuantizedBlock {
    static var groups: Int { size / affine.groupSize }
    /// Scales and offsets that a block has in floating point.
    static var scales: Int { size / (affine.superGroupSize ?? affine.groupSize) }
}

/// 16 bytes at any alignment.
@inline(__always)
func load16(_ source: UnsafeRawPointer) -> SIMD16<UInt8> { source.loadUnaligned(as: SIMD16<UInt8>.self) }

@inline(__always)
func store16(_ value: SIMD16<UInt8>, _ destination: UnsafeMutablePointer<UInt8>) {
    UnsafeMutableRawPointer(destination).storeBytes(of: value, as: SIMD16<UInt8>.self)
}

/// The low four bits of each byte.
@inline(__always)
func lowNibbles(_ bytes: SIMD16<UInt8>) -> SIMD16<UInt8> { bytes & 0x0F }

/// The high four bits of each byte.
@inline(__always)
func highNibbles(_ bytes: SIMD16<UInt8>) -> SIMD16<UInt8> { bytes &>> 4 }

/// 16 where bit `i` of the two bytes at `source` is set, in lane `i`: the fifth bits of 16 codes.
@inline(__always)
func fifthBits(_ source: UnsafeRawPointer) -> SIMD16<UInt8> {
    let low = SIMD8<UInt8>(repeating: source.load(as: UInt8.self))
    let high = SIMD8<UInt8>(repeating: source.load(fromByteOffset: 1, as: UInt8.self))
    let bit = SIMD16<UInt8>(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128)
    let isSet = (SIMD16(lowHalf: low, highHalf: high) & bit) .== bit
    return SIMD16<UInt8>(repeating: 0).replacing(with: 16, where: isSet)
}
