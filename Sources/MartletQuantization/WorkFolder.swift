import Foundation
import MartletCheckpoints

/// Finished layers beside the destination, so that work that was stopped goes on where it was.
///
///     DST.partial/settings.json           what is being made, and of what
///                 layer-00000.safetensors a finished layer, as the result will have it
///                 hidden-1.f32            what enters the first layer that is not finished
struct WorkFolder {
    /// What must be the same for finished layers to be of use.
    struct Identity: Codable, Equatable {
        let settings: QuantizationSettings
        /// Names, sizes and times of the source's files.
        let source: [String]
        let calibration: String?
        /// Raised when the same settings give other results than before.
        var version = 3
    }

    let url: URL
    private let destination: URL

    /// Opens the folder, or makes it. What another task left there is removed.
    init(destination: URL, identity: Identity) throws {
        self.destination = destination
        url = URL(filePath: destination.path + ".partial")
        let settings = url.appending(path: "settings.json")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        let wanted = try encoder.encode(identity)
        if let found = try? Data(contentsOf: settings), found == wanted { return }
        try? FileManager.default.removeItem(at: url)
        try QuantizationError.naming(url) {
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        }
        try QuantizationError.naming(settings) { try wanted.write(to: settings, options: .atomic) }
    }

    // MARK: Layers

    func layerURL(_ layer: Int) -> URL {
        url.appending(path: "layer-" + String(repeating: "0", count: 5 - String(layer).count) + "\(layer).safetensors")
    }

    /// Whether the layer was finished.
    func has(layer: Int) -> Bool { FileManager.default.fileExists(atPath: layerURL(layer).path) }

    /// Keeps a layer; when this returns it is on disk as a whole.
    func finish(layer: Int, _ tensors: [OutputTensor], hidden: Matrix?) throws {
        if let hidden { try write(hidden, before: layer + 1) }
        let partial = url.appending(path: "layer.partial")
        try TensorFileWriter.write(tensors, to: partial)
        try replace(layerURL(layer), with: partial)
        if hidden != nil { try? FileManager.default.removeItem(at: hiddenURL(before: layer)) }
    }

    // MARK: Hidden states

    private func hiddenURL(before layer: Int) -> URL { url.appending(path: "hidden-\(layer).f32") }

    private func write(_ hidden: Matrix, before layer: Int) throws {
        let partial = url.appending(path: "hidden.partial")
        let bytes = UnsafeRawBufferPointer(hidden.floats)
        guard let base = bytes.baseAddress else { return }
        // Not copied: it may be the largest thing in memory.
        let data = Data(
            bytesNoCopy: UnsafeMutableRawPointer(mutating: base), count: bytes.count, deallocator: .none)
        try QuantizationError.naming(partial) { try data.write(to: partial) }
        try replace(hiddenURL(before: layer), with: partial)
    }

    /// What enters a layer, if it was kept and has the right size.
    func hidden(before layer: Int, rows: Int, columns: Int) -> Matrix? {
        guard let data = try? Data(contentsOf: hiddenURL(before: layer), options: .alwaysMapped),
            data.count == rows * columns * MemoryLayout<Float>.stride
        else { return nil }
        let matrix = Matrix(rows: rows, columns: columns)
        data.withUnsafeBytes { UnsafeMutableRawBufferPointer(matrix.floats).copyMemory(from: $0) }
        return matrix
    }

    private func replace(_ file: URL, with partial: URL) throws {
        guard rename(partial.path, file.path) == 0 else {
            throw QuantizationError("cannot create \(file.path): \(String(cString: strerror(errno)))")
        }
    }

    // MARK: The result

    /// The folder in which the result is put together.
    func makeResultFolder() throws -> URL {
        let result = url.appending(path: "result")
        try? FileManager.default.removeItem(at: result)
        try QuantizationError.naming(result) {
            try FileManager.default.createDirectory(at: result, withIntermediateDirectories: true)
        }
        return result
    }

    /// Gives the result its name and removes what led to it.
    func finish(_ result: URL) throws {
        // An empty folder would be replaced silently; one that has come into being meanwhile would not.
        guard rename(result.path, destination.path) == 0 else {
            throw QuantizationError("cannot create \(destination.path): \(String(cString: strerror(errno)))")
        }
        try? FileManager.default.removeItem(at: url)
    }

    /// - Throws: `QuantizationError` if fewer than `bytes` are free where the folder is.
    func checkSpace(_ bytes: Int) throws {
        let attributes = try FileManager.default.attributesOfFileSystem(forPath: url.path)
        guard let free = (attributes[.systemFreeSize] as? NSNumber)?.intValue, free < bytes else { return }
        func text(_ bytes: Int) -> String { bytes < 1 << 20 ? "\(bytes >> 10) KiB" : "\(bytes >> 20) MiB" }
        throw QuantizationError(
            "not enough room for \(destination.path): \(text(bytes)) needed while it is made, \(text(free)) free")
    }
}
