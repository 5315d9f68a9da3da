internal import Foundation

/// A model's name on the hub, as `martlet pull` takes it.
///
///     org/repo                    a checkpoint: configuration, tokenizer, safetensors
///     org/repo/file.gguf          one GGUF file
///     org/repo:Q4_K_M             the GGUF file of that quantization
///
/// Each may end in `@revision`, a branch, a tag or a commit. Addresses of the hub's pages and files are names, too.
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

    /// - Parameter endpoint: a server whose addresses are taken beside Hugging Face's, without a slash at its end.
    /// - Throws: `HubError.invalidName`.
    package init(_ name: String, endpoint: String = HubConfiguration.defaultEndpoint) throws(HubError) {
        func refuse(_ reason: String) -> HubError {
            HubError(.invalidName, "'\(name.excerpt)' is not the name of a model on the hub: \(reason)")
        }
        let address = Self.parse(address: name, endpoint: endpoint)
        guard address != nil || !name.contains("://") else {
            throw refuse("of addresses only those of \(endpoint) are names")
        }
        var rest = (address?.name ?? name)[...]
        var revision = address?.revision
        if let at = rest.firstIndex(of: "@") {
            revision = String(rest[rest.index(after: at)...])
            rest = rest[..<at]
        }
        if let revision {
            guard (1...200).contains(revision.utf8.count), revision.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
            else {
                throw refuse("the revision is malformed")
            }
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

    private static let hosts = ["huggingface.co/", "www.huggingface.co/", "hf.co/"]
    /// What stands between the repository and the revision in the addresses of its pages and files.
    private static let views: Set<String> = ["blob", "resolve", "raw", "tree"]

    /// The name in an address that people paste, as `https://huggingface.co/org/repo/blob/main/file.gguf?download=true`; nil
    /// for what is no address of the hub's.
    private static func parse(address: String, endpoint: String) -> (name: String, revision: String?)? {
        let prefixes = [endpoint + "/"] + ["https://", "http://", ""].flatMap { scheme in hosts.map { scheme + $0 } }
        guard let prefix = prefixes.first(where: address.hasPrefix) else { return nil }
        var path = address.dropFirst(prefix.count).prefix { $0 != "?" && $0 != "#" }
        while path.last == "/" { path.removeLast() }
        var parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        // Names of repositories need no encoding, so a slash in one is none.
        for index in parts.indices.dropFirst(2) { parts[index] = parts[index].removingPercentEncoding ?? parts[index] }
        var revision: String?
        if parts.count >= 4, views.contains(parts[2]) {
            // The main branch is what a name without a revision means.
            revision = parts[3] == "main" ? nil : parts[3]
            parts.removeSubrange(2...3)
        }
        return (parts.joined(separator: "/"), revision)
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
