import MartletCheckpoints
import MartletGraph

/// What llm-compressor writes (the compressed-tensors library): packed integers `weight_packed` int32
/// `[outputs, inputs · bits / 32]`, integers in bytes or 8-bit floats as `weight`; `weight_scale` `[outputs, groups]`,
/// `weight_zero_point` where they aren't symmetric, `weight_g_idx` with activation order.
struct CompressedTensorsLinearMethod: LinearMethod {
    let configuration: QuantizationConfiguration
    let marks = ["weight_packed", "weight_scale"]

    func weight(
        _ name: String, rows: Int, columns: Int, keepsColumnOrder: Bool, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        if weights.contains(name + ".weight_packed") {
            return try packed(
                name, rows: rows, columns: columns, keepsColumnOrder: keepsColumnOrder, from: weights)
        }
        let tensor = try weights.tensor(name + ".weight", shape: [rows, columns])
        switch tensor.type {
        case .i8:
            return try integers(
                name, PackedIntegers(packing: .bytes, bits: 8, tensor: tensor), rows: rows, columns: columns,
                keepsColumnOrder: keepsColumnOrder, from: weights)
        case .f8_e4m3:
            return try Float8LinearMethod(configuration: configuration).weight(
                name, tensor, scales: weights.tensor(name + ".weight_scale"),
                roundsActivations: weights.roundsActivations)
        default:
            throw tensor.failure("has type \(tensor.type.name) and a scale beside it, expected I8 or F8_E4M3")
        }
    }

    private func packed(
        _ name: String, rows: Int, columns: Int, keepsColumnOrder: Bool, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        let tensor = try weights.tensor(name + ".weight_packed", .i32)
        let widths = [2, 4, 8].filter { tensor.shape == [rows, (columns * $0 + 31) / 32] }
        // Few columns may fill one word whatever their bits.
        guard let bits = widths.first(where: { bits in configuration.schemes.contains { $0.bits == bits } }) else {
            let bits = Set(configuration.schemes.map(\.bits)).sorted().map(String.init).joined(separator: " or ")
            throw tensor.failure("has shape \(tensor.shape), expected [\(rows), \(columns) * \(bits) / 32]")
        }
        if weights.contains(name + ".weight_shape") {
            let shape = try weights.tensor(name + ".weight_shape", shape: [2])
            let sizes = shape.dequantized().map(Int.init(saturating:))
            guard sizes == [rows, columns] else {
                throw shape.failure("is \(sizes), expected [\(rows), \(columns)]")
            }
        }
        return try integers(
            name, PackedIntegers(packing: .acrossInputs, bits: bits, tensor: tensor), rows: rows, columns: columns,
            keepsColumnOrder: keepsColumnOrder, from: weights)
    }

    private func integers(
        _ name: String, _ codes: PackedIntegers, rows: Int, columns: Int, keepsColumnOrder: Bool,
        from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        let scales = try weights.tensor(name + ".weight_scale")
        let groups: Int
        let arrangement: ScaleTable.Arrangement
        switch scales.shape {
        case [], [1], [1, 1]: (groups, arrangement) = (1, .single)
        case let shape where shape.count <= 2 && shape[0] == rows:
            (groups, arrangement) = (shape.count == 2 ? shape[1] : 1, .outputsFirst)
        default: throw scales.failure("has shape \(scales.shape), expected [\(rows), groups] or [1]")
        }
        let scheme = try configuration.scheme(bits: codes.bits, groups: groups, columns: columns, scales)
        let source = IntegerWeight(
            rows: rows, columns: columns, codes: codes,
            zeroPoints: try zeroPoints(name, bits: codes.bits, rows: rows, groups: groups, from: weights),
            scales: try ScaleTable(scales, arrangement),
            grouping: try weights.grouping(
                name + ".weight_g_idx", size: scheme.grouping.size(columns), groups: groups, columns: columns,
                keepsOrder: keepsColumnOrder, mayBeUnset: true))
        return LinearWeight(name, source, inputOrder: source.inputOrder)
    }

    private func zeroPoints(
        _ name: String, bits: Int, rows: Int, groups: Int, from weights: Weights
    ) throws(CheckpointError) -> IntegerWeight.ZeroPoints {
        let middle = 1 << (bits - 1)
        guard weights.contains(name + ".weight_zero_point") else { return .constant(middle) }
        let tensor = try weights.tensor(name + ".weight_zero_point")
        switch (tensor.type, tensor.shape) {
        case (.i32, [(rows * bits + 31) / 32, groups]):
            return .stored(PackedIntegers(packing: .downOutputs, bits: bits, tensor: tensor))
        case (.i8, [rows, groups]):
            // Signed bytes, read as 128 more; codes count from 0.
            return .stored(PackedIntegers(packing: .bytes, bits: 8, tensor: tensor), plus: middle - 128)
        case (.i8, []), (.i8, [1]), (.i8, [1, 1]):
            return .constant(Int(tensor.dequantized()[0]) + middle)
        default:
            throw tensor.failure(
                "is \(tensor.type.name) \(tensor.shape), expected I32 [\((rows * bits + 31) / 32), \(groups)] "
                    + "or I8 [\(rows), \(groups)]")
        }
    }
}

extension Int {
    /// The nearest integer; 0 for what is no number.
    fileprivate init(saturating value: Float) { self = Int(exactly: value) ?? (value > 0 ? .max : 0) }
}
