import Foundation
import Testing

@testable import MartletCLI

@Suite struct TableTests {
    @Test func markdownIsAligned() {
        var table = Table(.init("name"), .init("t/s", .right))
        table.append("pp512", "1.50")
        table.append("日本|x", "12.25")
        #expect(
            table.markdown
                == """
                | name    |   t/s |
                |---------|------:|
                | pp512   |  1.50 |
                | 日本\\|x |  12.25 |

                """.replacingOccurrences(of: " 12.25 |", with: "12.25 |"))
    }

    @Test func csvQuotesWhatNeedsIt() {
        var table = Table(.init("a"), .init("b"))
        table.append("1,5", "say \"hi\"")
        table.append("plain", "two\nlines")
        #expect(table.csv == "a,b\n\"1,5\",\"say \"\"hi\"\"\"\nplain,\"two\nlines\"\n")
    }

    @Test(arguments: [
        ("abc", 3), ("é", 1), ("e\u{301}", 1), ("日本", 4), ("🙂", 2), ("👩‍👩‍👧", 2), ("❤️", 2), ("\u{200B}", 0), ("ｱ", 1),
        ("Ａ", 2),
        ("🇩🇪", 2), ("한", 2), ("", 0),
    ])
    func displayWidths(text: String, width: Int) {
        #expect(text.displayWidth == width)
    }

    @Test func quantities() {
        #expect(Quantities.bytes(0) == "0 B")
        #expect(Quantities.bytes(1023) == "1023 B")
        #expect(Quantities.bytes((1 << 20) - 1) == "1.0 MiB")
        #expect(Quantities.bytes(1 << 20) == "1.0 MiB")
        #expect(Quantities.bytes(98_304_000) == "93.8 MiB")
        #expect(Quantities.count(134_515_008) == "134.5 M")
        #expect(Quantities.count(999) == "999")
        #expect(Quantities.grouped(134_515_008) == "134,515,008")
        #expect(Quantities.grouped(-1000) == "-1,000")
        #expect(Quantities.grouped(0) == "0")
    }

    @Test func progressFitsTheLine() {
        let wide = ProgressBar.text("loading", fraction: 0.5, note: "", width: 80)
        #expect(wide == "loading " + String(repeating: "█", count: 15) + String(repeating: "░", count: 15) + "  50%")
        for width in 1...80 {
            #expect(ProgressBar.text("loading", fraction: 2, note: "1/2", width: width).displayWidth <= width)
        }
        #expect(ProgressBar.text("x", fraction: .nan, note: "", width: 40).hasSuffix("  0%"))
    }

    @Test func errorsAreOneLine() {
        #expect("a\nb\u{1B}[31m\t c".singleLine == "a b [31m c")
    }
}

@Suite struct SafetensorsWriterTests {
    @Test func headerIsPaddedAndData() throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString).safetensors")
        defer { try? FileManager.default.removeItem(at: url) }
        let writer = try SafetensorsWriter(path: url.path, tensor: "logits", rows: 3, columns: 2)
        let values: [Float] = [1, -2, 0.5, .infinity, 0, 3]
        try values[0..<2].withUnsafeBufferPointer(writer.append)
        #expect(!FileManager.default.fileExists(atPath: url.path), "the name appears when the file is complete")
        try values[2...].withUnsafeBufferPointer(writer.append)
        try writer.finish()

        let data = try Data(contentsOf: url)
        let length = data.prefix(8).enumerated().reduce(0) { $0 + Int($1.element) << (8 * $1.offset) }
        #expect(length % 8 == 0)
        #expect(data.count == 8 + length + 24)
        let header = try #require(
            JSONSerialization.jsonObject(with: data[8..<8 + length]) as? [String: [String: Any]])
        #expect(header["logits"]?["dtype"] as? String == "F32")
        #expect(header["logits"]?["shape"] as? [Int] == [3, 2])
        #expect(header["logits"]?["data_offsets"] as? [Int] == [0, 24])
        let stored = (0..<6).map { index in
            data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8 + length + 4 * index, as: Float.self) }
        }
        #expect(stored == values)
    }

    @Test func anUnfinishedFileIsRemoved() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            let writer = try SafetensorsWriter(
                path: folder.appending(path: "x").path, tensor: "logits", rows: 2, columns: 2)
            try [Float(1), 2].withUnsafeBufferPointer(writer.append)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func aFileThatCannotBeWrittenIsNamed() {
        #expect(throws: CommandFailure.self) {
            try SafetensorsWriter(path: "/nonexistent/x", tensor: "logits", rows: 1, columns: 1)
        }
    }
}
