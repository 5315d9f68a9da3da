package import MartletCheckpoints
package import MartletGraph

/// How a checkpoint stores the weights of its linear layers. Layers ask it, so that model files never mention a format.
///
/// A new quantization scheme is a new conformance, chosen in `Weights` from the configuration. Which layers are quantized
/// is told by their tensors: the others are what `StoredLinearMethod` reads.
package protocol LinearMethod: Sendable {
    /// Tensors, named below the layer, of which a layer that is stored like this has one at least.
    var marks: [String] { get }

    /// The weight `[rows, columns]` of the layer `name` ("model.layers.0.mlp.down_proj").
    ///
    /// - Parameter keepsColumnOrder: the layer's input cannot be put in another order.
    /// - Throws: `CheckpointError` that names the tensor, what was expected and what was found.
    func weight(
        _ name: String, rows: Int, columns: Int, keepsColumnOrder: Bool, from weights: Weights
    ) throws(CheckpointError) -> LinearWeight
}

extension LinearMethod {
    /// Which of the marks the layer `name` has; the first where it has none, which is then the tensor that is missed.
    func mark(of name: String, in weights: Weights) -> String {
        marks.first { weights.contains("\(name).\($0)") } ?? marks[0]
    }
}

extension QuantizationConfiguration {
    var linearMethod: any LinearMethod {
        switch method {
        case .awq: AWQLinearMethod(configuration: self)
        case .gptq: GPTQLinearMethod(configuration: self)
        case .compressedTensors: CompressedTensorsLinearMethod(configuration: self)
        case .fp8: Float8LinearMethod(configuration: self)
        case .bitsAndBytes: BitsAndBytesLinearMethod(configuration: self)
        }
    }

    /// The scheme of a layer with codes of `bits` bits and `groups` groups of columns.
    ///
    /// - Throws: `CheckpointError` if no scheme of the configuration is like that.
    func scheme(bits: Int, groups: Int, columns: Int, _ scales: StoredTensor) throws(CheckpointError) -> Scheme {
        if let scheme = schemes.first(where: { $0.bits == bits && $0.grouping.count(columns) == groups }) {
            return scheme
        }
        // What a single layer's override says shows in its shape, if its groups are equal.
        if hasOverrides, groups > 0, columns % groups == 0 {
            return Scheme(bits: bits, grouping: .columns(columns / groups))
        }
        let expected = schemes.map { "\($0.bits) bits in \($0.grouping.count(columns))" }.joined(separator: " or ")
        throw CheckpointError(
            file: scales.file.path, tensor: scales.descriptor.name,
            reason: "belongs to \(columns) columns of \(bits) bits in \(groups) groups, "
                + "expected \(expected) groups (quantization_config: \(self))")
    }
}

extension QuantizationConfiguration.Grouping {
    /// Groups of columns that a row has.
    func count(_ columns: Int) -> Int {
        switch self {
        case .columns(let size), .block(_, let size): (columns + size - 1) / size
        case .row, .matrix: 1
        }
    }

    /// Columns of a group.
    func size(_ columns: Int) -> Int {
        switch self {
        case .columns(let size), .block(_, let size): size
        case .row, .matrix: columns
        }
    }
}

extension StoredTensor {
    func failure(_ reason: String) -> CheckpointError {
        CheckpointError(file: file.path, tensor: descriptor.name, reason: reason)
    }
}
