import MartletJSON

/// `model.safetensors.index.json`: which file of a sharded checkpoint holds which tensor.
struct SafetensorsIndex {
    private let path: String
    /// File names by tensor.
    private let files: [String: String]

    init(path: String) throws(CheckpointError) {
        let settings = try SettingsFile(path: path, sizeLimit: Self.sizeLimit)
        guard let map = try settings.section("weight_map"), case .object(let members) = map.json else {
            throw settings.failure("weight_map", "is missing")
        }
        var files: [String: String] = [:]
        for (tensor, value) in members {
            guard let name = value.text, Self.isPlainName(name) else {
                throw map.failure(
                    tensor, "is \(value.text.map { "'\($0)'" } ?? value.kind), not the name of a .safetensors file")
            }
            files[tensor] = name
        }
        guard Set(files.values).count <= Self.fileLimit else {
            throw settings.failure("weight_map", "names more than \(Self.fileLimit) files")
        }
        self.path = path
        self.files = files
    }

    /// Two million tensors.
    private static let sizeLimit = 128 << 20
    /// The largest published models have a few hundred.
    private static let fileLimit = 4096

    /// A file beside the index and nowhere else.
    private static func isPlainName(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && !name.hasPrefix(".") && !name.utf8.contains { $0 == 0x2F || $0 == 0 }
    }

    /// All tensors of the files in `folder`, which must be those of the index.
    func tensors(in folder: String) throws(CheckpointError) -> [(descriptor: TensorDescriptor, file: MappedFile)] {
        var result: [(descriptor: TensorDescriptor, file: MappedFile)] = []
        var found = Set<String>()
        for name in Set(files.values).sorted() {
            let weights = try Safetensors(path: folder + "/" + name)
            for tensor in weights.tensors {
                guard let home = files[tensor.name] else {
                    throw CheckpointError(
                        file: weights.file.path, tensor: tensor.name, reason: "is not listed in \(path)")
                }
                guard home == name else {
                    throw CheckpointError(
                        file: weights.file.path, tensor: tensor.name, reason: "should be in '\(home)', says \(path)")
                }
                found.insert(tensor.name)
                result.append((tensor, weights.file))
            }
        }
        if let missing = files.keys.filter({ !found.contains($0) }).min(), let home = files[missing] {
            throw CheckpointError(
                file: folder + "/" + home, tensor: missing, reason: "is missing, though \(path) says that it is there")
        }
        return result
    }
}
