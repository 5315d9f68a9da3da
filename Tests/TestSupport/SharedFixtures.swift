public import Foundation

/// Where reference data lies that is not part of the repository.
///
/// `shared/` stands beside the checkout on the developers' machines and in CI; elsewhere it is absent, and tests that
/// need it are skipped by name (`.enabled(if:)`), never passed silently.
public enum SharedFixtures {
    /// The checkout: the folder that holds `Package.swift`.
    public static let repository = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// `../shared`, or nil where it does not exist.
    public static let shared: URL? = {
        let url = repository.deletingLastPathComponent().appending(path: "shared")
        return FileManager.default.fileExists(atPath: url.appending(path: "fixtures").path) ? url : nil
    }()

    /// A file or folder below `shared/fixtures`, or nil where it does not exist.
    public static func url(_ path: String) -> URL? {
        guard let url = shared?.appending(path: "fixtures").appending(path: path),
            FileManager.default.fileExists(atPath: url.path)
        else { return nil }
        return url
    }

    /// The default model's GGUF file (`make model` puts it there), or nil where it does not exist.
    ///
    /// `MARTLET_TEST_MODEL` names another place.
    public static let smolLM2: URL? = {
        let url =
            ProcessInfo.processInfo.environment["MARTLET_TEST_MODEL"].map { URL(filePath: $0) }
            ?? repository.appending(path: "models/SmolLM2-135M-Instruct.Q4_1.gguf")
        return FileManager.default.fileExists(atPath: url.path) ? url : nil
    }()

    /// The same weights as a Hugging Face folder (shared/tools/make_hf_smollm2.py makes it), or nil where it does not exist.
    ///
    /// `MARTLET_TEST_MODEL_FOLDER` names another place.
    public static let smolLM2Folder: URL? = {
        let url =
            ProcessInfo.processInfo.environment["MARTLET_TEST_MODEL_FOLDER"].map { URL(filePath: $0) }
            ?? repository.appending(path: "models/SmolLM2-135M-Instruct-hf")
        return FileManager.default.fileExists(atPath: url.appending(path: "config.json").path) ? url : nil
    }()
}
