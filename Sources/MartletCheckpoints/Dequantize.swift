/// One row as floats, bit-equal to what PyPI's `gguf.quants.dequantize` computes.
///
/// `columns` is a multiple of the type's block size, and `source` holds `type.rowBytes(columns:)` bytes, at any alignment.
package func dequantize(
    _ type: TensorType, _ source: UnsafeRawPointer, columns: Int, into output: UnsafeMutablePointer<Float>
) {
    switch type {
    case .f32: UnsafeMutableRawPointer(output).copyMemory(from: source, byteCount: columns * 4)
    case .f16: for column in 0..<columns { output[column] = loadHalf(source + 2 * column) }
    case .bf16:
        // The upper half of a float.
        for column in 0..<columns {
            let bits = UInt16(littleEndian: source.loadUnaligned(fromByteOffset: 2 * column, as: UInt16.self))
            output[column] = Float(bitPattern: UInt32(bits) << 16)
        }
    case .f64:
        for column in 0..<columns {
            let bits = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: 8 * column, as: UInt64.self))
            output[column] = Float(Double(bitPattern: bits))
        }
    case .f8_e4m3:
        for column in 0..<columns {
            output[column] = float8(source.loadUnaligned(fromByteOffset: column, as: UInt8.self))
        }
    case .i8: convertRow(Int8.self, source, columns, output)
    case .u8, .bool: convertRow(UInt8.self, source, columns, output)
    case .i16: convertRow(Int16.self, source, columns, output)
    case .i32: convertRow(Int32.self, source, columns, output)
    case .i64: convertRow(Int64.self, source, columns, output)
    case .q4_0: dequantizeRow(Q4_0.self, source, columns, output)
    case .q4_1: dequantizeRow(Q4_1.self, source, columns, output)
    case .q5_0: dequantizeRow(Q5_0.self, source, columns, output)
    case .q5_1: dequantizeRow(Q5_1.self, source, columns, output)
    case .q8_0: dequantizeRow(Q8_0.self, source, columns, output)
    case .q4_K: dequantizeRow(Q4_K.self, source, columns, output)
    case .q5_K: dequantizeRow(Q5_K.self, source, columns, output)
    case .q6_K: dequantizeRow(Q6_K.self, source, columns, output)
    }
}

@inline(__always)
private func convertRow<Value: FixedWidthInteger & BitwiseCopyable>(
    _: Value.Type, _ source: UnsafeRawPointer, _ columns: Int, _ output: UnsafeMutablePointer<Float>
) {
    for column in 0..<columns {
        let offset = column * MemoryLayout<Value>.size
        output[column] = Float(Value(littleEndian: source.loadUnaligned(fromByteOffset: offset, as: Value.self)))
    }
}

/// The value of an E4M3 code: bias 7, no infinities, and NaN where all bits but the sign are ones.
private func float8(_ code: UInt8) -> Float {
    let magnitude = code & 0x7F
    if magnitude == 0x7F { return .nan }
    let (exponent, fraction) = (Int32(magnitude >> 3), Float(magnitude & 7))
    let value =
        exponent == 0
        ? fraction * 0x1p-9 : (8 + fraction) * Float(bitPattern: UInt32(exponent - 10 + 127) << 23)
    return code & 0x80 == 0 ? value : -value
}

/// Each block is decoded to its affine view on the stack, then evaluated: a format's bit layout is written once.
@inline(__always)
private func dequantizeRow<Block: QuantizedBlock>(
    _: Block.Type, _ source: UnsafeRawPointer, _ columns: Int, _ output: UnsafeMutablePointer<Float>
) {
    precondition(columns % Block.size == 0)
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 288) { bytes in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 32) { floats in
            // Constant, non-zero capacities: 256 codes and 2 · 16 factors, 2 · 16 scales and offsets.
            let bytes = bytes.baseAddress.unsafelyUnwrapped
            let floats = floats.baseAddress.unsafelyUnwrapped
            let block = AffineRowBuffers(
                codes: bytes, scales: floats, offsets: floats + 16, scaleFactors: bytes + 256,
                offsetFactors: bytes + 272)
            var (source, output) = (source, output)
            for _ in 0..<columns / Block.size {
                Block.decode(source, block)
                for group in 0..<Block.groups {
                    let (scale, offset) = factors(Block.self, block, of: group)
                    evaluate(Block.self, block.codes + group * Block.affine.groupSize, scale, offset, output)
                    output += Block.affine.groupSize
                }
                source += Block.bytes
            }
        }
    }
}

/// Scale and offset of one group of a decoded block.
@inline(__always)
private func factors<Block: QuantizedBlock>(
    _: Block.Type, _ block: AffineRowBuffers, of group: Int
) -> (scale: Float, offset: Float) {
    guard Block.affine.superGroupSize != nil else { return (block.scales[group], block.offsets[group]) }
    let factor = block.scaleFactors[group]
    if Block.affine.isSymmetric { return (block.scales[0] * Float(Int8(bitPattern: factor)), 0) }
    return (block.scales[0] * Float(factor), block.offsets[0] * Float(block.offsetFactors[group]))
}

/// One group. Symmetric types subtract the zero point from the code first, as the reference does: one rounding, not two.
@inline(__always)
private func evaluate<Block: QuantizedBlock>(
    _: Block.Type, _ codes: UnsafeMutablePointer<UInt8>, _ scale: Float, _ offset: Float,
    _ output: UnsafeMutablePointer<Float>
) {
    let raw = UnsafeMutableRawPointer(output)
    for start in stride(from: 0, to: Block.affine.groupSize, by: 8) {
        let bytes = UnsafeRawPointer(codes).loadUnaligned(fromByteOffset: start, as: SIMD8<UInt8>.self)
        let integers = SIMD8<Int32>(truncatingIfNeeded: bytes)
        let values: SIMD8<Float>
        if Block.affine.isSymmetric {
            values = scale * SIMD8<Float>(integers &- Int32(truncatingIfNeeded: Block.affine.zeroPoint))
        } else {
            values = scale * SIMD8<Float>(integers) + offset
        }
        raw.storeBytes(of: values, toByteOffset: start * 4, as: SIMD8<Float>.self)
    }
}
