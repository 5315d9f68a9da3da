import MartletCheckpoints
import MartletGraph

/// 4-bit codes of bitsandbytes (Dettmers et al. 2023, "QLoRA"): `weight` U8 `[outputs · inputs / 2, 1]` with the first code
/// in the upper bits, the codes' values `weight.quant_map`, and scales per block of values, `weight.absmax`, which may be
/// codes of 8 bits with values and scales of their own.
struct BitsAndBytesLinearMethod: LinearMethod {
    let configuration: QuantizationConfiguration
    let marks = ["nf4", "fp4"].map { "weight.quant_state.bitsandbytes__\($0)" }

    func weight(
        _ name: String, rows: Int, columns: Int, keepsColumnOrder: Bool, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        let path = name + ".weight"
        let stored = try weights.tensor("\(name).\(mark(of: name, in: weights))")
        let state = try BitsAndBytesState(stored)
        guard state.shape == [rows, columns] else {
            throw stored.failure("is of a matrix \(state.shape), expected [\(rows), \(columns)]")
        }
        let count = rows * columns
        let codes = try weights.tensor(path, .u8)
        guard codes.rows * codes.columns == (count + 1) / 2 else {
            throw codes.failure("has shape \(codes.shape), expected [\((count + 1) / 2), 1]")
        }
        let blocks = (count + state.blockSize - 1) / state.blockSize
        let map = try weights.tensor(path + ".quant_map", .f32, shape: [16])
        let scales: [Float]
        if let nested = state.nested {
            let indices = try weights.tensor(path + ".absmax", .u8, shape: [blocks]).dequantized()
            let values = try weights.tensor(path + ".nested_quant_map", .f32, shape: [256]).dequantized()
            let outer = try weights.tensor(
                path + ".nested_absmax", .f32, shape: [(blocks + nested.blockSize - 1) / nested.blockSize]
            ).dequantized()
            scales = indices.enumerated().map { index, code in
                values[Int(code)] * outer[index / nested.blockSize] + nested.offset
            }
        } else {
            scales = try weights.tensor(path + ".absmax", .f32, shape: [blocks]).dequantized()
        }
        return LinearWeight(
            name,
            LookupWeight(
                rows: rows, columns: columns, codes: codes, values: map.dequantized(), scales: scales,
                blockSize: state.blockSize, type: state.type))
    }
}

/// A matrix of 4-bit codes that stand for any 16 values, with a scale per block of consecutive values:
/// weight = value of the code · scale, rounded to the type that the weights had before. Backends get it in that type.
struct LookupWeight: WeightSource {
    let rows: Int
    let columns: Int
    let codes: StoredTensor
    /// Of the 16 codes.
    let values: [Float]
    let scales: [Float]
    let blockSize: Int
    let type: TensorType

    var byteCount: Int { codes.descriptor.byteRange.count + scales.count * MemoryLayout<Float>.size }
    var encoding: WeightEncoding { type == .bf16 ? .bf16 : type == .f16 ? .f16 : .f32 }

    func readRow(_ row: Int, into output: UnsafeMutablePointer<Float>) {
        let base = codes.source(row: 0)
        for column in 0..<columns {
            let index = row * columns + column
            let pair = base.load(fromByteOffset: index / 2, as: UInt8.self)
            let code = index % 2 == 0 ? pair >> 4 : pair & 15
            output[column] = rounded(values[Int(code)] * scales[index / blockSize])
        }
    }

    private func rounded(_ value: Float) -> Float {
        switch type {
        case .bf16:
            // To the nearest, ties to even; what is no number stays so.
            guard value.isFinite else { return value }
            let bits = value.bitPattern
            return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
        case .f16: return Float(Float16(value))
        default: return value
        }
    }

    func readAffineRow(_ row: Int, into buffers: AffineRow) { preconditionFailure("plain numbers have no codes") }

    func release(rows released: Range<Int>) {
        if released.lowerBound <= 0, released.upperBound >= rows { codes.releasePages(rows: 0..<codes.rows) }
    }
}
