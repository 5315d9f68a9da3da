package import MartletCheckpoints
package import MartletGraph

/// A checkpoint's tensors while a model is built from them: each is taken once, checked against the shape that the
/// architecture expects, and none may be left over.
package final class Weights {
    package let configuration: ModelConfiguration
    private let checkpoint: Checkpoint
    private let linearMethod: any LinearMethod
    private let rounding: WeightRounding?
    /// Layers that were made for rounded inputs get them.
    let roundsActivations: Bool
    private var remaining: Set<String>
    private var linears: [String: LinearWeight] = [:]
    private var orders: [[Int32]: ColumnOrder] = [:]

    /// - Parameters:
    ///   - rounding: what the language model's linear layers are rounded to; nil for what the file has.
    ///   - roundsActivations: layers that were made for inputs in 8-bit floats get such; otherwise exact ones.
    package init(_ checkpoint: Checkpoint, rounding: WeightRounding? = nil, roundsActivations: Bool = true) {
        self.checkpoint = checkpoint
        self.roundsActivations = roundsActivations
        self.rounding = rounding
        configuration = checkpoint.configuration
        linearMethod = configuration.quantization?.linearMethod ?? StoredLinearMethod()
        remaining = Set(checkpoint.tensorNames)
    }

    /// The matrix `[rows, columns]` of a linear layer or an embedding table. Asking again for one that was taken before
    /// (tied embeddings) gives the same object, so that it is packed once.
    package func linear(_ name: String, rows: Int, columns: Int) throws(CheckpointError) -> LinearWeight {
        if let weight = linears[name] { return weight }
        let weight = rounded(
            try method(of: name).weight(name, rows: rows, columns: columns, keepsColumnOrder: false, from: self))
        linears[name] = weight
        return weight
    }

    /// How a layer is stored: as the configuration says, unless its tensors say that it was left out.
    private func method(of name: String) -> any LinearMethod {
        linearMethod.marks.contains { contains("\(name).\($0)") } ? linearMethod : StoredLinearMethod()
    }

    /// The matrix `[rows, columns]` as float32, whatever its type in the file: for the few and small ones where rounding
    /// what meets them would change a choice.
    package func exactLinear(_ name: String, rows: Int, columns: Int) throws(CheckpointError) -> LinearWeight {
        LinearWeight(name, try StoredWeight(tensor(name + ".weight", shape: [rows, columns]), isExact: true))
    }

    /// The matrices `[rows, columns]` of a layer's experts: `path.N.projection`, or stacked as `path.projection`.
    ///
    /// - Parameter keepsColumnOrder: inputs cannot be put in another order.
    package func experts(
        _ path: String, _ projection: String, count: Int, rows: Int, columns: Int, keepsColumnOrder: Bool = false
    ) throws(CheckpointError) -> [LinearWeight] {
        if contains("\(path).\(projection).weight") {
            return try StoredLinearMethod().experts(
                "\(path).\(projection)", count: count, rows: rows, columns: columns, from: self
            ).map(rounded)
        }
        return try (0..<count).map { (expert) throws(CheckpointError) in
            rounded(
                try method(of: "\(path).\(expert).\(projection)").weight(
                    "\(path).\(expert).\(projection)", rows: rows, columns: columns,
                    keepsColumnOrder: keepsColumnOrder,
                    from: self))
        }
    }

    /// Vision towers stay as they are: they are small, and suffer from it.
    private func rounded(_ weight: LinearWeight) -> LinearWeight {
        let isLanguage = weight.name.hasPrefix("model.") || weight.name == "lm_head"
        guard let rounding, isLanguage else { return weight }
        return rounding(weight)
    }

    /// The float parameter `[count]` of that name.
    package func vector(_ name: String, count: Int) throws(CheckpointError) -> Vector {
        let tensor = try tensor(name, shape: [count])
        guard tensor.type.isFloatingPoint || tensor.type.isQuantized else {
            throw CheckpointError(
                file: tensor.file.path, tensor: tensor.descriptor.name,
                reason: "has type \(tensor.type.name), expected F32, F16, BF16 or F64")
        }
        return Vector(name, tensor.dequantized())
    }

    /// Leaves out the tensors whose names start with `prefix`: the file has them, and the model does not need them.
    package func ignore(_ prefix: String) {
        remaining = remaining.filter { !$0.hasPrefix(prefix) }
    }

    /// `config.json`, for what only one architecture knows.
    ///
    /// - Throws: `CheckpointError` where the model comes from another kind of file.
    package func settings() throws(CheckpointError) -> SettingsFile {
        guard case .folder(let folder) = checkpoint.source else {
            throw CheckpointError(
                file: path, reason: "is a \(configuration.architecture) model, which Martlet reads from folders only")
        }
        return folder.settings
    }

    package func contains(_ name: String) -> Bool { checkpoint.contains(name) }

    /// The file that errors name.
    package var path: String { checkpoint.path }

    /// Takes a tensor.
    ///
    /// - Throws: `CheckpointError` if it is missing or has another shape, or another type than `type`, where that is given.
    package func tensor(
        _ name: String, _ type: TensorType? = nil, shape: [Int]
    ) throws(CheckpointError) -> StoredTensor {
        guard checkpoint.contains(name) else {
            throw CheckpointError(
                file: checkpoint.path, tensor: name, reason: "is missing, expected one of shape \(shape)")
        }
        let tensor = try tensor(name, type)
        guard tensor.shape == shape else { throw tensor.failure("has shape \(tensor.shape), expected \(shape)") }
        return tensor
    }

    /// Takes a tensor of any shape.
    func tensor(_ name: String, _ type: TensorType? = nil) throws(CheckpointError) -> StoredTensor {
        let tensor = try checkpoint.tensor(name)
        guard type == nil || tensor.type == type else {
            throw tensor.failure("has type \(tensor.type.name), expected \(type?.name ?? "")")
        }
        remaining.remove(name)
        return tensor
    }

    /// Takes a matrix with any number of rows, at least one.
    func matrix(
        _ name: String, _ type: TensorType? = nil, columns: Int
    ) throws(CheckpointError) -> StoredTensor {
        let tensor = try tensor(name, type)
        guard tensor.shape.count == 2, tensor.shape[0] > 0, tensor.shape[1] == columns else {
            throw tensor.failure("has shape \(tensor.shape), expected [rows, \(columns)]")
        }
        return tensor
    }

    /// The groups of a quantized layer's columns: of `size` columns each, or as the tensor `name`, where there is one, says
    /// for each column.
    ///
    /// - Parameter mayBeUnset: the tensor may hold the same number everywhere, as some tools leave it where columns are in
    ///   order.
    /// - Throws: `CheckpointError` for groups that there are no scales of.
    func grouping(
        _ name: String, size: Int, groups: Int, columns: Int, keepsOrder: Bool, mayBeUnset: Bool
    ) throws(CheckpointError) -> ColumnGrouping {
        guard contains(name) else { return ColumnGrouping(size: size, columns: columns) }
        let tensor = try tensor(name, .i32, shape: [columns])
        // Group numbers are far below what a float holds.
        let indices = tensor.dequantized().map { Int32(exactly: $0) ?? -1 }
        if mayBeUnset, groups > 1, indices[0] <= 0, indices.allSatisfy({ $0 == indices[0] }) {
            return ColumnGrouping(size: size, columns: columns)
        }
        for (column, group) in indices.enumerated() where !(0..<groups).contains(Int(group)) {
            throw tensor.failure("has group \(group) at [\(column)], expected 0 to \(groups - 1)")
        }
        return ColumnGrouping(groups: indices, keepsOrder: keepsOrder) { order in
            if let known = orders[order] { return known }
            let new = ColumnOrder(order)
            orders[order] = new
            return new
        }
    }

    /// - Throws: `CheckpointError` if the model took fewer tensors than the file has: then it is not the model that the
    ///   file was made for.
    package func finish() throws(CheckpointError) {
        let remaining = remaining.filter { !isRedundant($0) }
        guard let first = remaining.min() else { return }
        throw CheckpointError(
            file: checkpoint.path, tensor: first,
            reason: "is not part of a \(configuration.architecture) model"
                + (remaining.count > 1 ? " (nor are \(remaining.count - 1) other tensors)" : ""))
    }

    /// Whether no model reads the tensor, though published files have it: frequencies that old releases of transformers
    /// saved, an output projection beside the embedding that is used in its place, and what comes with quantized layers.
    private func isRedundant(_ name: String) -> Bool {
        name.hasSuffix(".rotary_emb.inv_freq") || (configuration.tieWordEmbeddings && name == "lm_head.weight")
            || configuration.quantization != nil && isRedundantBesideCodes(name)
    }

    /// Scales of activations and of the KV cache, which Martlet keeps in more bits than those are for, and biases of zeros
    /// that AutoGPTQ gave layers without bias.
    private func isRedundantBesideCodes(_ name: String) -> Bool {
        let suffixes = ["input_scale", "input_zero_point", "k_scale", "v_scale", "k_zero_point", "v_zero_point"]
        if suffixes.contains(where: { name.hasSuffix("." + $0) }) { return true }
        guard name.hasSuffix(".bias"), contains(name.dropLast(4) + "qweight"),
            let bias = try? checkpoint.tensor(name)
        else { return false }
        return bias.dequantized().allSatisfy { $0 == 0 }
    }
}
