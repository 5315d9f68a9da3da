import Foundation
import MartletCheckpoints
import MartletGraph
import MartletImages
import TestSupport

@testable import Martlet

extension FuzzTarget {
    /// The bytes are a `config.json`, with what it says about how weights are quantized, beside the weights of a tiny model;
    /// and a `preprocessor_config.json`.
    static let configuration = FuzzTarget(name: "configuration", longest: 4096) {
        var seeds: [[UInt8]] = []
        for folder in ["models", "quantized"] {
            let path = "Tests/MartletTests/Fixtures/\(folder)"
            let url = SharedFixtures.repository.appending(path: path)
            for name in try FileManager.default.contentsOfDirectory(atPath: url.path).sorted() {
                seeds.append(Array(try Data(contentsOf: url.appending(path: "\(name)/config.json"))))
            }
        }
        let members = TinyModelFolder().settings.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }
        seeds.append(Array("{\(members.joined(separator: ", "))}".utf8))
        return seeds + (try fixtures("MartletImagesTests/Fixtures/processors", longest: 4096))
    } read: { bytes in
        do {
            let processor = try ImageProcessor(ImageProcessorConfiguration(json: Data(bytes)), patchSize: 14)
            consume(try processor(picture).count)
        } catch {
            precondition(!"\(error)".isEmpty)
        }
        do {
            try Data(bytes).write(to: URL(filePath: folder.path + "/config.json"))
            let checkpoint = try Checkpoint(path: folder.path)
            var options = LoadOptions()
            options.threads = 1
            let outline = try ModelOutline(checkpoint, options: options)
            consume(outline.contextLength)
        } catch {
            precondition(!"\(error)".isEmpty)
        }
    }

    private static let folder: TemporaryFolder = {
        do {
            return try TinyModelFolder().write()
        } catch {
            fatalError("\(error)")
        }
    }()

    private static let picture = Image(width: 5, height: 3, pixels: [UInt8](repeating: 100, count: 45))
}
