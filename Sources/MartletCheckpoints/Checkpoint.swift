/// A model's configuration and weights under canonical (Hugging Face) names, whatever the file format.
package struct Checkpoint: Sendable {
    package let configuration: ModelConfiguration
    /// Where everything comes from; tokenizers are built from it.
    package let source: Source
    /// In file order. A tensor that no supported architecture has keeps its own name, so that a loader can say that it was
    /// left over.
    package let tensorNames: [String]
    private let tensors: [String: StoredTensor]

    package enum Source: Sendable {
        case gguf(GGUF)
        case folder(ModelFolder)
    }

    /// Opens a `.gguf` file, or a folder as Hugging Face lays it out.
    package init(path: String) throws(CheckpointError) {
        if ModelFolder.isFolder(path) {
            try self.init(folder: ModelFolder(path: path))
        } else if path.hasSuffix(".safetensors") {
            throw CheckpointError(file: path, reason: "has weights alone: name the folder, which says what they are")
        } else {
            try self.init(gguf: GGUF(path: path))
        }
    }

    package init(folder: ModelFolder) throws(CheckpointError) {
        configuration = try ModelConfiguration(folder: folder)
        var names: [String] = []
        var tensors: [String: StoredTensor] = [:]
        names.reserveCapacity(folder.tensors.count)
        tensors.reserveCapacity(folder.tensors.count)
        for (descriptor, file) in folder.tensors {
            let name = SafetensorsNames.canonical(descriptor.name)
            let tensor = try StoredTensor(name: name, descriptor: descriptor, file: file, rowOrder: .identity)
            guard tensors.updateValue(tensor, forKey: name) == nil else {
                throw CheckpointError(file: file.path, tensor: descriptor.name, reason: "is there twice, as '\(name)'")
            }
            names.append(name)
        }
        source = .folder(folder)
        tensorNames = names
        self.tensors = tensors
    }

    package init(gguf: GGUF) throws(CheckpointError) {
        let configuration = try ModelConfiguration(gguf: gguf)
        let architecture = try gguf.metadata.string("general.architecture") ?? configuration.architecture
        var names: [String] = []
        var tensors: [String: StoredTensor] = [:]
        names.reserveCapacity(gguf.tensors.count)
        tensors.reserveCapacity(gguf.tensors.count)
        for descriptor in gguf.tensors {
            let name = GGUFNames.canonical(descriptor.name, architecture: architecture) ?? descriptor.name
            let tensor = try StoredTensor(
                name: name, descriptor: descriptor, file: gguf.file,
                rowOrder: GGUFNames.rowOrder(name, configuration: configuration))
            guard tensors.updateValue(tensor, forKey: name) == nil else {
                throw CheckpointError(
                    file: gguf.file.path, tensor: descriptor.name, reason: "is there twice, as '\(name)'")
            }
            names.append(name)
        }
        self.configuration = configuration
        source = .gguf(gguf)
        tensorNames = names
        self.tensors = tensors
    }

    package func contains(_ name: String) -> Bool { tensors[name] != nil }

    /// The tensor with this canonical name; an error that names it where there is none.
    package func tensor(_ name: String) throws(CheckpointError) -> StoredTensor {
        guard let tensor = tensors[name] else {
            throw CheckpointError(file: path, tensor: name, reason: "is missing")
        }
        return tensor
    }

    /// The file that errors name.
    package var path: String {
        switch source {
        case .gguf(let gguf): gguf.file.path
        case .folder(let folder): folder.weightsPath
        }
    }
}
