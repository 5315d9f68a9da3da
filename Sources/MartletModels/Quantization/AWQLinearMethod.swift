import MartletCheckpoints
import MartletGraph

/// AWQ (Lin et al. 2023, "AWQ: Activation-aware Weight Quantization") as AutoAWQ's GEMM kernels read it: `qweight` int32
/// `[inputs, outputs / 8]`, `qzeros` int32 `[groups, outputs / 8]`, `scales` `[groups, outputs]`.
struct AWQLinearMethod: LinearMethod {
    let configuration: QuantizationConfiguration
    let marks = ["qweight"]

    func weight(
        _ name: String, rows: Int, columns: Int, keepsColumnOrder: Bool, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight {
        let bits = 4
        let perWord = 32 / bits
        guard rows % perWord == 0 else {
            throw CheckpointError(
                file: weights.path, tensor: name + ".qweight",
                reason: "packs \(perWord) outputs to a word, which do not divide the layer's \(rows)")
        }
        let codes = try weights.tensor(name + ".qweight", .i32, shape: [columns, rows / perWord])
        let scales = try weights.matrix(name + ".scales", columns: rows)
        let groups = scales.shape[0]
        let scheme = try configuration.scheme(bits: bits, groups: groups, columns: columns, scales)
        let zeros = try weights.tensor(name + ".qzeros", .i32, shape: [groups, rows / perWord])
        let source = IntegerWeight(
            rows: rows, columns: columns,
            codes: PackedIntegers(packing: .interleavedOutputs, bits: bits, tensor: codes),
            zeroPoints: .stored(PackedIntegers(packing: .interleavedOutputs, bits: bits, tensor: zeros)),
            scales: try ScaleTable(scales, .groupsFirst),
            grouping: ColumnGrouping(size: scheme.grouping.size(columns), columns: columns))
        return LinearWeight(name, source)
    }
}
