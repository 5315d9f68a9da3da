import MartletCheckpoints

/// The scales of a quantized layer, by output and group of inputs.
struct ScaleTable: Sendable {
    let tensor: StoredTensor
    /// Elements from an output (or block of them) to the next, and from a group to the next; 0 where they share a scale.
    private let outputStride: Int
    private let groupStride: Int
    /// Outputs that share scales.
    private let outputsPerBlock: Int
    /// All scales are numbers that f16 holds exactly.
    let fitsF16: Bool

    /// How the scales lie in the tensor.
    enum Arrangement {
        /// `[groups, outputs]`.
        case groupsFirst
        /// `[outputs, groups]`, or `[outputs]`.
        case outputsFirst
        /// `[blocks of so many outputs, groups]`.
        case blocks(outputs: Int)
        /// One for all.
        case single
    }

    /// Scales of a tensor whose shape has been checked.
    ///
    /// - Throws: `CheckpointError` for a type that holds no scales, and for scales that are no numbers or so large that
    ///   weights would be infinite.
    init(_ tensor: StoredTensor, _ arrangement: Arrangement) throws(CheckpointError) {
        guard [.f16, .bf16, .f32].contains(tensor.type) else {
            throw CheckpointError(
                file: tensor.file.path, tensor: tensor.descriptor.name,
                reason: "has type \(tensor.type.name), expected F16, BF16 or F32")
        }
        self.tensor = tensor
        switch arrangement {
        case .groupsFirst: (outputStride, groupStride, outputsPerBlock) = (1, tensor.columns, 1)
        case .outputsFirst:
            (outputStride, groupStride, outputsPerBlock) = (tensor.shape.count == 1 ? 1 : tensor.columns, 1, 1)
        case .blocks(let outputs): (outputStride, groupStride, outputsPerBlock) = (tensor.columns, 1, outputs)
        case .single: (outputStride, groupStride, outputsPerBlock) = (0, 0, 1)
        }
        var fitsF16 = true
        var row = [Float](repeating: 0, count: tensor.columns)
        for index in 0..<tensor.rows {
            tensor.dequantizeRow(index, into: &row)
            for (column, scale) in row.enumerated() {
                guard scale.magnitude <= Self.largest else {
                    throw CheckpointError(
                        file: tensor.file.path, tensor: tensor.descriptor.name,
                        reason: "has the scale \(scale.isNaN ? .nan : scale) at [\(index), \(column)]")
                }
                fitsF16 = fitsF16 && scale.isF16
            }
        }
        self.fitsF16 = fitsF16
    }

    /// Far above any scale, and small enough that no weight overflows.
    private static let largest: Float = 1e30

    @inline(__always)
    subscript(output: Int, group: Int) -> Float {
        let index = output / outputsPerBlock * outputStride + group * groupStride
        var value: Float = 0
        dequantize(
            tensor.type, tensor.source(row: 0) + index * tensor.type.bytesPerBlock, columns: 1, into: &value)
        return value
    }
}

extension Float {
    /// Whether f16 holds the number exactly.
    fileprivate var isF16: Bool {
        // 11 bits of significand from 2^-14 on, below that multiples of 2^-24.
        let rounded = magnitude < 0x1p-14 ? (self * 0x1p24).rounded() == self * 0x1p24 : bitPattern & 0x1FFF == 0
        return rounded && magnitude <= 65504
    }
}
