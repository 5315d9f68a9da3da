import MartletCheckpoints
import MartletGraph

/// GPTQ (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers") as
/// AutoGPTQ and GPTQModel store it: `qweight` int32 `[inputs · bits / 32, outputs]`, `qzeros` int32
/// `[groups, outputs · bits / 32]`, `scales` `[groups, outputs]`, `g_idx` int32 `[inputs]`.
struct GPTQLinearMethod: LinearMethod {
    let configuration: QuantizationConfiguration
    let marks = ["qweight"]

    func weight(
        _ name: String, rows: Int, columns: Int, keepsColumnOrder: Bool, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        let codes = try weights.matrix(name + ".qweight", .i32, columns: rows)
        let bits = codes.shape[0] * 32 / columns
        guard bits * columns == codes.shape[0] * 32, [2, 3, 4, 8].contains(bits) else {
            throw codes.failure(
                "has shape \(codes.shape), expected [\(columns) * bits / 32, \(rows)] with 2, 3, 4 or 8 bits")
        }
        let scales = try weights.matrix(name + ".scales", columns: rows)
        let groups = scales.shape[0]
        let scheme = try configuration.scheme(bits: bits, groups: groups, columns: columns, scales)
        guard rows * bits % 32 == 0 else {
            throw CheckpointError(
                file: weights.path, tensor: name + ".qzeros",
                reason: "packs zero points of \(bits) bits to words, which \(rows) outputs do not fill")
        }
        let zeros = try weights.tensor(name + ".qzeros", .i32, shape: [groups, rows * bits / 32])
        let size = scheme.grouping.size(columns)
        let source = IntegerWeight(
            rows: rows, columns: columns, codes: PackedIntegers(packing: .downInputs, bits: bits, tensor: codes),
            zeroPoints: zeroPoints(zeros, bits: bits), scales: try ScaleTable(scales, .groupsFirst),
            grouping: try weights.grouping(
                name + ".g_idx", size: size, groups: groups, columns: columns, keepsOrder: keepsColumnOrder,
                mayBeUnset: !configuration.hasActivationOrder))
        return LinearWeight(name, source, inputOrder: source.inputOrder)
    }

    private func zeroPoints(_ tensor: StoredTensor, bits: Int) -> IntegerWeight.ZeroPoints {
        var integers = PackedIntegers(packing: .acrossOutputs, bits: bits, tensor: tensor)
        guard configuration.storesZeroPointsMinusOne else { return .stored(integers) }
        // 1 was subtracted from all integers of a word at once, and a zero point of 0 carried into its neighbour: the same
        // word that is added brings all of them back. With 3 bits, words are no whole number of integers.
        guard 32 % bits == 0 else { return .stored(integers, plus: 1) }
        integers.increment = stride(from: 0, to: 32, by: bits).reduce(0) { $0 | 1 << UInt32($1) }
        return .stored(integers)
    }
}
