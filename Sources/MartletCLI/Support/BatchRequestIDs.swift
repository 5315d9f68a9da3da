import Crypto
import Foundation
import Martlet

/// Names the requests of a batch by all that their answers depend on: the line and its number, the model, and how it computes.
/// A later run knows by it which answers are still those to its requests.
struct BatchRequestIDs {
    private let prefix: Data

    /// - Parameters:
    ///   - model: the path of a GGUF file or of a model's folder. The files that are read of it count by name, size and date:
    ///     they are too large to be read for this.
    ///   - options: of them only what changes answers. They are equal on any number of threads and in any company.
    init(model: String, options: LoadOptions) {
        let path = URL(filePath: model).resolvingSymlinksInPath()
        // The batch itself may lie in the folder, too.
        let kinds = ["safetensors", "json", "jinja", "model", "txt"]
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path.path))?.filter { name in
            !name.hasPrefix(".") && kinds.contains { name.hasSuffix("." + $0) }
        }
        let files = names?.sorted().map { path.appending(path: $0) } ?? [path]
        var parts = [
            "\(options.compute)", "\(options.quantization.map { "\($0)" } ?? "")",
            "\(options.kvType.map { "\($0)" } ?? "")", "\(options.contextLength ?? 0)",
        ]
        for file in files {
            let attributes = try? FileManager.default.attributesOfItem(atPath: file.resolvingSymlinksInPath().path)
            let date = (attributes?[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            parts += [file.lastPathComponent, "\(attributes?[.size] as? Int ?? 0)", "\(date)"]
        }
        prefix = Data(parts.joined(separator: "\0").utf8)
    }

    /// The name of the request in a line.
    ///
    /// - Parameter line: counted from 1.
    func id(line: Int, _ bytes: [UInt8]) -> String {
        var hasher = SHA256()
        hasher.update(data: prefix)
        hasher.update(data: Data("\0\(line)\0".utf8))
        hasher.update(data: bytes)
        let hex = hasher.finalize().prefix(16).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }
        return "req_" + hex.joined()
    }

    /// The names of all requests of a file, which is read from its start to its end.
    func ids(of file: LineFile) throws -> Set<String> {
        file.rewind()
        var ids: Set<String> = []
        var number = 0
        while let line = try file.next() {
            number += 1
            if case .bytes(let bytes) = line { ids.insert(id(line: number, bytes)) }
        }
        file.rewind()
        return ids
    }
}
