import Foundation
import TestSupport
import Testing

@testable import MartletCLI

@Suite struct QuantizeCommandTests {
    private static let source = SharedFixtures.url("quant/tiny-base-fp16")

    private struct Summary: Decodable {
        let layers: Int
        let reusedLayers: Int
    }

    /// A disk that takes no more: one line that names the file, no destination, nothing half-written that counts as whole, and
    /// the same bytes in the end. (A layer has 85 kB here, the result 370 kB.)
    @Test(.enabled(if: CommandLineProgram.executable != nil && source != nil))
    func diskThatTakesNoMore() throws {
        let source = try #require(Self.source).path
        let place = try TemporaryFolder()
        let (through, stopped) = (place.path + "/through", place.path + "/stopped")
        func quantize(_ destination: String, largestFile: Int? = nil) throws -> CommandLineProgram.Result {
            try CommandLineProgram.run(
                ["quantize", source, destination, "--method", "rtn", "--group-size", "32", "--threads", "1", "--json"],
                largestFile: largestFile)
        }
        #expect(try quantize(through).status == 0)
        for (largestFile, file, finished) in [(40_000, "layer.partial", 0), (200_000, "model.safetensors", 2)] {
            let result = try quantize(stopped, largestFile: largestFile)
            #expect(result.status == 1)
            #expect(result.errorLines.count == 1 && result.output.isEmpty)
            #expect(result.error.contains("cannot write ") && result.error.contains(file), "\(result.error)")
            #expect(!FileManager.default.fileExists(atPath: stopped))
            let kept = try FileManager.default.contentsOfDirectory(atPath: stopped + ".partial")
            #expect(kept.filter { $0.hasPrefix("layer-") }.count == finished, "\(kept)")
        }
        let summary = try JSONDecoder().decode(Summary.self, from: quantize(stopped).output)
        #expect(summary.layers == 2 && summary.reusedLayers == 2)
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.path).sorted() == ["stopped", "through"])
        for name in try FileManager.default.contentsOfDirectory(atPath: through) {
            #expect(
                try Data(contentsOf: URL(filePath: "\(stopped)/\(name)"))
                    == Data(contentsOf: URL(filePath: "\(through)/\(name)")), "\(name)")
        }
    }
}
