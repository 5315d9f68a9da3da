import MartletCheckpoints
import MartletGraph

/// 8-bit floats (Micikevicius et al. 2022, arXiv:2209.05433): `weight` F8_E4M3 `[outputs, inputs]` and a scale for all of it
/// or for each row (`weight_scale`), or for each block (`weight_scale_inv`, which multiplies in spite of its name: DeepSeek,
/// Qwen3).
struct Float8LinearMethod: LinearMethod {
    let configuration: QuantizationConfiguration
    let marks = ["weight_scale_inv", "weight_scale"]

    func weight(
        _ name: String, rows: Int, columns: Int, keepsColumnOrder: Bool, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        let scales = mark(of: name, in: weights)
        return try weight(
            name, weights.tensor(name + ".weight", .f8_e4m3, shape: [rows, columns]),
            scales: weights.tensor("\(name).\(scales)"), roundsActivations: weights.roundsActivations)
    }

    func weight(
        _ name: String, _ codes: StoredTensor, scales: StoredTensor, roundsActivations: Bool
    ) throws(CheckpointError) -> LinearWeight {
        let (rows, columns) = (codes.rows, codes.columns)
        let roundsInput = configuration.schemes.contains { $0.isFloat && $0.activationBits == 8 }
        func weight(
            _ arrangement: ScaleTable.Arrangement, groupSize: Int
        ) throws(CheckpointError) -> LinearWeight {
            let source = Float8Weight(codes, try ScaleTable(scales, arrangement), groupSize: groupSize)
            return LinearWeight(name, source, roundsInputToFloat8: roundsInput && roundsActivations)
        }
        for scheme in configuration.schemes where scheme.isFloat {
            guard case .block(let blockRows, let blockColumns) = scheme.grouping else { continue }
            let shape = [(rows + blockRows - 1) / blockRows, (columns + blockColumns - 1) / blockColumns]
            if scales.shape == shape { return try weight(.blocks(outputs: blockRows), groupSize: blockColumns) }
        }
        switch scales.shape {
        case [], [1], [1, 1]: return try weight(.single, groupSize: columns)
        case let shape where shape.count <= 2 && shape[0] == rows && rows * (shape.count == 2 ? shape[1] : 1) > 0:
            let groups = shape.count == 2 ? shape[1] : 1
            let size = configuration.schemes.first { $0.grouping.count(columns) == groups }?.grouping.size(columns)
            guard let size else { break }
            return try weight(.outputsFirst, groupSize: size)
        default: break
        }
        throw scales.failure(
            "has shape \(scales.shape), expected one scale, one for each of \(rows) rows, or blocks "
                + "(quantization_config: \(configuration))")
    }
}
