/// How the linear layers of a model folder are quantized. Which of them are is told by the tensors that a layer has.
public struct QuantizationConfiguration: Sendable, Equatable {
    /// Raw values are Hugging Face's `quant_method`.
    public enum Method: String, Sendable, CaseIterable {
        /// Lin et al. 2023: integers, packed along the outputs.
        case awq
        /// Frantar et al. 2022: integers, packed along the inputs.
        case gptq
        /// What llm-compressor writes: integers, packed or in bytes, and 8-bit floats.
        case compressedTensors = "compressed-tensors"
        /// 8-bit floats with a scale per block of the matrix, or for all of it.
        case fp8
        /// Codes of 4 bits that stand for 16 values (NF4, FP4).
        case bitsAndBytes = "bitsandbytes"
    }

    /// What shares a scale.
    public enum Grouping: Sendable, Equatable {
        /// So many columns (inputs) of a row.
        case columns(Int)
        case row
        case matrix
        case block(rows: Int, columns: Int)
    }

    /// One way of storing a layer.
    public struct Scheme: Sendable, Equatable {
        public var bits: Int
        /// Codes are floats, not integers.
        public var isFloat = false
        public var grouping: Grouping
        /// Zero points are all the same; nil where the file doesn't say.
        public var isSymmetric: Bool?
        /// What activations are rounded to where the checkpoint's makers run it; nil for no rounding.
        public var activationBits: Int?

        /// Integers.
        package init(bits: Int, grouping: Grouping, isSymmetric: Bool? = nil) {
            self.bits = bits
            self.grouping = grouping
            self.isSymmetric = isSymmetric
        }

        init(floatsIn grouping: Grouping) {
            self.init(bits: 8, grouping: grouping)
            isFloat = true
            activationBits = 8
        }
    }

    public var method: Method
    /// Several where layers differ.
    public var schemes: [Scheme]
    /// Single layers may be stored in other ways than `schemes` say (GPTQModel's `dynamic`).
    public var hasOverrides = false
    /// A group's columns are neighbours in the order of their activations' size, not in the file's (`desc_act`).
    public var hasActivationOrder = false
    /// Zero points are stored minus one (GPTQ's first format).
    public var storesZeroPointsMinusOne = false
}

extension QuantizationConfiguration.Method {
    fileprivate var name: String {
        switch self {
        case .awq, .gptq, .fp8: rawValue.uppercased()
        case .compressedTensors, .bitsAndBytes: rawValue
        }
    }
}

extension QuantizationConfiguration: CustomStringConvertible {
    /// As people name it: "GPTQ, 4 bits, groups of 128, activation order".
    public var description: String {
        let order = hasActivationOrder ? ", activation order" : ""
        return method.name + ", " + schemes.map(\.description).joined(separator: "; ") + order
    }
}

extension QuantizationConfiguration.Scheme: CustomStringConvertible {
    public var description: String {
        var parts = [isFloat ? "\(bits)-bit floats" : "\(bits) bits", grouping.description]
        if let isSymmetric, !isFloat { parts.append(isSymmetric ? "symmetric" : "zero points") }
        if let activationBits { parts.append("\(activationBits)-bit activations") }
        return parts.joined(separator: ", ")
    }
}

extension QuantizationConfiguration.Grouping: CustomStringConvertible {
    public var description: String {
        switch self {
        case .columns(let size): "groups of \(size)"
        case .row: "a scale per row"
        case .matrix: "one scale"
        case .block(let rows, let columns): "blocks of \(rows) x \(columns)"
        }
    }
}

extension QuantizationConfiguration {
    /// In short: "GPTQ 4-bit".
    package var kind: String {
        let bits = Set(schemes.map(\.bits)).sorted().map(String.init).joined(separator: "/")
        return method.name + " \(bits)-bit"
    }

    /// Weights that a tensor holds: a word has several, and what belongs to them are none.
    package func parameterCount(_ tensor: StoredTensor) -> Int {
        let elements = tensor.rows * tensor.columns
        switch tensor.name.split(separator: ".").last {
        case "qweight", "weight_packed": return elements * 32 / (schemes.first?.bits ?? 32)
        case "weight" where method == .bitsAndBytes && tensor.type == .u8: return elements * 2
        case "absmax", "nested_absmax", "quant_map", "nested_quant_map", "bitsandbytes__nf4", "bitsandbytes__fp4",
            "qzeros", "scales", "g_idx", "weight_scale", "weight_scale_inv", "weight_zero_point", "weight_shape",
            "weight_g_idx", "input_scale":
            return 0
        default: return elements
        }
    }
}
