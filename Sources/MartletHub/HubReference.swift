/// A model's name on the hub, as `martlet pull` takes it.
///
///     org/repo                    a checkpoint: configuration, tokenizer, safetensors
///     org/repo/file.gguf          one GGUF file
///     org/repo:Q4_K_M             the GGUF file of that quantization
///
/// Each may end in `@revision`, a branch, a tag or a commit.
package struct HubReference: Hashable, Sendable, CustomStringConvertible {
    package enum Selection: Hashable, Sendable {
        case checkpoint
        /// The path of a GGUF file in the repository.
        case file(String)
        /// Part of the name of a GGUF file.
        case quantization(String)
    }

    /// `org/repo`.
    package let repository: String
    /// nil for the repository's main branch.
    package let revision: String?
    package let selection: Selection

    /// What people paste in front of a name.
    private static let prefixes = ["https://huggingface.co/", "huggingface.co/", "hf.co/"]

    /// - Throws: `HubError.invalidName`.
    package init(_ name: String) throws(HubError) {
        func refuse(_ reason: String) -> HubError {
            HubError(.invalidName, "'\(name.excerpt)' is not the name of a model on the hub: \(reason)")
        }
        var rest = name[...]
        for prefix in Self.prefixes where rest.hasPrefix(prefix) { rest = rest.dropFirst(prefix.count) }
        var revision: String?
        if let at = rest.firstIndex(of: "@") {
            let text = rest[rest.index(after: at)...]
            guard !text.isEmpty, text.utf8.count <= 200, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw refuse("the revision is malformed")
            }
            revision = String(text)
            rest = rest[..<at]
        }
        var quantization: String?
        if let colon = rest.firstIndex(of: ":") {
            let text = rest[rest.index(after: colon)...]
            guard !text.isEmpty, text.utf8.allSatisfy(RepositoryPath.isNameByte) else {
                throw refuse("'\(String(text).excerpt)' is no quantization")
            }
            quantization = String(text)
            rest = rest[..<colon]
        }
        let parts = rest.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count >= 2, parts.prefix(2).allSatisfy(Self.isRepositoryName), !parts[1].hasSuffix(".gguf") else {
            throw refuse("expected org/repo, org/repo/file.gguf or org/repo:Q4_K_M")
        }
        repository = parts.prefix(2).joined(separator: "/")
        self.revision = revision
        if let quantization {
            guard parts.count == 2 else { throw refuse("a file and a quantization exclude each other") }
            selection = .quantization(quantization)
        } else if parts.count == 2 {
            selection = .checkpoint
        } else {
            let path = parts.dropFirst(2).joined(separator: "/")
            guard RepositoryPath.isSafe(path), path.hasSuffix(".gguf") else {
                throw refuse("single files must be .gguf files")
            }
            selection = .file(path)
        }
    }

    init(repository: String, revision: String?, selection: Selection) {
        self.repository = repository
        self.revision = revision
        self.selection = selection
    }

    /// The hub's rule: letters, digits, `-`, `_` and `.`, 96 at most; ours: no hidden folders.
    private static func isRepositoryName(_ part: Substring) -> Bool {
        (1...96).contains(part.utf8.count) && !part.hasPrefix(".") && part.utf8.allSatisfy(RepositoryPath.isNameByte)
    }

    package var description: String {
        let suffix = revision.map { "@" + $0 } ?? ""
        switch selection {
        case .checkpoint: return repository + suffix
        case .file(let path): return repository + "/" + path + suffix
        case .quantization(let name): return repository + ":" + name + suffix
        }
    }
}
