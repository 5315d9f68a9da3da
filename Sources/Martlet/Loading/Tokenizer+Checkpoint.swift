package import MartletCheckpoints
import MartletJSON
package import MartletTokenizers

extension Checkpoint {
    package var hasTokenizer: Bool {
        switch source {
        case .gguf: true
        case .folder(let folder): folder.has(Tokenizer.fileName)
        }
    }
}

extension Tokenizer {
    fileprivate static let fileName = "tokenizer.json"
    /// The largest published ones have some 35 MB.
    private static let fileSizeLimit = 256 << 20

    /// The tokenizer that belongs to a checkpoint.
    package init(_ checkpoint: Checkpoint) throws {
        switch checkpoint.source {
        case .gguf(let gguf): try self.init(gguf: GGUFVocabulary(gguf.metadata))
        case .folder(let folder):
            guard let bytes = try folder.bytes(of: Self.fileName, sizeLimit: Self.fileSizeLimit) else {
                throw CheckpointError(file: folder.path, reason: "has no \(Self.fileName)")
            }
            do {
                try self.init(tokenizerJSON: bytes)
            } catch {
                throw CheckpointError(file: "\(folder.path)/\(Self.fileName)", reason: error.description)
            }
            try takeRoles(from: folder)
        }
    }

    /// `tokenizer_config.json` says which tokens begin and end a text, by how they are spelled. Where it is older than
    /// `added_tokens_decoder`, `special_tokens_map.json` goes before it.
    private mutating func takeRoles(from folder: ModelFolder) throws {
        guard let settings = folder.tokenizerSettings else { return }
        let older = "special_tokens_map.json"
        var files = [settings]
        if folder.has(older), !settings.has("added_tokens_decoder") {
            files.insert(try SettingsFile(path: folder.path + "/" + older), at: 0)
        }
        func token(_ key: String) throws -> TokenID? {
            guard let file = files.first(where: { $0.has(key) }) else { return nil }
            // Either the text itself or an object that describes it.
            let text = file.json[key]["content"].text
            return try (text ?? file.string(key)).flatMap(id(of:))
        }
        specialTokens.beginningOfSequence = try token("bos_token")
        specialTokens.endOfSequence = try token("eos_token")
        specialTokens.unknown = try token("unk_token") ?? specialTokens.unknown
        specialTokens.padding = try token("pad_token")
    }
}
