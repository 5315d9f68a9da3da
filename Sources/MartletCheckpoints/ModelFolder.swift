import Glibc
import MartletJSON

/// A model as Hugging Face lays it out in a folder: `config.json`, weights in safetensors, and what the tokenizer needs.
package struct ModelFolder: Sendable {
    package let path: String
    /// `config.json`.
    package let settings: SettingsFile
    /// `generation_config.json`, where there is one.
    package let generation: SettingsFile?
    /// `tokenizer_config.json`, where there is one.
    package let tokenizerSettings: SettingsFile?
    /// The file that lists the weights: the one that holds them all, or the index of several.
    package let weightsPath: String
    /// In file order, with the file that holds each.
    let tensors: [(descriptor: TensorDescriptor, file: MappedFile)]

    /// Reads everything but the weights' bytes.
    package init(path: String) throws(CheckpointError) {
        self.path = path
        settings = try SettingsFile(path: path + "/config.json")
        generation = try Self.optionalSettings(path + "/generation_config.json")
        tokenizerSettings = try Self.optionalSettings(path + "/tokenizer_config.json", sizeLimit: 32 << 20)
        let single = path + "/" + Self.singleName
        let index = path + "/" + Self.indexName
        if Self.exists(single) {
            weightsPath = single
            let weights = try Safetensors(path: single)
            tensors = weights.tensors.map { ($0, weights.file) }
        } else if Self.exists(index) {
            weightsPath = index
            tensors = try SafetensorsIndex(path: index).tensors(in: path)
        } else {
            throw CheckpointError(
                file: path,
                reason: "has no weights: expected \(Self.singleName) or \(Self.indexName)"
                    + Self.foundInstead(path))
        }
    }

    private static let singleName = "model.safetensors"
    private static let indexName = "model.safetensors.index.json"

    /// Whether `path` is a folder.
    package static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Whether the folder has a file of that name.
    package func has(_ name: String) -> Bool { Self.exists(path + "/" + name) }

    /// The bytes of a file of the folder; nil if it is absent.
    package func bytes(of name: String, sizeLimit: Int) throws(CheckpointError) -> [UInt8]? {
        let file = path + "/" + name
        return Self.exists(file) ? try SettingsFile.bytes(path: file, sizeLimit: sizeLimit) : nil
    }

    /// The Jinja sources of the chat templates: the usual one, and one for conversations with tools, where it has its own.
    ///
    /// Each is looked for in a file of its own first (`chat_template.jinja`, `additional_chat_templates/tool_use.jinja`),
    /// then in `chat_template.json`, where processors of images kept theirs, then in `tokenizer_config.json`.
    package func chatTemplates() throws(CheckpointError) -> (usual: String?, tools: String?) {
        var (usual, tools): (String?, String?) = (nil, nil)
        for settings in [try Self.optionalSettings(path + "/chat_template.json"), tokenizerSettings] {
            guard let settings, usual == nil else { continue }
            (usual, tools) = try Self.chatTemplates(settings)
        }
        let own = try text(of: "chat_template.jinja")
        let ownTools = try text(of: "additional_chat_templates/tool_use.jinja")
        // A template for tools belongs to the usual one beside it.
        return own == nil ? (usual, ownTools ?? tools) : (own, ownTools)
    }

    /// `chat_template` is one template, or a list of several: {"name": …, "template": …}.
    private static func chatTemplates(
        _ settings: SettingsFile
    ) throws(CheckpointError) -> (usual: String?, tools: String?) {
        let key = "chat_template"
        guard let list = settings.json[key].array else { return (try settings.string(key), nil) }
        func template(_ name: String) -> String? { list.first { $0["name"].text == name }?["template"].text }
        guard let usual = template("default") else {
            throw settings.failure(key, "has no template called 'default'")
        }
        return (usual, template("tool_use"))
    }

    private func text(of name: String) throws(CheckpointError) -> String? {
        guard let bytes = try bytes(of: name, sizeLimit: 1 << 20) else { return nil }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CheckpointError(file: path + "/" + name, reason: "is not UTF-8")
        }
        return text
    }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static func optionalSettings(
        _ path: String, sizeLimit: Int = SettingsFile.usualSizeLimit
    ) throws(CheckpointError) -> SettingsFile? {
        exists(path) ? try SettingsFile(path: path, sizeLimit: sizeLimit) : nil
    }

    /// What people most often have in the place of safetensors.
    private static func foundInstead(_ path: String) -> String {
        for name in ["pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth"]
        where exists(path + "/" + name) {
            return ", found \(name): pickled weights can run code, so Martlet does not read them"
        }
        return ""
    }
}
