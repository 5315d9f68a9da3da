/// Which files of a repository make a model.
enum FileSelection {
    static let configurationName = "config.json"
    static let weightsName = "model.safetensors"
    static let indexName = "model.safetensors.index.json"

    /// Files beside the weights that say what the model is and how to talk to it.
    private static let companions: Set<String> = [
        configurationName, "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json",
        "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json", "quantize_config.json",
        "quant_config.json",
    ]

    /// What is downloaded of a checkpoint before its weights are known.
    static func companions(in files: [RepositoryFile]) -> [RepositoryFile] {
        files.filter { file in
            companions.contains(file.path)
                || file.path.hasPrefix("additional_chat_templates/") && file.path.hasSuffix(".jinja")
        }
    }

    enum Weights: Equatable {
        case files([RepositoryFile])
        /// The index names them.
        case index(RepositoryFile)
    }

    /// The safetensors of a checkpoint.
    ///
    /// - Throws: `HubError.noModel` that says what there is instead.
    static func weights(of repository: String, in files: [RepositoryFile]) throws(HubError) -> Weights {
        let isCheckpoint = files.contains { $0.path == configurationName }
        if isCheckpoint, let single = files.first(where: { $0.path == weightsName }) { return .files([single]) }
        if isCheckpoint, let index = files.first(where: { $0.path == indexName }) { return .index(index) }
        let models = ggufFiles(in: files)
        guard models.isEmpty else {
            throw HubError(.noModel, "\(repository) has GGUF files: say which, \(names(of: models, in: repository))")
        }
        guard isCheckpoint else {
            throw HubError(.noModel, "\(repository) has neither config.json nor GGUF files: it is no language model")
        }
        let hasPickles = files.contains { $0.path.hasSuffix(".bin") || $0.path.hasSuffix(".pth") }
        let hint = hasPickles ? ", only PyTorch pickles, which can run code and are never read" : ""
        throw HubError(.noModel, "\(repository) has neither \(weightsName) nor \(indexName)\(hint)")
    }

    /// The files that an index names: https://huggingface.co/docs/safetensors.
    static func shards(_ names: Set<String>, of repository: String, in files: [RepositoryFile]) throws(HubError)
        -> [RepositoryFile]
    {
        let byPath = Dictionary(files.map { ($0.path, $0) }, uniquingKeysWith: { $1 })
        var shards: [RepositoryFile] = []
        for name in names.sorted() {
            guard let file = byPath[name], name.hasSuffix(".safetensors") else {
                throw HubError(
                    .noModel, "\(repository): \(indexName) names '\(name.excerpt)', which the repository does not have")
            }
            shards.append(file)
        }
        guard !shards.isEmpty else { throw HubError(.noModel, "\(repository): \(indexName) names no files") }
        return shards
    }

    // MARK: GGUF

    /// Language models; projectors of images (`mmproj`) go with another file.
    static func ggufFiles(in files: [RepositoryFile]) -> [RepositoryFile] {
        files.filter { $0.path.hasSuffix(".gguf") && !GGUFFileName.isProjector($0.path) }
    }

    /// The one GGUF file that a reference means.
    static func gguf(_ reference: HubReference, in files: [RepositoryFile]) throws(HubError) -> RepositoryFile {
        let models = ggufFiles(in: files)
        let matches: [RepositoryFile]
        switch reference.selection {
        case .checkpoint: matches = models
        case .file(let path): matches = files.filter { $0.path == path }
        case .quantization(let name): matches = models.filter { GGUFFileName.matches($0.path, quantization: name) }
        }
        if let file = matches.first, matches.count == 1 {
            guard !GGUFFileName.isShard(file.path) else { throw split(reference) }
            return file
        }
        if matches.contains(where: { GGUFFileName.isShard($0.path) }) { throw split(reference) }
        let choice = matches.isEmpty ? models : matches
        guard !choice.isEmpty else { throw HubError(.noModel, "\(reference.repository) has no GGUF files") }
        let problem = matches.isEmpty ? "no such file" : "several files match"
        throw HubError(.noModel, "\(reference): \(problem); there are \(names(of: choice, in: reference.repository))")
    }

    private static func split(_ reference: HubReference) -> HubError {
        HubError(.noModel, "\(reference) is split into several GGUF files, which Martlet does not read")
    }

    private static func names(of files: [RepositoryFile], in repository: String) -> String {
        let names = files.prefix(6).map { "\(repository)/\($0.path)" }.joined(separator: ", ")
        return files.count > 6 ? names + ", … (\(files.count))" : names
    }
}

/// What the names of GGUF files say: `Model-7B-Instruct-Q4_K_M.gguf`, `Q8_0/Model-00001-of-00002.gguf`.
package enum GGUFFileName {
    static func isProjector(_ path: String) -> Bool {
        (path.split(separator: "/").last ?? "").lowercased().hasPrefix("mmproj")
    }

    static func isShard(_ path: String) -> Bool { path.contains(/-\d{5}-of-\d{5}\.gguf$/) }

    /// Whether `quantization` stands in the name (or a folder's) as a word of its own, in any case: `Q4_K` is not in `Q4_K_M`.
    package static func matches(_ path: String, quantization: String) -> Bool {
        let path = Array(path.lowercased().utf8)
        let word = Array(quantization.lowercased().utf8)
        guard !word.isEmpty, path.count >= word.count else { return false }
        func isInside(_ byte: UInt8) -> Bool {
            byte == UInt8(ascii: "_") || Character(Unicode.Scalar(byte)).isLetter
                || Character(Unicode.Scalar(byte)).isNumber
        }
        return (0...(path.count - word.count)).contains { start in
            let end = start + word.count
            return path[start..<end].elementsEqual(word) && (start == 0 || !isInside(path[start - 1]))
                && (end == path.count || !isInside(path[end]))
        }
    }
}
