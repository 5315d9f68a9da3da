import Foundation
import MartletCheckpoints

/// Puts finished layers and what stays as it was together to a folder as Hugging Face lays it out.
struct CheckpointAssembler {
    let source: SourceModel
    let settings: QuantizationSettings
    let format: QuantizedFormat

    /// Where a tensor of the result comes from.
    private enum Origin {
        case layer(TensorDescriptor, MappedFile)
        case source(StoredTensor)
    }

    /// Writes weights, settings and what the tokenizer needs into `folder`, which is empty.
    func write(layers: [URL], to folder: URL) throws {
        try writeWeights(layers, to: folder)
        try writeConfiguration(to: folder)
        try copyOthers(to: folder)
    }

    // MARK: Weights

    private func writeWeights(_ layers: [URL], to folder: URL) throws {
        var entries: [TensorFileWriter.Entry] = []
        var origins: [String: Origin] = [:]
        for name in source.otherTensorNames {
            let tensor = try source.checkpoint.tensor(name)
            origins[tensor.descriptor.name] = .source(tensor)
            entries.append(
                .init(
                    name: tensor.descriptor.name, type: source.storage.rawValue, shape: tensor.shape,
                    byteCount: 2 * tensor.rows * tensor.columns))
        }
        for url in layers {
            let file = try Safetensors(path: url.path)
            for tensor in file.tensors {
                origins[tensor.name] = .layer(tensor, file.file)
                entries.append(
                    .init(
                        name: tensor.name, type: tensor.type.name, shape: tensor.shape,
                        byteCount: tensor.byteRange.count))
            }
        }
        let shards = shards(entries)
        var map: [String: String] = [:]
        for (index, shard) in shards.enumerated() {
            let name =
                shards.count == 1
                ? "model.safetensors" : "model-\(Self.padded(index + 1))-of-\(Self.padded(shards.count)).safetensors"
            for entry in shard { map[entry.name] = name }
            try TensorFileWriter.write(shard, to: folder.appending(path: name)) { entry in
                switch origins[entry.name] {
                case .layer(let tensor, let file): Array(file.bytes[tensor.byteRange])
                case .source(let tensor): converted(tensor)
                case nil: []
                }
            }
        }
        guard shards.count > 1 else { return }
        let total = entries.reduce(0) { $0 + $1.byteCount }
        try writeJSON(
            ["metadata": ["total_size": total], "weight_map": map],
            to: folder.appending(path: "model.safetensors.index.json"))
    }

    /// Files of at most `shardBytes`, but for tensors that are larger alone.
    private func shards(_ entries: [TensorFileWriter.Entry]) -> [[TensorFileWriter.Entry]] {
        var shards: [[TensorFileWriter.Entry]] = [[]]
        var bytes = 0
        for entry in entries {
            if bytes > 0, bytes + entry.byteCount > settings.shardBytes {
                shards.append([])
                bytes = 0
            }
            shards[shards.count - 1].append(entry)
            bytes += entry.byteCount
        }
        return shards
    }

    private static func padded(_ number: Int) -> String {
        String(repeating: "0", count: max(5 - String(number).count, 0)) + String(number)
    }

    private func converted(_ tensor: StoredTensor) -> [UInt8] {
        if tensor.type.name == source.storage.rawValue {
            return Array(tensor.file.bytes[tensor.descriptor.byteRange])
        }
        return OutputTensor(tensor.name, shape: tensor.shape, tensor.dequantized(), as: source.storage).bytes
    }

    // MARK: Settings

    private func writeConfiguration(to folder: URL) throws {
        let data = try Data(contentsOf: URL(filePath: source.folder.path + "/config.json"))
        guard var members = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw QuantizationError("\(source.folder.path)/config.json is not an object")
        }
        members["quantization_config"] = format.configuration(settings)
        // transformers 5 has a shorter name for it.
        members[members["dtype"] == nil ? "torch_dtype" : "dtype"] = source.storage.torchName
        try writeJSON(members, to: folder.appending(path: "config.json"))
    }

    private func writeJSON(_ value: [String: Any], to url: URL) throws {
        let data = try JSONSerialization.data(
            withJSONObject: value, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
        try QuantizationError.naming(url) { try data.write(to: url) }
    }

    /// Everything small beside the weights: tokenizer files, templates, generation settings, licences.
    private func copyOthers(to folder: URL) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: source.folder.path)
        for name in names.sorted() where Self.isCopied(name) {
            let from = URL(filePath: source.folder.path).appending(path: name)
            let values = try from.resolvingSymlinksInPath().resourceValues(forKeys: [.isRegularFileKey])
            guard values.isRegularFile == true else { continue }
            // Read and written, so that a link in the hub's cache becomes a file.
            let data = try Data(contentsOf: from, options: .alwaysMapped)
            let to = folder.appending(path: name)
            try QuantizationError.naming(to) { try data.write(to: to) }
        }
    }

    private static func isCopied(_ name: String) -> Bool {
        guard name != "config.json", !name.hasPrefix("."), !name.contains(".safetensors") else { return false }
        return [".json", ".txt", ".jinja", ".model", ".md"].contains { name.hasSuffix($0) }
            || name.uppercased().hasPrefix("LICENSE")
    }
}
