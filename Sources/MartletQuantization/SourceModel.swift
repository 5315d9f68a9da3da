import MartletCheckpoints
import MartletGraph
import MartletModels

/// The model that is to be quantized: dense, of the Llama family, in plain numbers.
struct SourceModel {
    let checkpoint: Checkpoint
    let folder: ModelFolder
    /// The forward function of the whole model.
    let graph: Graph
    /// The type of what stays as it is.
    let storage: FloatStorage

    var configuration: ModelConfiguration { checkpoint.configuration }

    /// Architectures whose layers are made of `LayerGroup.all`.
    static let architectures = ["llama", "mistral", "qwen2", "qwen3"]

    /// - Parameter contextLength: of the calibration samples.
    /// - Throws: `QuantizationError` or `CheckpointError`.
    init(path: String, contextLength: Int) throws {
        guard ModelFolder.isFolder(path) else {
            throw QuantizationError(
                "\(path) is not a folder: what is quantized is a Hugging Face folder of safetensors")
        }
        let folder = try ModelFolder(path: path)
        let checkpoint = try Checkpoint(folder: folder)
        let configuration = checkpoint.configuration
        if let method = configuration.quantization?.method.rawValue {
            throw QuantizationError("\(path) is quantized already, by '\(method)': start from the original weights")
        }
        guard Self.architectures.contains(configuration.architecture), configuration.experts == nil else {
            throw QuantizationError(
                "cannot quantize a '\(configuration.architecture)' model: known are "
                    + Self.architectures.joined(separator: ", "))
        }
        self.checkpoint = checkpoint
        self.folder = folder
        graph = try ModelRegistry.model(of: checkpoint, contextLength: contextLength).trace()
        storage = try checkpoint.tensor("model.embed_tokens.weight").type == .bf16 ? .bf16 : .f16
    }

    func layerName(_ layer: Int) -> String { "model.layers.\(layer)" }

    /// Names of the tensors of a layer, in file order.
    func tensorNames(ofLayer layer: Int) -> [String] {
        checkpoint.tensorNames.filter { $0.hasPrefix(layerName(layer) + ".") && !Self.isRedundant($0) }
    }

    /// Names of the tensors that stay as they are: embeddings, the last norm, the output projection.
    var otherTensorNames: [String] {
        checkpoint.tensorNames.filter { !$0.hasPrefix("model.layers.") && !Self.isRedundant($0) }
    }

    /// Frequencies that old releases of transformers saved.
    private static func isRedundant(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") }

    /// The linear layers that share an input, with their shapes `[outputs, inputs]`, from the checkpoint.
    func shape(_ linear: String) throws(CheckpointError) -> (rows: Int, columns: Int) {
        let tensor = try checkpoint.tensor(linear + ".weight")
        return (tensor.rows, tensor.columns)
    }

    /// The embeddings of tokens, `[tokens, width]`.
    func embeddings(of tokens: [Int32]) throws -> Matrix {
        let table = try checkpoint.tensor("model.embed_tokens.weight")
        let result = Matrix(rows: tokens.count, columns: table.columns)
        for (index, token) in tokens.enumerated() {
            guard token >= 0, token < table.rows else {
                throw QuantizationError("token \(token) of the calibration text is not in the model's vocabulary")
            }
            table.dequantizeRow(Int(token), into: result.row(index))
        }
        table.releasePages(rows: 0..<table.rows)
        return result
    }
}
