import Foundation
import MartletCheckpoints
import TestSupport
import Testing

@Suite struct GGUFTests {
    @Test(arguments: [UInt32(2), 3])
    func `every metadata type is read`(version: UInt32) throws {
        var file = GGUFBuilder()
        file.version = version
        file.set("u8", 0, [200])
        file.set("i8", 1, [0x80])
        file.set("u16", 2, UInt16(65535).bytes)
        file.set("i16", 3, Int16(-32768).bytes)
        file.set("u32", 4, UInt32.max.bytes)
        file.set("i32", 5, Int32.min.bytes)
        file.set("f32", 6, Float(0.1).bitPattern.bytes)
        file.set("yes", 7, [1])
        file.set("no", 7, [0])
        file.set("text", "grüße")
        file.set("u64", 10, UInt64(Int.max).bytes)
        file.set("i64", 11, Int64.min.bytes)
        file.set("f64", 12, (0.1).bitPattern.bytes)
        let gguf = try file.open()
        let metadata = gguf.metadata
        #expect(gguf.version == Int(version))
        #expect(try metadata.integer("u8") == 200)
        #expect(try metadata.integer("i8") == -128)
        #expect(try metadata.integer("u16") == 65535)
        #expect(try metadata.integer("i16") == -32768)
        #expect(try metadata.integer("u32") == 4_294_967_295)
        #expect(try metadata.integer("i32") == -2_147_483_648)
        #expect(try metadata.number("f32") == Double(Float(0.1)))
        #expect(try metadata.boolean("yes") == true)
        #expect(try metadata.boolean("no") == false)
        #expect(try metadata.string("text") == "grüße")
        #expect(try metadata.integer("u64") == Int.max)
        #expect(try metadata.integer("i64") == Int.min)
        #expect(try metadata.number("f64") == 0.1)
        #expect(try metadata.number("u8") == 200)
        #expect(try metadata.integer("absent") == nil)
        #expect(metadata.keys.first == "u8" && metadata.keys.count == 13)
    }

    @Test func `a token id of all ones is none`() throws {
        var file = GGUFBuilder()
        file.set("u32", UInt32.max)
        file.set("i32", 5, Int32(-1).bytes)
        file.set("seven", UInt32(7))
        file.set("other", 5, Int32(-2).bytes)
        let metadata = try file.open().metadata
        #expect(try metadata.tokenID("u32") == nil)
        #expect(try metadata.tokenID("i32") == nil)
        #expect(try metadata.tokenID("absent") == nil)
        #expect(try metadata.tokenID("seven") == 7)
        #expect(try metadata.tokenID("other") == -2, "which is for the reader of the vocabulary to refuse")
    }

    @Test func `every array type is read`() throws {
        var file = GGUFBuilder()
        file.set("u8", array: 0, count: 2, [1, 255])
        file.set("i8", array: 1, count: 2, [1, 255])
        file.set("u16", array: 2, count: 1, UInt16(65535).bytes)
        file.set("i16", array: 3, count: 1, Int16(-2).bytes)
        file.set("u32", array: 4, count: 1, UInt32.max.bytes)
        file.set("i32", array: 5, count: 2, Int32(-7).bytes + Int32(7).bytes)
        file.set("f32", array: 6, count: 1, Float(1.5).bitPattern.bytes)
        file.set("bool", array: 7, count: 3, [0, 1, 1])
        file.set("string", strings: [[], [0xFF, 0xC0], Array("Ġthe".utf8)])
        file.set("u64", array: 10, count: 1, UInt64(5).bytes)
        file.set("huge", array: 10, count: 1, UInt64.max.bytes)
        file.set("i64", array: 11, count: 1, Int64(-5).bytes)
        file.set("f64", array: 12, count: 1, (2.5).bitPattern.bytes)
        file.set("empty", array: 8, count: 0, [])
        let metadata = try file.open().metadata
        #expect(try metadata.integers("u8") == [1, 255])
        #expect(try metadata.integers("i8") == [1, -1])
        #expect(try metadata.integers("u16") == [65535])
        #expect(try metadata.integers("i16") == [-2])
        #expect(try metadata.integers("u32") == [4_294_967_295])
        #expect(try metadata.integers("i32") == [-7, 7])
        #expect(try metadata.numbers("f32") == [1.5])
        #expect(try metadata.numbers("i32") == [-7, 7])
        #expect(try metadata.array("bool")?.booleans == [false, true, true])
        #expect(try metadata.integers("u64") == [5])
        #expect(try metadata.integers("i64") == [-5])
        #expect(try metadata.numbers("f64") == [2.5])
        #expect(try metadata.strings("empty")?.isEmpty == true)
        let strings = try #require(try metadata.strings("string"))
        #expect(strings.map(\.bytes) == [[], [0xFF, 0xC0], Array("Ġthe".utf8)])
        #expect(strings.map(\.string) == ["", nil, "Ġthe"])
        // A value that does not fit is an error, not a wrapped number.
        #expect(throws: CheckpointError.self) { try metadata.integers("huge") }
    }

    @Test func `asking for another type names the key and both types`() throws {
        var file = GGUFBuilder()
        file.set("k", "text")
        file.set("n", array: 4, count: 1, UInt32(1).bytes)
        let metadata = try file.open().metadata
        let error = #expect(throws: CheckpointError.self) { try metadata.integer("k") }
        #expect(error?.description == "test.gguf: key 'k': is a string, not an integer")
        #expect(throws: CheckpointError.self) { try metadata.string("n") }
        #expect(throws: CheckpointError.self) { try metadata.strings("n") }
        #expect(throws: CheckpointError.self) { try metadata.boolean("k") }
        #expect(throws: CheckpointError.self) { try metadata.number("k") }
        #expect(throws: CheckpointError.self) { try metadata.array("k") }
    }

    @Test(arguments: TensorType.ggmlTypes)
    func `tensors of every type are found`(type: TensorType) throws {
        var file = GGUFBuilder()
        let columns = type.blockSize * 2
        file.add("first", [3, columns], type)
        file.add("second", [2, 3, columns], type)
        let bytes = file.build()
        let gguf = try file.open()
        let rowBytes = 2 * type.bytesPerBlock
        let (first, second) = (gguf.tensors[0], gguf.tensors[1])
        #expect(first.shape == [3, columns] && second.shape == [2, 3, columns])
        #expect(first.type == type && second.type == type)
        #expect(first.byteRange.count == 3 * rowBytes && second.byteRange.count == 6 * rowBytes)
        #expect(first.rowBytes == rowBytes && second.rows == 6)
        #expect(second.byteRange.upperBound == bytes.count)
        #expect(Array(gguf.file.bytes[first.byteRange]) == file.tensors[0].data)
        #expect(Array(gguf.file.bytes[second.byteRange]) == file.tensors[1].data)
    }

    @Test func `a stated alignment moves the tensors, and gaps and any order are allowed`() throws {
        var file = GGUFBuilder()
        file.set("general.alignment", UInt32(256))
        file.alignment = 256
        file.add("late", [64], .f32)
        file.add("early", [64], .f32)
        file.tensors[0].offset = 1024
        file.tensors[1].offset = 0
        file.tensors[1].data += [UInt8](repeating: 0, count: 1024)
        let gguf = try file.open()
        #expect(gguf.alignment == 256)
        #expect(gguf.tensors[0].byteRange.lowerBound - gguf.tensors[1].byteRange.lowerBound == 1024)
        #expect(gguf.tensors[1].byteRange.lowerBound % 256 == 0)
    }

    @Test func `a file without tensors is read`() throws {
        var file = GGUFBuilder()
        file.set("general.name", "vocabulary only")
        // Some writers leave the padding out where no data follows.
        file.alignment = 1
        #expect(try file.open().tensors.isEmpty)
    }

    @Test func `a large vocabulary stays in the file`() throws {
        var file = GGUFBuilder()
        file.set("tokens", (0..<250_000).map { "token \($0)" })
        let contents = file.build()
        let mapped = try MappedFile(contents: contents, path: "test.gguf")
        let clock = ContinuousClock()
        var gguf: GGUF?
        let time = try clock.measure { gguf = try GGUF(file: mapped) }
        // Debug builds take some 0.3 s on a busy machine; a quadratic reader would take minutes.
        #expect(time < .seconds(10))
        let tokens = try #require(try gguf?.metadata.strings("tokens"))
        #expect(tokens.count == 250_000)
        #expect(tokens[249_999].string == "token 249999")
    }

    @Test(.enabled(if: SharedFixtures.smolLM2 != nil, "the SmolLM2 GGUF file is absent (make model)"))
    func `the SmolLM2 file is read`() throws {
        let gguf = try GGUF(path: #require(SharedFixtures.smolLM2).path)
        #expect(gguf.version == 3 && gguf.alignment == 32)
        #expect(gguf.tensors.count == 272)
        #expect(gguf.metadata.keys.count == 33)
        let types = Dictionary(grouping: gguf.tensors, by: \.type).mapValues(\.count)
        #expect(types == [.q4_1: 210, .f32: 61, .q8_0: 1])
        let embedding = gguf.tensors[0]
        #expect(embedding.name == "token_embd.weight" && embedding.shape == [49152, 576])
        #expect(embedding.byteRange == 1_785_664..<1_785_664 + 30_081_024)
        #expect(gguf.tensors.last?.byteRange.upperBound == gguf.file.size)
        #expect(try gguf.metadata.strings("tokenizer.ggml.tokens")?.first?.string == "<|endoftext|>")
        #expect(try gguf.metadata.strings("tokenizer.ggml.merges")?.first?.string == "Ġ t")
        #expect(try gguf.metadata.integers("tokenizer.ggml.token_type")?.prefix(18).last == 1)
    }
}
