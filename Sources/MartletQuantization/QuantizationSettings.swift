/// What is made of a model's linear layers, and how.
package struct QuantizationSettings: Sendable, Equatable, Codable {
    package enum Method: String, Sendable, CaseIterable, Codable {
        /// Round to nearest: no calibration. Written as compressed-tensors (`pack-quantized`), or as one of the others.
        case rtn
        /// Activation-aware weight quantization (Lin et al. 2023, arXiv:2306.00978). Written as AutoAWQ's GEMM version.
        case awq
        /// Second-order rounding (Frantar et al. 2022, arXiv:2210.17323). Written as GPTQModel's version 1.
        case gptq
        /// 8-bit weights and activations (Xiao et al. 2022, arXiv:2211.10438). Written as compressed-tensors
        /// (`int-quantized`).
        case smoothquant
    }

    /// How codes are chosen.
    package enum Rounding: String, Sendable, CaseIterable, Codable {
        /// The nearest value of the group's grid, with the ranges of AWQ's second search.
        case nearest
        /// As GPTQ does: later columns make up for what earlier ones lose.
        case compensated
    }

    package var method: Method
    package var format: QuantizedFormat
    package var bits: Int
    /// Input columns that share a scale; nil for a whole row.
    package var groupSize: Int?
    /// No zero points: the middle code means 0.
    package var isSymmetric: Bool
    /// GPTQ and AWQ: the share of the Hessian's mean diagonal that is added to its diagonal.
    package var damping = 0.01
    /// GPTQ: columns are quantized in the order of their Hessian's diagonal, largest first (`desc_act`).
    package var actOrder = false
    /// GPTQ and AWQ: the share of what earlier layers have lost that a layer makes up for, 0 to 1.
    package var correction = 0.5
    /// AWQ: how codes are chosen once columns are scaled.
    package var rounding = Rounding.compensated
    /// SmoothQuant: how much of the activations' range moves into the weights, 0 to 1.
    package var alpha = 0.5
    /// Bytes of a weights file from which on the model is written in several.
    package var shardBytes = 5_000_000_000

    /// - Parameters:
    ///   - format: nil for the method's own; another one for round-to-nearest only.
    ///   - bits: nil for the method's own: 8 for SmoothQuant, else 4.
    ///   - groupSize: -1 for a whole row, nil for the method's own: 128, or a whole row with 8 bits.
    ///   - isSymmetric: nil for the method's own: AWQ and 4-bit RTN have zero points, the others not.
    /// - Throws: `QuantizationError` for a combination that the method or its file format lacks.
    package init(
        _ method: Method, format: QuantizedFormat? = nil, bits: Int? = nil, groupSize: Int? = nil,
        isSymmetric: Bool? = nil
    ) throws(QuantizationError) {
        self.method = method
        self.format = format ?? QuantizedFormat(method)
        self.bits = bits ?? (method == .smoothquant ? 8 : 4)
        let group = groupSize ?? (self.bits == 8 ? -1 : 128)
        self.groupSize = group == -1 ? nil : group
        let ownSymmetry = self.format == .gptq || self.bits == 8
        self.isSymmetric = isSymmetric ?? ownSymmetry
        guard self.bits == 4 || self.bits == 8 else { throw QuantizationError("\(self.bits) bits: expected 4 or 8") }
        guard [-1, 32, 64, 128].contains(group) else {
            throw QuantizationError("a group size of \(group): expected 32, 64, 128, or -1 for whole rows")
        }
        guard method == .rtn || self.format == QuantizedFormat(method) else {
            throw QuantizationError("\(method.rawValue) is not written as \(self.format.rawValue)")
        }
        switch self.format {
        case .awq:
            guard self.bits == 4 else { throw QuantizationError("AWQ has 4 bits, not \(self.bits)") }
            guard !self.isSymmetric else { throw QuantizationError("AWQ has zero points: it is never symmetric") }
        case .intQuantized:
            guard self.bits == 8 else { throw QuantizationError("8-bit weights and activations, not \(self.bits)") }
            guard self.groupSize == nil else {
                throw QuantizationError(
                    "8-bit activations want a scale per row (--group-size -1), not per \(group) columns")
            }
            guard self.isSymmetric else { throw QuantizationError("8-bit weights and activations are symmetric") }
        case .packQuantized, .gptq: break
        }
    }

    /// Whether the method looks at what the layers are given.
    package var needsCalibration: Bool { method != .rtn }
}
