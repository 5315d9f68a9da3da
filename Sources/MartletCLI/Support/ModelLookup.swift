import Foundation
import MartletHub

/// Finds the model that a command means: a file, a folder, or a name in one of the folders where models are kept.
struct ModelLookup {
    /// The model that `make model` fetches, taken where no model is named and several are there.
    static let defaultName = "SmolLM2-135M-Instruct.Q4_1.gguf"

    /// Searched in order; of models of the same name the first is taken.
    let folders: [URL]

    /// Where `martlet pull` puts models; nil where nobody's home is known.
    let store: ModelStore?

    init(folders: [URL], store: URL? = nil) {
        self.folders = folders
        self.store = store.map { ModelStore(root: $0) }
    }

    /// `$MARTLET_MODELS`, `./models`, and the user's cache. Downloads go to the first of these that is not `./models`.
    init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        var folders: [URL] = []
        let own = environment["MARTLET_MODELS"].flatMap { $0.isEmpty ? nil : URL(filePath: $0) }
        if let own { folders.append(own) }
        folders.append(URL(filePath: "models"))
        // The XDG specification tells programs to ignore relative paths.
        let cache = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? URL(filePath: $0) : nil }
        let home = environment["HOME"].map { URL(filePath: $0).appending(path: ".cache") }
        let models = (cache ?? home)?.appending(path: "martlet/models")
        if let models { folders.append(models) }
        self.init(folders: folders, store: own ?? models)
    }

    /// The path of the model called `name`, or of the default one.
    ///
    /// - Throws: `CommandFailure` that says where was looked.
    func resolve(_ name: String?) throws -> String {
        guard let name else { return try resolveDefault() }
        if let path = find(name) { return path }
        if Self.isFolder(name) {
            throw CommandFailure("\(name) is a folder without config.json: no model")
        }
        if (try? HubReference(name)) != nil, !name.hasPrefix("./") {
            throw CommandFailure("no model '\(name)' here; 'martlet pull \(name)' fetches it from the hub")
        }
        if Self.looksLikePath(name) { throw CommandFailure("no model at \(name)") }
        throw CommandFailure("no model '\(name)' in \(searched)")
    }

    /// The path of the model called `name`, if there is one.
    func find(_ name: String) -> String? {
        guard !name.isEmpty else { return nil }
        if Self.looksLikePath(name) && Self.isFile(name) || Self.isModelFolder(name) { return name }
        if let reference = try? HubReference(name) {
            return folders.lazy.compactMap { ModelStore(root: $0).find(reference)?.path }.first
        }
        guard !name.contains("/"), !name.hasPrefix(".") else { return nil }
        for folder in folders {
            for candidate in [name, name + ".gguf"] {
                let path = folder.appending(path: candidate).relativePath
                if Self.isModel(path) { return path }
            }
        }
        return nil
    }

    /// True for what can only be meant as a file, whether it exists or not.
    static func looksLikePath(_ name: String) -> Bool {
        name.hasSuffix(".gguf") || (name.contains("/") && !name.contains(where: \.isWhitespace))
    }

    /// Every model in the folders, by the name that finds it; each name once.
    func models() -> [(name: String, path: String)] {
        var seen = Set<String>()
        return folders.flatMap { folder -> [(name: String, path: String)] in
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
            let own = names.sorted().compactMap { name -> (name: String, path: String)? in
                let path = folder.appending(path: name).relativePath
                return Self.isModel(path) ? (name, path) : nil
            }
            let pulled = ModelStore(root: folder).entries().map { (name: $0.reference.description, path: $0.path) }
            return (own + pulled).filter { seen.insert($0.name).inserted }
        }
    }

    private func resolveDefault() throws -> String {
        let models = models()
        if models.count == 1 { return models[0].path }
        if let standard = models.first(where: { $0.name == Self.defaultName }) { return standard.path }
        guard models.isEmpty else {
            let names = models.prefix(8).map(\.name).joined(separator: ", ") + (models.count > 8 ? ", …" : "")
            throw CommandFailure("several models are there; say which: \(names)")
        }
        throw CommandFailure(
            "no model in \(searched); 'make model' fetches \(Self.defaultName), or name a .gguf file or a model's folder"
        )
    }

    private var searched: String {
        let paths = folders.map { $0.relativePath.hasPrefix("/") ? $0.relativePath : "./" + $0.relativePath }
        guard let last = paths.last, paths.count > 1 else { return paths.first ?? "any folder" }
        return paths.dropLast().joined(separator: ", ") + " or " + last
    }

    /// A GGUF file, or a folder as Hugging Face lays it out.
    private static func isModel(_ path: String) -> Bool {
        path.hasSuffix(".gguf") && isFile(path) || isModelFolder(path)
    }

    private static func isModelFolder(_ path: String) -> Bool { isFile(path + "/config.json") }

    private static func isFile(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
    }

    private static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }
}
